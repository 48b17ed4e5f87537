"""Learning rates against those of torch's own schedulers."""

import numpy as np
import pytest

from boostlora.engine.testing import assert_close
from boostlora.plugins.optimizers.sgd import Sgd

torch = pytest.importorskip("torch", reason="whose schedulers are the judges")

LR, STEPS = 0.4, 12


def rates_of(make, steps=STEPS):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)
    scheduler, found = make(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(found)


@pytest.mark.parametrize("floor", [0.0, 0.25])
def test_cosine_schedule_matches_torch(floor):
    expected = rates_of(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=STEPS, eta_min=floor * LR)
    )
    found = Sgd(lr=LR, steps=STEPS, over_steps="cosine", floor=floor).rates(0, 1)
    assert_close(found, expected, atol=1e-15, what="cosine")  # torch multiplies from step to step


@pytest.mark.parametrize("floor", [0.0, 0.25])
def test_linear_schedule_matches_torch(floor):
    expected = rates_of(
        lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=floor, total_iters=STEPS)
    )
    found = Sgd(lr=LR, steps=STEPS, over_steps="linear", floor=floor).rates(0, 1)
    assert_close(found, expected, atol=1e-15, what="linear")


def test_warmup_multiplies_the_decayed_rates():
    """Round 2 of 5 by a cosine, step k of 12 by a line, and the k-th of five steps of warm-up."""
    found = Sgd(lr=LR, steps=STEPS, over_steps="linear", over_rounds="cosine", floor=0.1, warmup=5).rates(
        2, 5
    )
    over_rounds = 0.1 + 0.9 * (1 + np.cos(np.pi * 2 / 5)) / 2
    for k, rate in enumerate(found.tolist()):
        expected = LR * over_rounds * (1 - 0.9 * k / STEPS) * min(1.0, (k + 1) / 5)
        assert_close(rate, expected, atol=1e-15, what=f"step {k}")
