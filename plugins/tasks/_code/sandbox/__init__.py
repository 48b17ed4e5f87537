"""Run programs that a model wrote: confined, on a clock, judged from outside."""

from .programs import Limits, Program, Status, Verdict
from .sandbox import OVERRIDE, Sandbox

__all__ = ["OVERRIDE", "Limits", "Program", "Sandbox", "Status", "Verdict"]
