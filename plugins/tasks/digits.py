"""Handwritten digits: pretraining on upright images, adaptation to rotated ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Examples, Outcome, Predictions, Splits
from ...engine.errors import UsageError
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.judge import judge_labels
from ...engine.sdk.splits import stratified


@attrs.frozen(kw_only=True)
class Digits:
    """scikit-learn's 1,797 8x8 digits: the source domain is upright, the target domain rotated (and optionally noisy).

    The source has the upright images of the training and validation digits only, so that test digits stay unseen.
    """

    angle: float = option(90.0, "degrees counter-clockwise by which the target domain is rotated")
    noise: float = option(
        0.0, "standard deviation of Gaussian noise on the target's pixels, which are in [0, 1]", min=0.0
    )
    validation: float = option(0.28, "share of the digits for validation", min=0.01, max=0.49)
    test: float = option(0.30, "share of the digits for the test", min=0.01, max=0.49)

    def load(self, rng: np.random.Generator) -> Splits:
        """Stratified splits; `inputs (n, 64)` in [0, 1]."""
        table = _table()
        upright, labels = table[:, :-1].reshape(-1, 8, 8) / 16.0, table[:, -1].astype(np.int64)
        ids = np.arange(len(labels), dtype=np.int64)
        shares = {"validation": self.validation, "test": self.test}
        parts = stratified(ids, labels, shares, rng)
        target = rotated(upright, self.angle)
        target = np.clip(target + self.noise * rng.standard_normal(target.shape), 0.0, 1.0)

        def examples(pictures: NDArray[np.float64], index: NDArray[np.int64]) -> Examples:
            return Examples(ids=ids[index], inputs=pictures[index].reshape(-1, 64), labels=labels[index])

        seen = np.sort(np.concatenate([parts["train"], parts["validation"]]))
        return Splits(
            train=examples(target, parts["train"]),
            validation=examples(target, parts["validation"]),
            test=examples(target, parts["test"]),
            source=examples(upright, seen),
            classes=tuple(str(digit) for digit in range(10)),
        )

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Correct if the predicted digit is the label."""
        return judge_labels(examples, predictions)


@cache
def _table() -> NDArray[np.float64]:
    """scikit-learn's digits `(n, 65)`: 64 pixels from 0 to 16, and the label. Read directly, since the import takes seconds."""
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise UsageError("task digits reads the digits that come with scikit-learn: pip install scikit-learn")
    file = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
    table = np.loadtxt(file, delimiter=",", dtype=np.float64)
    table.setflags(write=False)
    return table


def rotated(images: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Images `(n, h, w)` rotated about their centre: exact for multiples of 90 degrees, else linear interpolation."""
    if angle % 90 == 0:
        return np.rot90(images, k=round(angle / 90), axes=(1, 2)).copy()
    from scipy.ndimage import rotate  # noqa: PLC0415

    return rotate(images, angle, axes=(2, 1), reshape=False, order=1)


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Register `digits`."""
    register("digits", Digits)
