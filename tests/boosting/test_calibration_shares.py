"""Frames of bases that hear the data, on every backend: held to dense matrices in which the sampler's shares are written out.

The shares are those of `failures`: with F wrong and C right examples, `(1 - replay) / F` and `replay / C`. First layers are taken, whose
inputs are the examples themselves.
"""

import numpy as np
import pytest

from boostlora.engine.contracts import DenseUpdate
from boostlora.engine.testing import assert_close, assert_same_subspace

from .boosting_toys import BACKENDS, SITES, opened, toy

REPLAY, SITE = 0.2, SITES[0]
EXACT = ("basis.examples=0", "basis.oversample=50", f"sampler.replay={REPLAY}")
"""Everybody is heard once, by as many columns as there are directions, so that what is found is no approximation."""


@pytest.fixture(params=BACKENDS)
def opened_with(request, tmp_path):
    """Opens an experiment with a basis, on every backend."""
    if request.param == "torch":
        pytest.importorskip("torch", reason="the torch backend needs PyTorch")

    def made(basis):
        return opened(toy(tmp_path, *BACKENDS[request.param], f"basis.use={basis}", *EXACT))

    return made


def shares_of(runner):
    """By example of the training split."""
    wrong = ~runner.history[-1].correct
    F, C = int(wrong.sum()), int((~wrong).sum())
    assert F > 2
    assert C > 2
    assert abs((1 - REPLAY) / F - REPLAY / C) > 0.005, "equal shares; the test shows nothing"
    return np.where(wrong, (1 - REPLAY) / F, REPLAY / C)


def slopes(experiment, shares, h=1e-5):
    """`dL/dW` of `L = sum_i p_i loss_i`, an entry at a time by central differences of what the model says of every example."""
    train, shape = experiment.encoded.train, experiment.model.weight(SITE).shape
    found = np.empty(shape)
    for place in np.ndindex(shape):
        delta = np.zeros(shape)
        delta[place] = h
        up, down = (
            experiment.model.predict(train, {SITE: DenseUpdate(delta=delta)}, s).loss for s in (1, -1)
        )
        found[place] = shares @ (up - down) / (2 * h)
    return found


def test_gradient_frame_weights_losses_by_the_samplers_weights(opened_with):
    experiment, runner = opened_with("gradient")
    G = slopes(experiment, shares_of(runner))
    frame = runner.frames(runner.plan(1), runner.select(1))[SITE]
    U, s, Vt = np.linalg.svd(G)
    assert s[1] - s[2] > 1e-3, "no gap; the directions are not defined"
    # Central differences are right to 1e-9, divided by the gap.
    assert_same_subspace(frame.U, U[:, :2], atol=1e-5, what="U")
    assert_same_subspace(frame.V, Vt[:2].T, atol=1e-5, what="V")


def test_activation_frame_weights_inputs_by_the_samplers_weights(opened_with):
    experiment, runner = opened_with("activation")
    X, shares = experiment.encoded.train.inputs, shares_of(runner)
    frame = runner.frames(runner.plan(1), runner.select(1))[SITE]
    values, vectors = np.linalg.eigh(X.T @ (shares[:, None] * X))
    assert values[-2] - values[-3] > 1e-3 * values[-1], "no gap; the directions are not defined"
    assert_same_subspace(frame.V, vectors[:, -2:], atol=1e-10, what="V")
    U, _ = np.linalg.qr(experiment.model.weight(SITE) @ vectors[:, -2:])
    assert_same_subspace(frame.U, U, atol=1e-10, what="U")
    plain = np.linalg.eigh(X.T @ X)[1][:, -2:]
    assert np.linalg.norm(plain - frame.V @ (frame.V.T @ plain)) > 1e-3, "shares change nothing here"


def test_frames_use_the_root_mean_square_singular_value(opened_with):
    experiment, runner = opened_with("gradient")
    for site, frame in runner.frames(runner.plan(1), runner.select(1)).items():
        sigma = np.linalg.svd(experiment.model.weight(site), compute_uv=False)
        expected = np.full(2, np.sqrt(np.mean(sigma**2)))
        assert_close(frame.S, expected, atol=1e-12, what=site)
