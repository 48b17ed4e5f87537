"""Scripts in `benchmarks/` import each other by name."""

import sys

from ..support.places import ROOT

sys.path.append(str(ROOT / "benchmarks"))
