"""Protocols of plugins and backends, and the data types that they exchange.

Every array here is NumPy and small compared with the model: indices, losses, frames, cores. Weights and activations
stay inside the backend.
"""

from .cores import DenseDelta, FreeFactors, LinearCore, Parametrisation
from .examples import (
    Examples,
    ExportablePreprocessing,
    InputColumn,
    NewRows,
    Outcome,
    PortablePreprocessing,
    Predictions,
    Preprocessing,
    ReversiblePreprocessing,
    Splits,
    Values,
)
from .exports import Exportable, Exporter, MergedRound
from .frames import Frame, SiteView
from .generation import Completion, Decoding, GenerationRequest, Sampling
from .generators import GenerativeModel, Generator, InferenceEngine
from .gradient_oracle import CalibrationExamples, CalibrationSpec, Factors, GradientOracle, Products
from .jobs import DetachedExecutor, Executor, Job, JobResult, TrackedRun, Tracker
from .kinds import Adapter, Basis, MergePolicy, Optimizer, Sampler
from .merges import Metrics, Refusal, Trial
from .models import Backend, BoostedModel, ChatModel, Message, Model, PortableModel, TextModel
from .objectives import Objective, PolicyObjective, RegressionObjective, WeightedObjective
from .sequences import Prompts, Texts, Tokens
from .sites import Blueprint, ModelSource, Site, WeightInfo
from .stores import ModularModel, SiteUpdates, StoringBackend, WeightStore
from .tasks import DraftableTask, GeneratingTask, MeasuringTask, ProvenanceTask, ScoringTask, Task, TaskDraft
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
    "ChatModel",
    "Completion",
    "Decoding",
    "DenseDelta",
    "DenseUpdate",
    "DetachedExecutor",
    "DraftableTask",
    "Examples",
    "Executor",
    "Exportable",
    "ExportablePreprocessing",
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
    "Message",
    "Metrics",
    "Model",
    "ModelSource",
    "ModularModel",
    "NewRows",
    "Objective",
    "Optimizer",
    "Outcome",
    "Parametrisation",
    "Policy",
    "PolicyObjective",
    "PortableModel",
    "PortablePreprocessing",
    "Predictions",
    "Preprocessing",
    "Products",
    "Prompts",
    "ProvenanceTask",
    "Refusal",
    "RegressionObjective",
    "ReversiblePreprocessing",
    "Rollouts",
    "Sampler",
    "Sampling",
    "ScoringTask",
    "Selection",
    "Site",
    "SiteUpdates",
    "SiteView",
    "Splits",
    "Step",
    "StoringBackend",
    "Task",
    "TaskDraft",
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
