"""Protocols of plugins and backends, and the data types that they exchange.

Every array here is NumPy and small compared with the model: indices, losses, frames, cores. Weights and activations
stay inside the backend.
"""

from .cores import DenseDelta, FreeFactors, LinearCore, Parametrisation
from .examples import Examples, InputColumn, Outcome, Predictions, Preprocessing, Splits, Values
from .exports import Exportable, Exporter, MergedRound
from .frames import Frame, SiteView
from .generation import Completion, Decoding, GenerationRequest, Sampling
from .generators import GenerativeModel, Generator, InferenceEngine
from .gradient_oracle import CalibrationExamples, CalibrationSpec, Factors, GradientOracle, Products
from .jobs import DetachedExecutor, Executor, Job, JobResult, TrackedRun, Tracker
from .kinds import Adapter, Basis, MergePolicy, Optimizer, Sampler
from .merges import Metrics, Refusal, Trial
from .models import Backend, BoostedModel, Model, PortableModel, TextModel
from .objectives import Objective, PolicyObjective, RegressionObjective, WeightedObjective
from .sequences import Prompts, Texts, Tokens
from .sites import Blueprint, ModelSource, Site, WeightInfo
from .stores import ModularModel, SiteUpdates, StoringBackend, WeightStore
from .tasks import GeneratingTask, MeasuringTask, ProvenanceTask, Task
from .training import (
    Answers,
    Batch,
    Batches,
    Policy,
    Rollouts,
    Selection,
    Step,
    Training,
    TrainingRequest,
)
from .updates import DenseUpdate, FactoredUpdate, Update

__all__ = [
    "Adapter",
    "Answers",
    "Backend",
    "Basis",
    "Batch",
    "Batches",
    "Blueprint",
    "BoostedModel",
    "CalibrationExamples",
    "CalibrationSpec",
    "Completion",
    "Decoding",
    "DenseDelta",
    "DenseUpdate",
    "DetachedExecutor",
    "Examples",
    "Executor",
    "Exportable",
    "Exporter",
    "FactoredUpdate",
    "Factors",
    "Frame",
    "FreeFactors",
    "GeneratingTask",
    "GenerationRequest",
    "GenerativeModel",
    "Generator",
    "GradientOracle",
    "InferenceEngine",
    "InputColumn",
    "Job",
    "JobResult",
    "LinearCore",
    "MeasuringTask",
    "MergePolicy",
    "MergedRound",
    "Metrics",
    "Model",
    "ModelSource",
    "ModularModel",
    "Objective",
    "Optimizer",
    "Outcome",
    "Parametrisation",
    "Policy",
    "PolicyObjective",
    "PortableModel",
    "Predictions",
    "Preprocessing",
    "Products",
    "Prompts",
    "ProvenanceTask",
    "Refusal",
    "RegressionObjective",
    "Rollouts",
    "Sampler",
    "Sampling",
    "Selection",
    "Site",
    "SiteUpdates",
    "SiteView",
    "Splits",
    "Step",
    "StoringBackend",
    "Task",
    "TextModel",
    "Texts",
    "Tokens",
    "TrackedRun",
    "Tracker",
    "Training",
    "TrainingRequest",
    "Trial",
    "Update",
    "Values",
    "WeightInfo",
    "WeightStore",
    "WeightedObjective",
]
