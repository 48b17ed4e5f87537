"""Learning from rewards with a real language model: SmolLM2-135M finds right answers likelier on sums it was never shown."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from boostlora.engine.record.directory import RunDirectory
from boostlora.engine.statistics.bootstrap import bca
from boostlora.engine.testing import assert_close

Command = Callable[..., "subprocess.CompletedProcess[str]"]

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")

pytestmark = pytest.mark.slow

TOKENS = 2
"""Of every answer: a space or a space with a minus sign, and a digit; `loss` is their mean."""


def test_smollm2_after_three_rounds_finds_right_answers_likelier(
    boostlora: Command, smollm2: Path, tmp_path: Path
) -> None:
    done = boostlora("run", "smollm2", "--set", f"model.path={smollm2}", "--quiet", timeout=1400)
    assert done.returncode == 0, done.stderr
    (line,) = tmp_path.glob("runs/smollm2/*/rounds.jsonl")
    directory = RunDirectory.open(line.parent)
    assert len(directory.records) == 4
    before, after = (np.exp(-TOKENS * directory.outcomes(number)["test"].loss) for number in (0, 3))
    told = [record.test.measures["probability"] for record in directory.records]
    assert_close(before.mean(), told[0], atol=1e-12, what="probability of the right answer")  # rounding
    gains = after - before
    low, high = bca(gains) or (0.0, 0.0)
    assert low > 0.0, f"gain of {gains.mean():+.3f}, 95 % [{low:+.3f}, {high:+.3f}]"
