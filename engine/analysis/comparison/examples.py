"""Examples of a run, loaded by its task as in the run, and the ones on which two sides differ; no model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile

import attrs
import numpy as np

from ...contracts import Examples, Outcome, Prompts, Splits, Texts
from ...errors import BoostLoraError, RunError, UsageError, blame
from ...foundation.rng import Streams
from ...registry.registry import Registry
from ...runs.directory import SPEC
from .pairs import Ids, Pairing
from .sides import Side


@attrs.frozen(kw_only=True, eq=False)
class LoadedSplit:
    """The examples of one split, as its task loads them."""

    examples: Examples
    classes: tuple[str, ...]
    positions: Mapping[int, int]
    """Position by id."""
    prefix_length: int
    """Length of the prefix that all prompts share, such as an instruction or few-shot examples; it is not shown."""

    @classmethod
    def of(cls, splits: Splits, split: str) -> LoadedSplit:
        """Index the examples of a split."""
        examples = getattr(splits, split)
        positions = {number: place for place, number in enumerate(examples.ids.tolist())}
        return cls(
            examples=examples,
            classes=splits.classes,
            positions=positions,
            prefix_length=_common_prefix(examples.inputs),
        )

    def input_text(self, number: int) -> str | None:
        """The text of an example without the common prefix; None for numeric inputs."""
        inputs, place = self.examples.inputs, self.positions[number]
        if isinstance(inputs, Texts):
            return " | ".join(inputs.rows[place])
        if isinstance(inputs, Prompts):
            return inputs.prompts[place][self.prefix_length :]
        return None

    def expected_text(self, number: int) -> str | None:
        """The name of the class, or the reference completion; None if the task has neither."""
        place = self.positions[number]
        if self.classes:
            return self.class_name(int(self.examples.labels[place]))
        inputs = self.examples.inputs
        return inputs.completions[place].strip() if isinstance(inputs, Prompts) else None

    def class_name(self, number: int) -> str | None:
        """The name of a class; None if the task has no classes."""
        if not self.classes:
            return None
        return self.classes[number] if 0 <= number < len(self.classes) else str(number)

    def raw_input(self, number: int) -> object:
        """An example's input in a form that compares by value."""
        inputs, place = self.examples.inputs, self.positions[number]
        if isinstance(inputs, Texts):
            return inputs.rows[place]
        if isinstance(inputs, Prompts):
            return inputs.prompts[place]
        return np.asarray(inputs[place]).tobytes()


@attrs.frozen(kw_only=True, eq=False)
class Disagreement:
    """Common ids that name different examples on the two sides."""

    inputs: Ids
    """Different inputs with the same expected answer."""
    answers: Ids
    """Different classes or reference completions."""


def load_split(side: Side, registry: Registry) -> LoadedSplit:
    """Load the side's split from its spec. `registry` must hold the task's plugin.

    Raises:
        BoostLoraError: if the data cannot be loaded, or have changed since the run.
    """
    from ...boosting.experiment import data_sha256  # noqa: PLC0415 - only needed to show examples
    from ...spec.resolve import load_spec  # noqa: PLC0415

    try:
        spec = load_spec(side.path / SPEC, registry)
    except BoostLoraError as error:
        raise UsageError(str(error).splitlines()[0] + _missing_plugins(side, registry)) from error
    with blame("task", spec.slots["task"].use):
        loaded = spec.task.load(Streams(spec.head.seed)("split"))
        recorded = side.hashes.get("data")
        changed = recorded is not None and data_sha256(loaded) != recorded
    split = LoadedSplit.of(loaded, side.split)
    if changed or not set(side.now.ids.tolist()) <= split.positions.keys():
        raise RunError("the data have changed since the run")
    return split


def disagreement(a: LoadedSplit, b: LoadedSplit, ids: Ids) -> Disagreement:
    """Ids that name different examples in two data sets; both must hold all `ids`."""
    numbers = ids.tolist()
    expected = [n for n in numbers if a.expected_text(n) != b.expected_text(n)]
    asked = [n for n in numbers if a.raw_input(n) != b.raw_input(n)]
    other = np.array(expected, dtype=np.int64)
    return Disagreement(inputs=np.setdiff1d(np.array(asked, dtype=np.int64), other), answers=other)


def _missing_plugins(side: Side, registry: Registry) -> str:
    """The run's plugin files that are not loaded, as command-line options."""
    loaded = {str(file.resolve()) for file in registry.files}
    missing = [file for file in side.plugin_files if file not in loaded]
    return f"; give {' '.join(f'--plugin {file}' for file in missing)}" if missing else ""


def _common_prefix(inputs: object) -> int:
    """Length of the prefix that all prompts share, up to the end of a word."""
    if not isinstance(inputs, Prompts) or len(inputs) < 2:
        return 0
    first, last = (
        min(inputs.prompts),
        max(inputs.prompts),
    )  # in sorted order, all prompts share the common prefix of the first and the last
    count = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    while count and not first[count - 1].isspace():
        count -= 1
    return count


@attrs.frozen(kw_only=True)
class Answer:
    """A side's result on an example."""

    correct: bool
    loss: float
    """In nats."""
    reward: float
    text: str | None
    """The class name, or the first completion; None if neither is known."""
    samples: int
    """Completions per example."""


@attrs.frozen(kw_only=True)
class ComparedExample:
    """An example with both results; `asked` and `expected` are None if the data could not be loaded, or hold no text."""

    id: int
    asked: str | None
    expected: str | None
    a: Answer
    b: Answer


def select_examples(
    pairing: Pairing, which: Ids, most: int, splits: Sequence[LoadedSplit | None] = (None, None)
) -> list[ComparedExample]:
    """Up to `most` of the examples `which`, by descending difference in loss; ties by id.

    An infinite difference ranks first, NaN last. `splits` are the data of A and of B.
    """
    positions = np.searchsorted(pairing.ids, which)
    with np.errstate(invalid="ignore"):
        gap = np.abs(pairing.a.loss[positions] - pairing.b.loss[positions])
    gap = np.where(np.isnan(gap), -1.0, gap)
    ranked = positions[np.lexsort((which, -gap))][:most]
    return [_compared(pairing, int(place), splits) for place in ranked]


def _compared(pairing: Pairing, place: int, splits: Sequence[LoadedSplit | None]) -> ComparedExample:
    number = int(pairing.ids[place])
    first, second = splits
    known = first if first is not None else second
    return ComparedExample(
        id=number,
        asked=None if known is None else known.input_text(number),
        expected=None if known is None else known.expected_text(number),
        a=_answer(pairing.a, place, first),
        b=_answer(pairing.b, place, second),
    )


def _answer(outcome: Outcome, place: int, split: LoadedSplit | None) -> Answer:
    samples = 0 if outcome.texts is None else len(outcome.texts) // len(outcome)
    text = None
    if samples and outcome.texts is not None:
        text = outcome.texts[place * samples]
    elif split is not None:
        text = split.class_name(int(outcome.prediction[place]))
    return Answer(
        correct=bool(outcome.correct[place]),
        loss=float(outcome.loss[place]),
        reward=float(outcome.reward[place]),
        text=text,
        samples=samples,
    )
