"""Where things lie in a checkout, and real data that may lie beside it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests" / "support"
SHARED_DATA = ROOT.parent / "shared" / "data"
"""Public benchmarks, in a folder beside the checkout; tests that want them skip with the reason where it is missing."""
