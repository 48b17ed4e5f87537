"""Plugins for the suites' cells, passed to workers as a file: a small task that can fail, and a sampler that waits."""

# It is loaded by its path, as users' files are, so imports are absolute; the type checker cannot resolve them.
# pyright: reportMissingImports=false, reportUnknownParameterType=false, reportUntypedFunctionDecorator=false

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from boostlora.engine.contracts import Examples, Outcome, Predictions, Selection, Splits
from boostlora.engine.foundation.options import option
from boostlora.engine.hookspecs import hookimpl
from boostlora.engine.sdk.judge import judge_labels

CLASSES, COLUMNS = 3, 6
POLL = 0.02


@attrs.frozen(kw_only=True)
class Clouds:
    """Points around three centres."""

    fails: bool = option(False, "raise instead of loading anything")

    def load(self, rng: np.random.Generator) -> Splits:
        """60, 24 and 24 points."""
        if self.fails:
            raise ValueError("this cell is meant to fail")
        centres, parts, first = rng.standard_normal((CLASSES, COLUMNS)), dict[str, Examples](), 0
        for split, each in (("train", 20), ("validation", 8), ("test", 8)):
            labels = np.repeat(np.arange(CLASSES), each)
            inputs = centres[labels] + rng.standard_normal((len(labels), COLUMNS))
            parts[split] = Examples(
                ids=np.arange(first, first + len(labels)), inputs=inputs, labels=labels.astype(np.int64)
            )
            first += len(labels)
        return Splits(**parts, classes=("a", "b", "c"))

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Correct if the centre is."""
        return judge_labels(examples, predictions)


@attrs.frozen(kw_only=True)
class Gated:
    """All examples; rounds wait until a file exists."""

    gate: str = option("", "path of the file; empty: do not wait")
    at: int = option(2, "the first round that waits", min=1)

    def select(self, outcome: Outcome, history: tuple[Outcome, ...], rng: np.random.Generator) -> Selection:
        """Wait, then select."""
        del rng
        gate, waits = Path(self.gate), bool(self.gate) and len(history) + 1 >= self.at
        while waits and gate.parent.exists() and not gate.exists():
            time.sleep(POLL)
        return Selection.equal(np.arange(len(outcome)))


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Register `cell-clouds`."""
    register("cell-clouds", Clouds)


@hookimpl
def register_samplers(register: Callable[[str, type[Any]], None]) -> None:
    """Register `cell-gated`."""
    register("cell-gated", Gated)
