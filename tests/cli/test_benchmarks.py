"""The benchmarks that need no model still run, once and on their smallest cases, and print their tables.

What they call is the engine's inside, which moves.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ..support.commands import PATIENCE
from ..support.places import ROOT

BENCHMARKS = ROOT / "benchmarks"
SMALL = {
    "commands": "REPEATS = 1",
    "rank_from_factors": "REPEATS, WIDTHS, MERGED_WIDTH = 1, (128,), 128",
    "round_parts": "RUNS, REPEATS, SHAPES = 1, 1, ((128, 64),)",
    "partial_svd": "REPEATS, SHAPES = 1, ((576, 576),)",
}
"""The constants of each script that say how much it measures, and less of it."""
CALL = """
import sys
sys.path.insert(0, sys.argv[1])
module = __import__(sys.argv[2])
changed = {}
exec(sys.argv[3], changed)
for name, value in changed.items():
    if not name.startswith("__"):
        assert hasattr(module, name), name
        setattr(module, name, value)
module.main()
"""


@pytest.mark.slow(reason="processes that boost and factorise")
@pytest.mark.parametrize(
    ("script", "columns"),
    [
        ("commands", "command / interpreter"),
        ("rank_from_factors", "dense / factors"),
        ("round_parts", "earlier cores again"),
        ("partial_svd", "full / partial"),
    ],
)
def test_benchmark_prints_its_table(script, columns, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CALL, str(BENCHMARKS), script, SMALL[script]],
        cwd=tmp_path,
        env={**os.environ, "BOOSTLORA_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert columns in done.stdout
