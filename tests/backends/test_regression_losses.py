"""The losses of regression: both backends against torch's own, and their slope against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from boostlora.backends.reference.losses import residual_losses, weighted_residual_loss
from boostlora.backends.torch.losses import residual_loss
from boostlora.engine.contracts import Values
from boostlora.engine.testing import assert_close

RNG = np.random.default_rng(0)
Z, Y, W = RNG.normal(size=(40, 1)) * 3.0, RNG.normal(size=40), RNG.uniform(0.5, 2.0, 40)


@pytest.mark.parametrize("delta", [None, 0.3, 1.0, 100.0])
def test_losses_of_both_backends_are_those_of_torch(delta: float | None) -> None:
    own = torch.nn.MSELoss(reduction="none") if delta is None else torch.nn.HuberLoss("none", delta)
    expected = own(torch.from_numpy(Z[:, 0]), torch.from_numpy(Y)).numpy()
    values = Values(standardised=Y, mean=0.0, std=1.0)
    found = residual_loss(torch.from_numpy(Z), values, torch.float64, delta).numpy()
    # One float64 operation or two in another order, on numbers up to 100.
    assert_close(found, expected, atol=1e-13, what="torch backend")
    assert_close(residual_losses(Z[:, 0] - Y, delta), expected, atol=1e-13, what="reference")


@pytest.mark.parametrize("delta", [None, 0.3, 1.0])
def test_gradient_of_the_weighted_loss_is_that_of_finite_differences(delta: float | None) -> None:
    h = 1e-6
    loss, gradient = weighted_residual_loss(Z, Y, W, delta)
    assert_close(loss, np.mean(W * residual_losses(Z[:, 0] - Y, delta)), atol=1e-13, what="loss")
    for i in range(len(Y)):
        step = np.zeros_like(Z)
        step[i] = h
        up, down = (weighted_residual_loss(Z + s, Y, W, delta)[0] for s in (step, -step))
        # Rounding of a loss of size 10 over 2h, about 1e-9.
        assert_close(gradient[i, 0], (up - down) / (2 * h), atol=1e-8, what=f"slope {i}")
