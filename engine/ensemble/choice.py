"""Which rounds of a run make the model: a prefix, a selection, or rounds with other weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import index

import attrs

from ..errors import UsageError
from ..foundation.options import shortened

Rounds = int | str | Sequence[int] | Mapping[int, float] | None
"""`7`: the first seven rounds, `0`: none, the base; `"1..7"`, `"3.."`, `"..7"`, `"1..3,5,9..12"`: those; `"all"`, the same as
None; `"best"`: up to the round that is best on validation; numbers of rounds; or rounds with the factors of their scales."""

MANY = 10**12
PART = re.compile(r"(\d{0,9})\.\.(\d{0,9})|(\d{1,9})")


@attrs.frozen(kw_only=True)
class Choice:
    """Rounds of the model, each with the factor by which its recorded scale is multiplied; the others are left out."""

    weights: Mapping[int, float]
    last: int
    """The last round that there is."""

    @property
    def prefix(self) -> int | None:
        """How many rounds from the first on, weights unchanged, this is: the model that the run had after them. None: another model."""
        numbers = sorted(self.weights)
        whole = numbers == list(range(1, len(numbers) + 1)) and all(w == 1.0 for w in self.weights.values())
        return len(numbers) if whole else None

    def describe(self) -> str:
        """`1..7`, `1..3, 5 (x 0.5)`, `0 (the base)`."""
        if not self.weights:
            return "0 (the base)"
        return ", ".join(_runs([(n, self.weights[n]) for n in sorted(self.weights)]))


def choose(
    rounds: Rounds,
    last: int,
    *,
    best: int | None = None,
    drop: Sequence[int] = (),
    weights: Mapping[int, float] | None = None,
) -> Choice:
    """The choice that a user describes, of rounds 1 to `last`; then `drop` leaves rounds out and `weights` change factors.

    Raises `UsageError` naming a round that there is not, or a word that is none.
    """
    if isinstance(rounds, Mapping):
        found = {_known(n, last): _factor(w) for n, w in rounds.items()}
    else:
        found = dict.fromkeys(_numbers(rounds, last, best), 1.0)
    for number in dict.fromkeys(drop):
        if _known(number, last) not in found:
            raise UsageError(f"round {number} is to be left out, and is not among the chosen ones")
        del found[number]
    for number, weight in (weights or {}).items():
        if _known(number, last) not in found:
            raise UsageError(
                f"round {number} is to have weight {_factor(weight):g}, and is not among the chosen ones"
            )
        found[number] = _factor(weight)
    if any(not abs(w) < float("inf") for w in found.values()):
        raise UsageError("weights of rounds must be finite numbers")
    return Choice(weights={n: w for n, w in sorted(found.items()) if w != 0.0}, last=last)


def _numbers(rounds: int | str | Sequence[int] | None, last: int, best: int | None) -> list[int]:
    if rounds is not None and not isinstance(rounds, str):
        if isinstance(rounds, Iterable):
            return sorted({_known(n, last) for n in rounds})
        whole = _whole(rounds)
        return list(range(1, (_known(whole, last) if whole else 0) + 1))
    text = "all" if rounds is None else rounds.strip()
    if text == "all":
        return list(range(1, last + 1))
    if text == "best":
        if best is None:
            raise UsageError("no best round is known: the run has no finished round")
        return list(range(1, best + 1))
    if text.isdecimal() and PART.fullmatch(text):
        return _numbers(int(text), last, best)
    return sorted({number for part in text.split(",") for number in _part(part.strip(), last)})


def _part(part: str, last: int) -> Iterator[int]:
    match = PART.fullmatch(part)
    if match is None:
        allowed = "7 (the first seven), 1..7, 3.., 1..3,5, all, best, 0 (the base)"
        raise UsageError(f'"{shortened(part)}" names no rounds; allowed: {allowed}')
    low, high, single = match.groups()
    if single:
        yield _known(int(single), last)
        return
    first, end = int(low or 1), int(high or last)
    if first > end:
        raise UsageError(f"rounds {part}: the first is after the last")
    yield from range(_known(first, last), _known(end, last) + 1)


def _known(number: int, last: int) -> int:
    found = _whole(number)
    if not 1 <= found <= last:
        there = f"1 to {last}" if last else "none yet, 0 being the base"
        shown = found if abs(found) < MANY else "of so many digits"
        raise UsageError(f"no round {shown}; there are: {there}")
    return found


def _whole(number: int) -> int:
    try:
        return index(number)  # NumPy's whole numbers too, and no fractions
    except TypeError:
        raise UsageError(f"{shortened(repr(number))} is no number of a round") from None


def _factor(weight: float) -> float:
    try:
        return float(weight)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{shortened(repr(weight))} is no weight of a round; it takes a number") from None


def _runs(pairs: Sequence[tuple[int, float]]) -> Iterator[str]:
    """Neighbouring rounds of one weight, as a range."""
    start = 0
    for i in range(1, len(pairs) + 1):
        if i < len(pairs) and pairs[i] == (pairs[i - 1][0] + 1, pairs[start][1]):
            continue
        (first, weight), end = pairs[start], pairs[i - 1][0]
        shown = f"{first}..{end}" if end > first else f"{first}"
        if len(pairs) == 1 or (i == len(pairs) and start == 0 and end == first):
            shown = f"{first}..{end}"  # a number by itself would mean the first so many
        yield shown + (f" (x {weight:g})" if weight != 1.0 else "")
        start = i
