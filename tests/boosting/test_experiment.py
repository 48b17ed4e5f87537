"""An opened experiment evaluates trial updates at the scale that it is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from boostlora.engine.contracts import FactoredUpdate, Frame

from .boosting_toys import opened, toy


def test_trial_update_is_evaluated_at_full_scale_unless_told_otherwise(tmp_path: Path) -> None:
    experiment, _ = opened(toy(tmp_path))
    site = experiment.sites[0]
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((n, 1)))[0] for n in site.shape)
    trial = {site.name: FactoredUpdate(frame=Frame(U=U, S=np.ones(1), V=V), core=np.array([[3.0]]))}

    def losses(*scale: float) -> np.ndarray:
        return experiment.evaluate("validation", trial, *scale).loss

    np.testing.assert_array_equal(losses(), losses(1.0))
    assert np.abs(losses() - losses(2.0)).max() > 1e-3
