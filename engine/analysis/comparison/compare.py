"""The whole comparison of two sides: what they are, what their examples say, and what must be known to read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from ...errors import BoostLoraError, UsageError
from ...statistics.examples import PairedExamples
from .contents import Contents, disagreement
from .effects import Effects, effects
from .pairs import LossDifference, Pairing, accuracy_difference, loss_difference, pair
from .shown_examples import Shown, show
from .sides import Side
from .specs import differing

Loader = Callable[[Side], Contents]
"""Loads the data of a side; raises `BoostLoraError` where it cannot."""


@attrs.frozen(kw_only=True, eq=False)
class Comparison:
    """All that is said of two sides."""

    a: Side
    b: Side
    pairing: Pairing
    specs: Mapping[str, tuple[Any, Any]]
    """Keys of the specs that differ."""
    same_data: bool | None
    """None where it was not recorded."""
    same_weights: bool | None
    accuracy: PairedExamples
    loss: LossDifference | None
    effects: Effects
    only_a: tuple[Shown, ...]
    """Examples that A alone gets right, of those that were asked for."""
    only_b: tuple[Shown, ...]
    warnings: tuple[str, ...]
    """What must be known before a number is read."""
    notes: tuple[str, ...]
    """What explains something that is missing."""
    confidence: float

    @property
    def same_model(self) -> bool:
        """Whether both are the same round of the same experiment, by their digests."""
        return self.a.digest == self.b.digest

    @property
    def same_run(self) -> bool:
        """Whether both are rounds of one run."""
        return self.a.path.resolve() == self.b.path.resolve()


def compare(a: Side, b: Side, load: Loader, examples: int = 5, confidence: float = 0.95) -> Comparison:
    """Compare two sides on the examples that both have, and pick up to `examples` in each direction to be shown.

    Data are loaded only where examples are to be shown, or where the data differ: ids name examples by what they say, or by
    their place in a fixed set, but a task may give the same id to something else. What is then found is in `warnings`;
    examples whose class differs between the data are left out, for they are not the same examples.

    Raises:
        UsageError: where the sides have no example in common.
    """
    same_data, same_weights = _agree(a, b, "data"), _agree(a, b, "weights")
    pairing = pair(a, b)
    _require_common(a, b, len(pairing))
    warnings, notes = list[str](), list[str]()
    contents: tuple[Contents | None, Contents | None] = (None, None)
    if same_data is not True:
        contents, pairing, found = _checked(a, b, pairing, load, same_data)
        warnings += found
    differing_specs = differing(a.tree, b.tree)
    warnings += _judgement(differing_specs)
    shown: list[tuple[Shown, ...]] = [(), ()]
    if examples and (len(pairing.only_a) or len(pairing.only_b)):
        if same_data is True:
            contents, problem = _either(a, b, load)
            notes += problem
        picked = (show(pairing, which, examples, contents) for which in (pairing.only_a, pairing.only_b))
        shown = [tuple(found) for found in picked]
    return Comparison(
        a=a,
        b=b,
        pairing=pairing,
        specs=differing_specs,
        same_data=same_data,
        same_weights=same_weights,
        accuracy=accuracy_difference(pairing, confidence),
        loss=loss_difference(pairing, confidence),
        effects=effects(pairing),
        only_a=shown[0],
        only_b=shown[1],
        warnings=tuple(warnings + _optimism(a, b)),
        notes=tuple(notes),
        confidence=confidence,
    )


def _agree(a: Side, b: Side, name: str) -> bool | None:
    one, two = a.hashes.get(name), b.hashes.get(name)
    return None if one is None or two is None else one == two


def _require_common(a: Side, b: Side, common: int) -> None:
    if common == 0:
        raise UsageError(
            f"{a.title} and {b.title} have no {a.split} example in common, so there is nothing to pair; compare runs of the same "
            "[task] and seed, or compare their means: boostlora show " + f"{a.path} {b.path}"
        )


def _checked(
    a: Side, b: Side, pairing: Pairing, load: Loader, same_data: bool | None
) -> tuple[tuple[Contents | None, Contents | None], Pairing, list[str]]:
    """Both data sets, what is left of the pairing, and warnings, where the data are not known to be the same."""
    what = "the data differ" if same_data is False else "whether the data are the same was not recorded"
    what += f"; {_common_text(pairing)}"
    try:
        first, second = load(a), load(b)
    except BoostLoraError as error:
        unsure = f"whether equal ids mean equal examples could not be checked: {error}"
        return (None, None), pairing, [what, unsure]
    found = disagreement(first, second, pairing.ids)
    warnings = [what]
    if len(found.expected) and first.classes:
        pairing = pair(a, b, left_out=found.expected)
        warnings.append(f"{len(found.expected):,} of them are left out: their class differs between the data")
        _require_common(a, b, len(pairing))
    elif len(found.expected):
        warnings.append(
            f"{len(found.expected):,} of them have another expected answer, each judged by its own"
        )
    if len(found.asked):
        warnings.append(f"{len(found.asked):,} of them have the same id and answer, but another input")
    return (first, second), pairing, warnings


def _common_text(pairing: Pairing) -> str:
    if pairing.is_whole:
        return f"the {len(pairing):,} examples have the same ids in both"
    common = f"the {len(pairing):,} common examples are" if len(pairing) > 1 else "the one common example is"
    return f"only {common} compared; A has {pairing.others_a:,} others, B {pairing.others_b:,}"


def _either(a: Side, b: Side, load: Loader) -> tuple[tuple[Contents | None, Contents | None], list[str]]:
    """The data of both, which are the same, from whichever spec they can still be loaded."""
    problem = ""
    for side in (a, b):
        try:
            contents = load(side)
        except BoostLoraError as error:
            problem = problem or str(error)
        else:
            return (contents, contents), []
    return (None, None), [f"the examples' texts and classes cannot be shown: {problem}"]


def _judgement(specs: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """A warning where what counts as right may differ."""
    keys = [
        key for key, values in specs.items() if key.startswith("task.") and not all(map(_is_path, values))
    ]
    if not keys:
        return []
    return [f"the tasks differ in {', '.join(keys)}: what is asked, or what counts as right, may differ too"]


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("/")  # what a file says is in the hash of the data


def _optimism(a: Side, b: Side) -> list[str]:
    if a.split == "train":
        return ["these are examples that the runs trained on; --split test tells how well they do on others"]
    if a.split == "validation" and (a.chosen or b.chosen):
        return ["the best round was chosen on these very examples, which flatters it; --split test does not"]
    return []
