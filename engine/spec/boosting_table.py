"""The `[boosting]` table: what boosting itself may do beside training a round after the other."""

from __future__ import annotations

import attrs

from ..foundation.options import Limit, option

share = Limit("more than 0 and at most 1", lambda x: 0 < x <= 1)
ranks = Limit("whole numbers of at least 1", lambda x: x >= 1)


@attrs.frozen(kw_only=True)
class Boosting:
    """Options from gradient boosting, all of them off unless the spec says else."""

    ranks: tuple[int, ...] = option(
        (),
        "ranks of the first rounds that take new directions, one after the other; all later ones, and all where this is empty, have "
        "the adapter's",
        ranks,
    )
    subsample: float = option(1.0, "share of the chosen examples that a round trains on, drawn anew", share)
    top_sites: int = option(
        0,
        "adapt only so many sites a round, those with the largest gradient inside their frames; 0: all",
        min=0,
    )
    refit_every: int = option(
        0, "after so many rounds, a round that trains all earlier cores again, together; 0: never", min=0
    )
    refit_steps: int = option(0, "steps of such a round; 0: as many as of any other", min=0)
    refit_lr: float = option(0.0, "its learning rate; 0: that of any other round", min=0.0)

    @property
    def given(self) -> bool:
        """Whether anything is on."""
        return self != Boosting()

    def is_refit(self, number: int) -> bool:
        """Whether round `number` (from 1) trains earlier cores again."""
        return self.refit_every > 0 and number % (self.refit_every + 1) == 0

    def fresh_before(self, number: int) -> int:
        """Rounds before round `number` (from 1) that took new directions: what a basis counts."""
        return number - 1 - (0 if self.refit_every == 0 else (number - 1) // (self.refit_every + 1))

    def fresh_in(self, rounds: int) -> int:
        """Of so many rounds, those that take new directions."""
        return self.fresh_before(rounds + 1)

    def refitted_in(self, rounds: int) -> int:
        """Rounds whose cores the last refit among so many rounds trains again; 0: there is no refit."""
        if self.refit_every == 0 or rounds <= self.refit_every:
            return 0
        return self.fresh_before(rounds - rounds % (self.refit_every + 1))

    def rounds_of(self, fresh: int) -> int:
        """Rounds in which so many take new directions, with the refits after them."""
        return fresh + (fresh // self.refit_every if self.refit_every else 0)
