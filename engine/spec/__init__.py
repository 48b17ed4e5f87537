"""Specs: strict TOML with all faults reported at once, parsed into a typed, canonical spec."""

from .faults import Fault, SpecError
from .spec import Slot, Spec, StopRules

__all__ = ["Fault", "Slot", "Spec", "SpecError", "StopRules"]
