"""What plugins and backends promise, and the small arrays that cross the borders between them.

Every array here is NumPy and small against the model: indices, losses, frames, cores. Weights and activations
stay inside the backend.
"""

from .cores import DenseDelta, FreeFactors, LinearCore, Parametrisation
from .examples import Examples, Outcome, Predictions, Splits
from .exports import Exportable, Exporter, MergedRound
from .frames import Frame, SiteView
from .generation import Decoding, GenerationRequest, Sampling, Written
from .generators import Generator, Speaker, Writer
from .gradient_oracle import Evidence, Factors, Products, Question, Told
from .jobs import DetachedExecutor, Ended, Executor, Job, TrackedRun, Tracker
from .kinds import Adapter, Basis, InformedBasis, MergePolicy, Optimizer, Sampler
from .merges import Metrics, Refusal, Trial
from .models import Backend, BoostedModel, Model, PortableModel, TextModel
from .objectives import Objective, PolicyObjective
from .sequences import Prompts, Texts, Tokens
from .sites import Blueprint, ModelSource, Site, WeightInfo
from .stores import ModularModel, SiteUpdates, StoringBackend, WeightStore
from .tasks import GeneratingTask, MeasuringTask, Task, WitnessedTask
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
    "Decoding",
    "DenseDelta",
    "DenseUpdate",
    "DetachedExecutor",
    "Ended",
    "Evidence",
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
    "Generator",
    "InformedBasis",
    "Job",
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
    "Products",
    "Prompts",
    "Question",
    "Refusal",
    "Rollouts",
    "Sampler",
    "Sampling",
    "Selection",
    "Site",
    "SiteUpdates",
    "SiteView",
    "Speaker",
    "Splits",
    "Step",
    "StoringBackend",
    "Task",
    "TextModel",
    "Texts",
    "Tokens",
    "Told",
    "TrackedRun",
    "Tracker",
    "Training",
    "TrainingRequest",
    "Trial",
    "Update",
    "WeightInfo",
    "WeightStore",
    "WitnessedTask",
    "Writer",
    "Written",
]
