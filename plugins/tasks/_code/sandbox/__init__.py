"""A sandbox for generated programs: confined, with time limits, judged by a separate process."""

from .programs import Limits, Program, Status, Verdict
from .sandbox import OVERRIDE, Sandbox

__all__ = ["OVERRIDE", "Limits", "Program", "Sandbox", "Status", "Verdict"]
