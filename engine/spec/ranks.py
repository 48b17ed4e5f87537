"""The rank of every round: constant, or a schedule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count, islice

import attrs


@attrs.frozen(kw_only=True)
class Ranks:
    """The ranks of rounds that take new directions, from 0: inherited ones, then a list, then a constant.

    Positions in the list count from the first round of the parent run, so inherited rounds skip its first entries.
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
        """The ranks of all rounds, without end."""
        return (self[fresh] for fresh in count())

    def first(self, rounds: int) -> tuple[int, ...]:
        """The ranks of the first `rounds` rounds."""
        return tuple(islice(self, rounds))

    def counted(self, rounds: int) -> Counter[int]:
        """How many of the first `rounds` rounds have each rank."""
        known = max(len(self.inherited), len(self.listed))
        found = Counter(self.first(min(rounds, known)))
        if rounds > known:
            found[self.usual] += rounds - known
        return found

    def served(self, width: int, directions: int | None) -> int | None:
        """Rounds that a site of `width = min(d_out, d_in)` with `directions` available directions can serve; None: unlimited."""
        known = self.first(max(len(self.inherited), len(self.listed)))
        for done, rank in enumerate(known):
            if rank > width or (directions is not None and rank > directions):
                return done
            directions = None if directions is None else directions - rank
        if self.usual > width:
            return len(known)
        return None if directions is None else len(known) + directions // self.usual
