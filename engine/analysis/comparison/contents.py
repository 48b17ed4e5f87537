"""What the examples of a run ask and what is expected, loaded by its task as the run did; no model is opened."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from typing import Any

import attrs
import numpy as np

from ...contracts import Examples, Prompts, Splits, Texts
from ...errors import BoostLoraError, RunError, UsageError, blame
from ...foundation.rng import Streams
from ...runs.directory import SPEC
from .pairs import Ids
from .sides import Side


@attrs.frozen(kw_only=True, eq=False)
class Contents:
    """One split's examples as the task brings them."""

    examples: Examples
    classes: tuple[str, ...]
    places: Mapping[int, int]
    """Where each id stands."""
    shared: int
    """Characters that all prompts begin with, such as an instruction or worked examples: they tell nothing apart."""

    @classmethod
    def of(cls, splits: Splits, split: str) -> Contents:
        """Those of a split."""
        examples = getattr(splits, split)
        places = {number: place for place, number in enumerate(examples.ids.tolist())}
        return cls(examples=examples, classes=splits.classes, places=places, shared=_shared(examples.inputs))

    def asked(self, number: int) -> str | None:
        """The text of an example, without what all begin with; None for rows of numbers."""
        inputs, place = self.examples.inputs, self.places[number]
        if isinstance(inputs, Texts):
            return " | ".join(inputs.rows[place])
        if isinstance(inputs, Prompts):
            return inputs.prompts[place][self.shared :]
        return None

    def expected(self, number: int) -> str | None:
        """The name of the class, or the completion that would be right; None where the task has neither."""
        place = self.places[number]
        if self.classes:
            return self.named(int(self.examples.labels[place]))
        inputs = self.examples.inputs
        return inputs.completions[place].strip() if isinstance(inputs, Prompts) else None

    def named(self, number: int) -> str | None:
        """The name of a class; None where the task has no classes."""
        if not self.classes:
            return None
        return self.classes[number] if 0 <= number < len(self.classes) else str(number)

    def content(self, number: int) -> Any:
        """What an example's input is, to be compared with another."""
        inputs, place = self.examples.inputs, self.places[number]
        if isinstance(inputs, Texts):
            return inputs.rows[place]
        if isinstance(inputs, Prompts):
            return inputs.prompts[place]
        return np.asarray(inputs[place]).tobytes()


@attrs.frozen(kw_only=True, eq=False)
class Disagreement:
    """Common ids that do not mean the same on both sides."""

    asked: Ids
    """Another input, the same answer expected."""
    expected: Ids
    """Another class, or another completion, is right."""


def load_contents(side: Side, registry: Any) -> Contents:
    """The side's split, from its spec. `registry` is an `engine.registry.Registry` with the task's plugin.

    Raises:
        BoostLoraError: where the data cannot be loaded, or are no longer those that the run was played on.
    """
    from ...boosting.experiment import data_sha256  # noqa: PLC0415 - only where examples are looked at
    from ...spec.resolve import load_spec  # noqa: PLC0415

    try:
        spec = load_spec(side.path / SPEC, registry)
    except BoostLoraError as error:
        raise UsageError(str(error).splitlines()[0] + _missing_plugins(side, registry)) from error
    with blame("task", spec.slots["task"].use):
        splits = spec.task.load(Streams(spec.head.seed)("split"))
        recorded = side.hashes.get("data")
        changed = recorded is not None and data_sha256(splits) != recorded
    contents = Contents.of(splits, side.split)
    if changed or not set(side.now.ids.tolist()) <= contents.places.keys():
        raise RunError("the data are no longer those that the run was played on")
    return contents


def disagreement(a: Contents, b: Contents, ids: Ids) -> Disagreement:
    """Where two data sets say different things of the same ids, all of which both must have."""
    numbers = ids.tolist()
    expected = [n for n in numbers if a.expected(n) != b.expected(n)]
    asked = [n for n in numbers if a.content(n) != b.content(n)]
    other = np.array(expected, dtype=np.int64)
    return Disagreement(asked=np.setdiff1d(np.array(asked, dtype=np.int64), other), expected=other)


def _missing_plugins(side: Side, registry: Any) -> str:
    """The plugin files that the run was begun with and that are not loaded, as options to give."""
    loaded = {str(file.resolve()) for file in registry.files}
    missing = [file for file in side.plugin_files if file not in loaded]
    return f"; give {' '.join(f'--plugin {file}' for file in missing)}" if missing else ""


def _shared(inputs: Any) -> int:
    """Characters that all of several prompts begin with, up to the end of a word."""
    if not isinstance(inputs, Prompts) or len(inputs) < 2:
        return 0
    first, last = min(inputs.prompts), max(inputs.prompts)  # what these two share, all between them do
    count = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    while count and not first[count - 1].isspace():
        count -= 1
    return count
