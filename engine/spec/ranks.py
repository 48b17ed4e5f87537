"""How many directions each round takes: one rank for all, or a schedule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count, islice

import attrs


@attrs.frozen(kw_only=True)
class Ranks:
    """The rank of every round that takes new directions, counted from 0: those inherited, then a list, then one rank for all others.

    A list counts from the first round of all, so that its first entries are passed over where rounds are inherited.
    """

    usual: int
    listed: Sequence[int] = ()
    inherited: Sequence[int] = ()

    def __getitem__(self, fresh: int) -> int:
        """The rank of one round."""
        for known in (self.inherited, self.listed):
            if fresh < len(known):
                return known[fresh]
        return self.usual

    def __iter__(self) -> Iterator[int]:
        """Of one round after the other, without end."""
        return (self[fresh] for fresh in count())

    def first(self, rounds: int) -> tuple[int, ...]:
        """Of so many rounds."""
        return tuple(islice(self, rounds))

    def counted(self, rounds: int) -> Counter[int]:
        """By rank, how many of so many rounds have it."""
        known = max(len(self.inherited), len(self.listed))
        found = Counter(self.first(min(rounds, known)))
        if rounds > known:
            found[self.usual] += rounds - known
        return found

    def served(self, width: int, directions: int | None) -> int | None:
        """How many rounds a site of `width` can serve that gives so many `directions` in all; None: without end."""
        known = self.first(max(len(self.inherited), len(self.listed)))
        for done, rank in enumerate(known):
            if rank > width or (directions is not None and rank > directions):
                return done
            directions = None if directions is None else directions - rank
        if self.usual > width:
            return len(known)
        return None if directions is None else len(known) + directions // self.usual
