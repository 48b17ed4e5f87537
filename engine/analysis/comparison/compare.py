"""Compare two sides: their specs, their examples, and warnings about what the numbers do not show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from ...errors import BoostLoraError, UsageError
from ...foundation.counts import count_text
from ...statistics.examples import PairedExamples
from ..formats import change_text, number_text, p_sentence
from .examples import ComparedExample, LoadedSplit, disagreement, select_examples
from .pairs import Effects, LossDifference, Pairing, accuracy_difference, effects, loss_difference, pair
from .sides import Side

Loader = Callable[[Side], LoadedSplit]
"""Loads the examples of a side; raises `BoostLoraError` on failure."""


@attrs.frozen(kw_only=True, eq=False)
class Comparison:
    """The comparison of two sides."""

    a: Side
    b: Side
    pairing: Pairing
    specs: Mapping[str, tuple[Any, Any]]
    """Keys of the specs that differ."""
    same_data: bool | None
    """None if it was not recorded."""
    same_weights: bool | None
    accuracy: PairedExamples
    loss: LossDifference | None
    effects: Effects
    only_a: tuple[ComparedExample, ...]
    """The selected examples that only A gets right."""
    only_b: tuple[ComparedExample, ...]
    warnings: tuple[str, ...]
    """Limits on what the numbers mean."""
    notes: tuple[str, ...]
    """Why something is missing."""
    confidence: float

    @property
    def same_model(self) -> bool:
        """Whether both are the same round of the same experiment: equal digests."""
        return self.a.digest == self.b.digest

    @property
    def same_run(self) -> bool:
        """Whether both are rounds of one run."""
        return self.a.path.resolve() == self.b.path.resolve()


def compare(a: Side, b: Side, load: Loader, examples: int = 5, confidence: float = 0.95) -> Comparison:
    """Compare two sides on their common examples, and select up to `examples` in each direction to show.

    Data are loaded only to show examples, or if the data differ. Equal ids usually mean equal examples (an id is a hash of
    the text, or a position in a fixed set), but a task may reuse an id. Such cases are in `warnings`; examples whose
    class differs between the data are left out, since they are not the same examples.

    Raises:
        UsageError: if the sides have no example in common.
    """
    same_data, same_weights = _same_hash(a, b, "data"), _same_hash(a, b, "weights")
    pairing = pair(a, b)
    _require_common(a, b, len(pairing))
    warnings, notes = list[str](), list[str]()
    splits: tuple[LoadedSplit | None, LoadedSplit | None] = (None, None)
    if same_data is not True:
        splits, pairing, found = _check_ids(a, b, pairing, load, same_data)
        warnings += found
    differences = spec_differences(a.tree, b.tree)
    warnings += _task_warnings(differences)
    shown: list[tuple[ComparedExample, ...]] = [(), ()]
    if examples and (len(pairing.only_a) or len(pairing.only_b)):
        if same_data is True:
            splits, problem = _load_either(a, b, load)
            notes += problem
        picked = (
            select_examples(pairing, which, examples, splits) for which in (pairing.only_a, pairing.only_b)
        )
        shown = [tuple(found) for found in picked]
    return Comparison(
        a=a,
        b=b,
        pairing=pairing,
        specs=differences,
        same_data=same_data,
        same_weights=same_weights,
        accuracy=accuracy_difference(pairing, confidence),
        loss=loss_difference(pairing, confidence),
        effects=effects(pairing),
        only_a=shown[0],
        only_b=shown[1],
        warnings=tuple(warnings + _split_warnings(a, b)),
        notes=tuple(notes),
        confidence=confidence,
    )


def _same_hash(a: Side, b: Side, name: str) -> bool | None:
    one, two = a.hashes.get(name), b.hashes.get(name)
    return None if one is None or two is None else one == two


def _require_common(a: Side, b: Side, common: int) -> None:
    if common == 0:
        raise UsageError(
            f"{a.title} and {b.title} have no {a.split} example in common, so there is nothing to pair; compare runs of the same "
            "[task] and seed, or compare their means: boostlora show " + f"{a.path} {b.path}"
        )


def _check_ids(
    a: Side, b: Side, pairing: Pairing, load: Loader, same_data: bool | None
) -> tuple[tuple[LoadedSplit | None, LoadedSplit | None], Pairing, list[str]]:
    """Both data sets, the remaining pairing and warnings, for data that may differ."""
    what = "the data differ" if same_data is False else "whether the data are the same was not recorded"
    what += f"; {_common_examples(pairing)}"
    try:
        first, second = load(a), load(b)
    except BoostLoraError as error:
        unsure = f"whether equal ids mean equal examples could not be checked: {error}"
        return (None, None), pairing, [what, unsure]
    found = disagreement(first, second, pairing.ids)
    warnings = [what]
    if len(found.answers) and first.classes:
        pairing = pair(a, b, left_out=found.answers)
        warnings.append(f"{len(found.answers):,} of them are left out: their class differs between the data")
        _require_common(a, b, len(pairing))
    elif len(found.answers):
        warnings.append(
            f"{len(found.answers):,} of them have a different expected answer, and each side is scored on its own"
        )
    if len(found.inputs):
        warnings.append(f"{len(found.inputs):,} of them have the same id and answer, but a different input")
    return (first, second), pairing, warnings


def _common_examples(pairing: Pairing) -> str:
    if pairing.is_whole:
        return f"the {len(pairing):,} examples have the same ids in both"
    common = f"the {len(pairing):,} common examples are" if len(pairing) > 1 else "the one common example is"
    return f"only {common} compared; A has {pairing.others_a:,} others, B {pairing.others_b:,}"


def _load_either(
    a: Side, b: Side, load: Loader
) -> tuple[tuple[LoadedSplit | None, LoadedSplit | None], list[str]]:
    """The data of both sides, which are equal, from the first spec that still loads."""
    problem = ""
    for side in (a, b):
        try:
            splits = load(side)
        except BoostLoraError as error:
            problem = problem or str(error)
        else:
            return (splits, splits), []
    return (None, None), [f"the examples' texts and classes cannot be shown: {problem}"]


def _task_warnings(specs: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """A warning if the criterion of correctness may differ."""
    keys = [
        key for key, values in specs.items() if key.startswith("task.") and not all(map(_is_path, values))
    ]
    if not keys:
        return []
    return [f"the tasks differ in {', '.join(keys)}: inputs, or the criterion of correctness, may differ too"]


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/")  # the data hash covers the contents of files


def _split_warnings(a: Side, b: Side) -> list[str]:
    if a.split == "train":
        return ["the runs were trained on these examples; use --split test to measure generalisation"]
    if a.split == "validation" and (a.chosen or b.chosen):
        return [
            "the best round was chosen on these examples, so its results are optimistic; use --split test"
        ]
    return []


IGNORED = ("name", "description")
"""Keys that do not affect a run."""


def flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A spec's tree with dotted keys."""
    found = dict[str, Any]()
    for key, value in tree.items():
        found |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return found


def spec_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Values of the keys that both specs have and that differ: plugins first, then the others, in the order of the spec.

    A key of only one spec is an option of a plugin that the other does not use, or of a later version.
    """
    one, two = flat(a), flat(b)
    found = {
        key: (one[key], two[key]) for key in one if key in two and one[key] != two[key] and key not in IGNORED
    }
    return dict(sorted(found.items(), key=lambda item: not item[0].endswith(".use")))


ALPHA = 0.05
"""Significance level of a difference in accuracy."""


def verdict(found: Comparison) -> str:
    """A sentence on accuracy by the exact McNemar test, and one on the loss if its interval excludes 0."""
    if found.same_model:
        return "A and B are the same model: the same round of the same experiment"
    paired, examples = found.accuracy, count_text(found.accuracy.examples, "example")
    lower = _lower_loss(found)
    loss = f"; the loss of {lower} is lower" if lower else ""
    if paired.only_first + paired.only_second == 0:
        return f"A and B are right on the same of {examples}{loss}"
    if paired.p >= ALPHA:
        return f"no significant difference in accuracy on {examples} ({p_sentence(paired.p)}){loss}"
    better = "A" if paired.difference > 0 else "B"
    points = number_text(abs(paired.difference), "accuracy")
    if lower and lower != better:
        loss = f", though the loss of {lower} is lower"
    return f"{better} is right more often, by {points} points ({p_sentence(paired.p)}){loss}"


def _lower_loss(found: Comparison) -> str:
    """The side with the lower loss; empty if the interval of the difference contains 0."""
    loss = found.loss
    if loss is None or loss.interval is None or loss.interval[0] <= 0 <= loss.interval[1]:
        return ""
    return "A" if loss.mean < 0 else "B"


def accuracy_sentence(found: Comparison) -> str:
    """`+25.5 points [21.3, 29.6], p < 0.001`."""
    paired = found.accuracy
    low, high = paired.interval if paired.interval is not None else (None, None)
    return f"{change_text(paired.difference, low, high, 'accuracy')}, {p_sentence(paired.p)}"


def loss_sentence(found: Comparison) -> str:
    """`-1.120 nats [-1.301, -0.952]`, with the number of examples if it is not all of them; empty without a loss."""
    loss = found.loss
    if loss is None:
        return ""
    low, high = loss.interval if loss.interval is not None else (None, None)
    some = (
        "" if loss.examples == len(found.pairing) else f", over the {loss.examples:,} where both are finite"
    )
    return change_text(loss.mean, low, high, "loss") + some
