"""What plugins and backends promise, and the small arrays that cross the borders between them.

Every array here is NumPy and small against the model: indices, losses, frames, cores. Weights and activations
stay inside the backend.
"""

from .cores import DenseDelta, FreeFactors, LinearCore, Parametrisation
from .examples import Examples, Outcome, Predictions, Splits
from .frames import Frame, SiteView
from .kinds import (
    Adapter,
    Backend,
    Basis,
    BoostedModel,
    MergePolicy,
    Model,
    Objective,
    Optimizer,
    Sampler,
    Task,
)
from .merging import Metrics, Refusal, Trial
from .sites import Blueprint, ModelSource, Site, WeightInfo
from .training import Batch, Selection, Training, TrainingRequest
from .updates import DenseUpdate, FactoredUpdate, Update

__all__ = [
    "Adapter",
    "Backend",
    "Basis",
    "Batch",
    "Blueprint",
    "BoostedModel",
    "DenseDelta",
    "DenseUpdate",
    "Examples",
    "FactoredUpdate",
    "Frame",
    "FreeFactors",
    "LinearCore",
    "MergePolicy",
    "Metrics",
    "Model",
    "ModelSource",
    "Objective",
    "Optimizer",
    "Outcome",
    "Parametrisation",
    "Predictions",
    "Refusal",
    "Sampler",
    "Selection",
    "Site",
    "SiteView",
    "Splits",
    "Task",
    "Training",
    "TrainingRequest",
    "Trial",
    "Update",
    "WeightInfo",
]
