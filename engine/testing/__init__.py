"""Contract tests for plugins: inherit the suite of the plugin's kind, implement `make`, and run pytest.

    from boostlora.engine.testing import SamplerContract

    class TestHardest(SamplerContract):
        def make(self):
            return Hardest(share=0.2)

Needs `pip install 'boostlora[testing]'`.
"""

import pkgutil

import pytest

# Before the suites are imported: a failed assertion then shows its values, as in a test file.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))

from .adapters import AdapterContract
from .assertions import assert_close, assert_same_subspace
from .backends import BackendContract
from .bases import BasisContract
from .batches import ObjectiveContract, OptimizerContract
from .data import ModelContract, TaskContract
from .data_driven_bases import DataDrivenBasisContract
from .executors import DetachedExecutorContract, ExecutorContract
from .exporters import ExportCase, ExporterContract
from .generators import GeneratorContract
from .merges import MergeContract
from .policies import PolicyObjectiveContract
from .samplers import SamplerContract
from .trackers import TrackerContract

__all__ = [
    "AdapterContract",
    "BackendContract",
    "BasisContract",
    "DataDrivenBasisContract",
    "DetachedExecutorContract",
    "ExecutorContract",
    "ExportCase",
    "ExporterContract",
    "GeneratorContract",
    "MergeContract",
    "ModelContract",
    "ObjectiveContract",
    "OptimizerContract",
    "PolicyObjectiveContract",
    "SamplerContract",
    "TaskContract",
    "TrackerContract",
    "assert_close",
    "assert_same_subspace",
]
