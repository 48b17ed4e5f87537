"""How many examples Hypothesis tries: `fast` while one works, `thorough` where a change is judged.

A test says nothing of numbers of examples itself, so that a profile decides for all of them.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

FAST, THOROUGH = "fast", "thorough"


def load() -> None:
    """Register the profiles and load `fast`; `--hypothesis-profile thorough` takes the other one.

    In CI examples are derived from each test alone, so that a red run is red again.
    """
    common = settings(
        deadline=None,  # shared machines stall; a slow example is no fault
        derandomize="CI" in os.environ,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.register_profile(FAST, common, max_examples=30)
    settings.register_profile(THOROUGH, common, max_examples=150)
    settings.load_profile(FAST)
