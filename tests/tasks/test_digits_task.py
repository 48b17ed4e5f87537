from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from boostlora.engine.contracts import Predictions
from boostlora.engine.testing.assertions import assert_close
from boostlora.plugins.tasks.digits import Digits, rotated

PARTS = ("train", "validation", "test")


def test_digits_default_splits_hold_every_digit_once(rng: np.random.Generator) -> None:
    splits = Digits().load(rng)
    assert [len(getattr(splits, part)) for part in PARTS] == [754, 504, 539]
    ids = np.concatenate([getattr(splits, part).ids for part in PARTS])
    np.testing.assert_array_equal(np.sort(ids), np.arange(1797))
    assert splits.classes == tuple("0123456789")
    labels = load_digits().target
    for part in PARTS:
        examples = getattr(splits, part)
        np.testing.assert_array_equal(examples.labels, labels[examples.ids])
        assert np.bincount(examples.labels).min() >= 0.09 * len(examples)


def test_digits_source_is_upright_and_holds_no_test_digit(rng: np.random.Generator) -> None:
    splits = Digits(angle=90.0).load(rng)
    assert splits.source is not None
    assert not set(splits.source.ids) & set(splits.test.ids)
    assert set(splits.source.ids) == set(splits.train.ids) | set(splits.validation.ids)
    np.testing.assert_array_equal(splits.source.inputs, load_digits().data[splits.source.ids] / 16.0)


@pytest.mark.parametrize("angle", [0.0, 90.0, 180.0, -90.0, 360.0])
def test_digits_quarter_turns_are_exact(rng: np.random.Generator, angle: float) -> None:
    splits = Digits(angle=angle).load(rng)
    upright = load_digits().images[splits.test.ids] / 16.0
    turned = np.rot90(upright, k=int(angle // 90), axes=(1, 2))
    np.testing.assert_array_equal(splits.test.inputs, turned.reshape(-1, 64))


def test_rotated_quarter_turn_moves_the_right_edge_to_the_top() -> None:
    image = np.zeros((1, 8, 8))
    image[0, :, 7] = 1.0
    turned = rotated(image, 90.0)[0]
    np.testing.assert_array_equal(turned[0], 1.0)
    assert turned.sum() == 8.0


def test_rotated_general_angle_turns_the_same_way_as_quarter_turns() -> None:
    image = np.zeros((1, 9, 9))
    image[0, 4, 8] = 1.0  # east
    turned = rotated(image, 45.0)[0]
    # 45 degrees counter-clockwise is north-east: (4, 4) + 4 (-sin 45, cos 45) = (1.17, 6.83), up to the grid.
    brightest = np.unravel_index(turned.argmax(), turned.shape)
    assert_close(brightest, (1.17, 6.83), atol=1.0, what="where the bright pixel went")
    # 0.001 degrees are 2e-5 rad, over 4 pixels.
    assert_close(rotated(image, 89.999), rotated(image, 90.0), atol=1e-3, what="almost a quarter turn")


def test_digits_rotated_back_resemble_the_originals(rng: np.random.Generator) -> None:
    splits = Digits(angle=45.0).load(rng)
    upright = load_digits().images[splits.test.ids] / 16.0
    assert splits.test.inputs.min() >= 0.0
    assert splits.test.inputs.max() <= 1.0
    turned = splits.test.inputs.reshape(-1, 8, 8)

    def likeness(images: np.ndarray) -> float:
        pairs = zip(images, upright, strict=True)
        return float(np.median([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]))

    # Two interpolations blur and corners are cut (0.79 is left), but a turned digit is far less like itself (0.37).
    assert likeness(rotated(turned, -45.0)) > 0.7
    assert likeness(turned) < 0.5


def test_digits_noise_changes_only_the_target_and_stays_in_range(rng: np.random.Generator) -> None:
    noisy = Digits(noise=0.5).load(rng)
    clean = Digits().load(np.random.default_rng(0))
    assert noisy.source is not None
    assert clean.source is not None
    np.testing.assert_array_equal(noisy.source.inputs, clean.source.inputs)
    np.testing.assert_array_equal(noisy.test.ids, clean.test.ids)
    assert 0.1 < np.std(noisy.test.inputs - clean.test.inputs) < 0.5
    assert noisy.test.inputs.min() == 0.0
    assert noisy.test.inputs.max() == 1.0


def test_digits_same_seed_gives_the_same_data_and_another_seed_does_not() -> None:
    first, again, other = (Digits(noise=0.1).load(np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.train.inputs, again.train.inputs)
    assert set(first.test.ids) != set(other.test.ids)


def test_digits_judge_counts_the_right_digit(rng: np.random.Generator) -> None:
    task = Digits()
    examples = task.load(rng).validation
    outcome = task.judge(examples, Predictions(output=np.full(504, 7), loss=np.zeros(504)))
    np.testing.assert_array_equal(outcome.correct, examples.labels == 7)
    np.testing.assert_array_equal(outcome.ids, examples.ids)
