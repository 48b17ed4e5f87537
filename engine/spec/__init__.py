"""Specs: strict TOML in, every fault at once; a typed, canonical spec out."""

from .faults import Fault, SpecError
from .spec import Slot, Spec, StopRules

__all__ = ["Fault", "Slot", "Spec", "SpecError", "StopRules"]
