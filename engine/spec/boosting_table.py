"""The `[boosting]` table: rank schedules, subsampling, site selection and refits."""

from __future__ import annotations

import attrs

from ..foundation.options import Limit, option

share = Limit("more than 0 and at most 1", lambda x: 0 < x <= 1)
ranks = Limit("whole numbers of at least 1", lambda x: x >= 1)


@attrs.frozen(kw_only=True)
class Boosting:
    """Options from gradient boosting, all off by default."""

    ranks: tuple[int, ...] = option(
        (),
        "ranks of the first rounds that take new directions; later rounds, or all if empty, have the adapter's rank",
        ranks,
    )
    subsample: float = option(
        1.0, "share of the selected examples that a round trains on, redrawn every round", share
    )
    top_sites: int = option(
        0,
        "adapt only so many sites per round: those with the largest gradient in their frames; 0: all",
        min=0,
    )
    refit_every: int = option(
        0, "after so many rounds, a refit: a round that trains all earlier cores jointly; 0: never", min=0
    )
    refit_steps: int = option(0, "steps of a refit; 0: as in any other round", min=0)
    refit_lr: float = option(0.0, "learning rate of a refit; 0: as in any other round", min=0.0)

    @property
    def given(self) -> bool:
        """Whether any option differs from its default."""
        return self != Boosting()

    def is_refit(self, number: int) -> bool:
        """Whether round `number` (from 1) is a refit: every `(refit_every + 1)`-th round is."""
        return self.refit_every > 0 and number % (self.refit_every + 1) == 0

    def fresh_before(self, number: int) -> int:
        """Rounds before round `number` (from 1) that took new directions: all but refits."""
        return number - 1 - (0 if self.refit_every == 0 else (number - 1) // (self.refit_every + 1))

    def fresh_in(self, rounds: int) -> int:
        """How many of the first `rounds` rounds take new directions."""
        return self.fresh_before(rounds + 1)

    def refitted_in(self, rounds: int) -> int:
        """Rounds whose cores the last refit among `rounds` rounds retrains; 0: there is no refit."""
        if self.refit_every == 0 or rounds <= self.refit_every:
            return 0
        return self.fresh_before(rounds - rounds % (self.refit_every + 1))

    def rounds_of(self, fresh: int) -> int:
        """Rounds in total, refits included, if `fresh` rounds take new directions."""
        return fresh + (fresh // self.refit_every if self.refit_every else 0)
