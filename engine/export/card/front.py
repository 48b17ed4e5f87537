"""The front matter of a model card: what the hub reads of it, known facts alone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...contracts import Metrics
from ...foundation.options import DatasetPath
from .base import Base
from .facts import Tree
from .redaction import path_options
from .results import SplitResult

if TYPE_CHECKING:
    from ...ensemble.ensemble import Ensemble

TASKS = {"causal-lm": "text-generation", "classifier": "text-classification"}
"""What the hub calls the task of an architecture."""


def front_matter_of(
    ensemble: Ensemble,
    base: Base,
    folder: Path,
    spec: Tree,
    results: Sequence[SplitResult],
) -> dict[str, Any]:
    """Values by the names that the template has for them; empty where nothing is known."""
    family = base.architecture.partition("/")[0]
    pipeline = _pipeline(folder, family)
    datasets = [
        value
        for slot, kind, value in path_options(ensemble)
        if slot == "task" and kind is DatasetPath and not Path(value).is_absolute()
    ]
    data = [Path(value).name for slot, _, value in path_options(ensemble) if slot == "task"]
    task = str(spec.get("task", {}).get("use", "task"))
    tested = next((r.now for r in results if r.split == "test"), None)
    return {
        "licence": base.licence,
        "base_model": base.hub,
        "library": _library(folder),
        "pipeline": pipeline,
        "datasets": datasets,
        "task_type": pipeline or TASKS.get(family, "tabular-classification"),
        "dataset_name": (datasets or data or [task])[0],
        "dataset_type": (datasets or [task])[0],
        "metrics": _metrics(tested),
    }


def _metrics(tested: Metrics | None) -> dict[str, float]:
    """The test split's figures, as they are; what is not finite is none."""
    if tested is None:
        return {}
    found = {"accuracy": tested.accuracy, "loss": tested.loss, **tested.measures}
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds adapters, to be loaded on the base."""
    return any(folder.rglob("adapter_config.json"))


def _library(folder: Path) -> str:
    """The library that a folder's files are meant for; empty where that is not clear."""
    if is_adapter(folder):
        return "peft"
    if (folder / "modules.json").is_file():
        return "sentence-transformers"
    if any(folder.glob("*.gguf")):
        return "gguf"
    return "transformers" if (folder / "config.json").is_file() else ""


def _pipeline(folder: Path, family: str) -> str:
    """The hub's task, where a pipeline of its can load the files; a classifier whose head lies apart is none."""
    if family == "causal-lm":
        return TASKS[family]
    try:
        told: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = [str(name) for name in told.get("architectures") or ()]
    except (OSError, ValueError, AttributeError, TypeError):
        return ""
    return TASKS[family] if any(n.endswith("ForSequenceClassification") for n in names) else ""
