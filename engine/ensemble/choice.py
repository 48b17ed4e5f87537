"""The rounds that form a model: a prefix, a selection, or rounds with other weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import index

import attrs

from ..errors import UsageError
from ..foundation.options import shortened

Rounds = int | str | Sequence[int] | Mapping[int, float] | None
"""`7`: the first seven rounds, `0`: none, the base; `"1..7"`, `"3.."`, `"..7"`, `"1..3,5,9..12"`: those rounds; `"all"`,
or None; `"best"`: up to the best round on validation; round numbers; or rounds with factors of their scales."""

MAX_SHOWN = 10**12
PART = re.compile(r"(\d{0,9})\.\.(\d{0,9})|(\d{1,9})")


@attrs.frozen(kw_only=True)
class Choice:
    """The selected rounds, each with a factor of its recorded scale."""

    weights: Mapping[int, float]
    last: int
    """The last available round."""

    @property
    def prefix(self) -> int | None:
        """N if this is the run's own model after n rounds (rounds 1 to n, weights 1); else None."""
        numbers = sorted(self.weights)
        whole = numbers == list(range(1, len(numbers) + 1)) and all(w == 1.0 for w in self.weights.values())
        return len(numbers) if whole else None

    def describe(self) -> str:
        """`1..7`, `1..3, 5 (x 0.5)`, `0 (the base)`."""
        if not self.weights:
            return "0 (the base)"
        return ", ".join(_ranges([(n, self.weights[n]) for n in sorted(self.weights)]))


def choose(
    rounds: Rounds | Choice,
    last: int,
    *,
    best: int | None = None,
    drop: Sequence[int] = (),
    weights: Mapping[int, float] | None = None,
) -> Choice:
    """Select rounds from 1 to `last`, or those of another choice; then `drop` removes rounds, and `weights` sets factors.

    Raises `UsageError` for a missing round or an invalid expression.
    """
    if isinstance(rounds, Choice):
        rounds = rounds.weights
    if isinstance(rounds, Mapping):
        found = {_check_round(n, last): _as_weight(w) for n, w in rounds.items()}
    else:
        found = dict.fromkeys(_numbers(rounds, last, best), 1.0)
    for number in dict.fromkeys(drop):
        if _check_round(number, last) not in found:
            raise UsageError(f"round {number} cannot be dropped: it is not selected")
        del found[number]
    for number, weight in (weights or {}).items():
        if _check_round(number, last) not in found:
            raise UsageError(f"round {number} cannot get weight {_as_weight(weight):g}: it is not selected")
        found[number] = _as_weight(weight)
    if any(not abs(w) < float("inf") for w in found.values()):
        raise UsageError("weights of rounds must be finite numbers")
    return Choice(weights={n: w for n, w in sorted(found.items()) if w != 0.0}, last=last)


def _numbers(rounds: int | str | Sequence[int] | None, last: int, best: int | None) -> list[int]:
    if rounds is not None and not isinstance(rounds, str):
        if isinstance(rounds, Iterable):
            return sorted({_check_round(n, last) for n in rounds})
        whole = _as_integer(rounds)
        return list(range(1, (_check_round(whole, last) if whole else 0) + 1))
    text = "all" if rounds is None else rounds.strip()
    if text == "all":
        return list(range(1, last + 1))
    if text == "best":
        if best is None:
            raise UsageError("there is no best round: the run has no finished round")
        return list(range(1, best + 1))
    if text.isdecimal() and PART.fullmatch(text):
        return _numbers(int(text), last, best)
    return sorted({number for part in text.split(",") for number in _part(part.strip(), last)})


def _part(part: str, last: int) -> Iterator[int]:
    match = PART.fullmatch(part)
    if match is None:
        allowed = "7 (the first seven), 1..7, 3.., 1..3,5, all, best, 0 (the base)"
        raise UsageError(f'"{shortened(part)}" is not a selection of rounds; allowed: {allowed}')
    low, high, single = match.groups()
    if single:
        yield _check_round(int(single), last)
        return
    first, end = int(low or 1), int(high or last)
    if first > end:
        raise UsageError(f"rounds {part}: the first is after the last")
    yield from range(_check_round(first, last), _check_round(end, last) + 1)


def _check_round(number: int, last: int) -> int:
    found = _as_integer(number)
    if not 1 <= found <= last:
        there = f"1 to {last}" if last else "none yet; 0 is the base"
        shown = found if abs(found) < MAX_SHOWN else "of so many digits"
        raise UsageError(f"no round {shown}; there are: {there}")
    return found


def _as_integer(number: int) -> int:
    try:
        return index(number)  # accepts NumPy integers, and no fractions
    except TypeError:
        raise UsageError(f"{shortened(repr(number))} is not a round number") from None


def _as_weight(weight: float) -> float:
    try:
        return float(weight)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"{shortened(repr(weight))} is not a weight of a round; a number is required"
        ) from None


def _ranges(pairs: Sequence[tuple[int, float]]) -> Iterator[str]:
    """Consecutive rounds of equal weight, as ranges."""
    start = 0
    for i in range(1, len(pairs) + 1):
        if i < len(pairs) and pairs[i] == (pairs[i - 1][0] + 1, pairs[start][1]):
            continue
        (first, weight), end = pairs[start], pairs[i - 1][0]
        shown = f"{first}..{end}" if end > first else f"{first}"
        if len(pairs) == 1 or (i == len(pairs) and start == 0 and end == first):
            shown = f"{first}..{end}"  # a single number would mean a prefix
        yield shown + (f" (x {weight:g})" if weight != 1.0 else "")
        start = i
