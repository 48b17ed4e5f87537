"""The front matter of a model card: YAML that the Hugging Face hub reads (`huggingface_hub.ModelCardData`)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ...contracts import Metrics
from ...foundation.markup import printable
from ...foundation.options import DatasetPath
from ...foundation.redaction import cleaned, publishable
from .base import Base, Licence
from .facts import Tree
from .redaction import path_options
from .results import SplitResult

if TYPE_CHECKING:
    from ...ensemble.ensemble import Ensemble

TASKS = {
    "causal-lm": "text-generation",
    "classifier": "text-classification",
    "sequence-classifier": "text-classification",
}
"""The hub's task by architecture."""


def front_matter(
    ensemble: Ensemble, base: Base, folder: Path, spec: Tree, results: Sequence[SplitResult]
) -> str:
    """The front matter of an export in `folder`, as YAML without its fences. What is unknown is left out."""
    family = base.architecture.partition("/")[0]
    pipeline = _pipeline(folder, family)
    named = [(kind, value) for slot, kind, value in path_options(ensemble) if slot == "task"]
    datasets = [value for kind, value in named if kind is DatasetPath and not Path(value).is_absolute()]
    task = str(spec.get("task", {}).get("use", "task"))
    dataset = {
        "type": (datasets or [task])[0],
        "name": (datasets or [Path(value).name for _, value in named] or [task])[0],
        "split": "test",
    }
    metrics = _metrics(next((r.now for r in results if r.split == "test"), None))
    result = {
        "task": {"type": pipeline or TASKS.get(family, "tabular-classification")},
        "dataset": dataset,
        "metrics": [{"type": name, "value": value} for name, value in metrics.items()],
    }
    return as_yaml(
        {
            **_licence(base.licence),
            "base_model": base.hub,
            "library_name": _library(folder),
            "pipeline_tag": pipeline,
            "tags": ["boostlora"],
            "datasets": datasets,
            "metrics": ["accuracy"] if metrics else [],
            "model-index": [{"name": ensemble.spec.head.name, "results": [result]}] if metrics else [],
        }
    )


def as_yaml(content: Mapping[str, Any]) -> str:
    """Keys with a value, as YAML: texts on one line, without credentials and home folders."""
    # Redacted before it is written: `~` alone would be null in YAML.
    known = {
        key: cleaned(value, lambda text: printable(publishable(text)))
        for key, value in content.items()
        if value
    }
    return yaml.safe_dump(known, sort_keys=False, allow_unicode=True, width=math.inf)


def _licence(licence: Licence) -> dict[str, Any]:
    if not licence.ids:
        return {}
    ids = licence.ids[0] if len(licence.ids) == 1 else list(licence.ids)
    return {"license": ids, "license_name": licence.name, "license_link": licence.link}


def _metrics(tested: Metrics | None) -> dict[str, float]:
    """Finite metrics of the test split."""
    if tested is None:
        return {}
    found = {"accuracy": tested.accuracy, "loss": tested.loss, **tested.measures}
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds adapters for the base."""
    return any(folder.rglob("adapter_config.json"))


def _library(folder: Path) -> str:
    """The target library of a folder's files; empty if unclear."""
    if is_adapter(folder):
        return "peft"
    if (folder / "modules.json").is_file():
        return "sentence-transformers"
    if any(folder.glob("*.gguf")):
        return "gguf"
    return "transformers" if (folder / "config.json").is_file() else ""


def _pipeline(folder: Path, family: str) -> str:
    """The hub's task, if a pipeline can load the files; not for a classifier with a separate head."""
    if family == "causal-lm":
        return TASKS[family]
    try:
        config: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = [str(name) for name in config.get("architectures") or ()]
    except (OSError, ValueError, AttributeError, TypeError):
        return ""
    return TASKS[family] if any(n.endswith("ForSequenceClassification") for n in names) else ""
