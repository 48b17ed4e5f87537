"""The contract of every merge policy."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from ..contracts import MergePolicy, Metrics, Refusal
from .strategies import contract_settings

losses = st.floats(0.0, 10.0)


class MergeContract:
    """Contract tests: inherit, and implement `make`; `uses_validation` declares whether the policy evaluates trial merges."""

    uses_validation = False
    """Whether it refuses an update that worsens validation at every scale."""

    def make(self) -> MergePolicy:
        """A policy, as built from a spec."""
        raise NotImplementedError

    @given(losses, losses, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
    @contract_settings
    def test_choice_on_any_validation_is_a_finite_scale_or_a_refusal(
        self, before: float, after: float, right_before: float, right_after: float
    ) -> None:
        def trial(scale: float) -> Metrics:
            accuracy = right_before + (right_after - right_before) * min(1.0, abs(scale))
            return Metrics(accuracy=accuracy, loss=abs(before + (after - before) * scale), count=10)

        choice = self.make().choose(trial)
        if isinstance(choice, Refusal):
            assert choice.reason
        else:
            assert math.isfinite(choice)

    def test_harmful_update_is_refused_by_policies_that_use_validation(self) -> None:
        def trial(scale: float) -> Metrics:
            return Metrics(accuracy=0.5 / (1 + abs(scale)), loss=1.0 + abs(scale), count=10)

        assert isinstance(self.make().choose(trial), Refusal) == self.uses_validation

    def test_update_that_helps_is_merged(self) -> None:
        def trial(scale: float) -> Metrics:
            distance = abs(scale - 1.0)
            return Metrics(accuracy=0.9 - 0.5 * min(distance, 1.0), loss=distance, count=10)

        choice = self.make().choose(trial)
        assert not isinstance(choice, Refusal)
        assert choice > 0
