"""The benchmarks that need no model still run, and print their tables: what they call is the engine's inside, which moves."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ..support.commands import PATIENCE
from ..support.places import ROOT

BENCHMARKS = ROOT / "benchmarks"


@pytest.mark.slow(reason="whole benchmarks")
@pytest.mark.parametrize(
    ("script", "columns"),
    [
        ("commands", "command / interpreter"),
        ("rank_from_factors", "dense / factors"),
        ("round_parts", "earlier cores again"),
        ("partial_svd", "full / partial"),
    ],
)
def test_benchmark_runs_to_its_table(script, columns, tmp_path):
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{script}.py")],
        cwd=tmp_path,
        env={**os.environ, "BOOSTLORA_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert columns in done.stdout
