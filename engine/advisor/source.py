"""The measured model: a spec's base, or a run after a round. Only the cache is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from ..boosting.experiment import open_experiment, prepare
from ..contracts import FactoredUpdate, Frame
from ..ensemble.source import RunSource
from ..errors import UsageError
from ..foundation.run_context import RunContext
from ..records.commands import resume_command
from ..registry import Registry
from ..spec import Spec
from ..spec.document import Document, find_spec, load
from ..spec.resolve import legal_name, resolve
from ..study.study_loader import is_study
from .advise import ModelState


def read_spec(name: str, registry: Registry, settings: Sequence[str]) -> tuple[Spec, frozenset[str] | None]:
    """A spec (of a study, without `[ablate]`), and the keys that its budgets solve for. Raises `SpecError` with all faults."""
    path = find_spec(name)
    document = load(path, settings)
    tree = {key: value for key, value in document.tree.items() if key != "ablate"}
    spec = resolve(attrs.evolve(document, tree=tree), registry, default_name=legal_name(path.stem))
    return spec, _solved(document) if is_study(document) else None


def _solved(document: Document) -> frozenset[str]:
    """Keys of `[[ablate.budget]]` tables; invalid tables are faults of the study, not of its spec."""
    ablate: Any = document.tree["ablate"]
    budgets: Any = ablate.get("budget", []) if isinstance(ablate, dict) else []
    tables = [budget for budget in budgets if isinstance(budget, dict)] if isinstance(budgets, list) else []
    return frozenset(str(budget["by"]) for budget in tables if "by" in budget)


def open_spec(spec: Spec, context: RunContext) -> ModelState:
    """The base model of a spec, evaluated on the training split. Raises `UsageError` for a spec that continues a run."""
    if spec.start.given:
        run = f"{spec.start.run or 'RUN'}@{spec.start.round}"
        raise UsageError(
            f"this spec continues a run; measure the model there, with: boostlora advise --run {run}"
        )
    experiment = open_experiment(prepare(spec), context, factorise=False)
    context.report("evaluating", 0, 0)
    return ModelState(experiment=experiment, history=[experiment.evaluate("train")])


def open_run(path: Path, number: int, registry: Registry, context: RunContext) -> ModelState:
    """A run after round `number` (-1: its last), with its rounds assembled. Raises `UsageError` for a missing round."""
    origin = RunSource(path, registry, context)
    directory, finished_rounds = origin.directory, len(origin.records) - 1
    if finished_rounds < 0:
        raise UsageError(
            f"{path}: its base has not been evaluated yet; continue with: {resume_command(path)}"
        )
    last = finished_rounds if number == -1 else number
    if not 0 <= last <= finished_rounds:
        raise UsageError(f"{path}: it has no round {number}; there are 0 (the base) to {finished_rounds}")
    merged = [record for record in directory.records[: last + 1] if record.scale != 0.0]
    ensemble = [(directory.updates(record.round), record.scale) for record in merged]
    experiment = origin.experiment
    experiment.model.assemble(ensemble)
    used = list[dict[str, Frame]]()
    for record, (updates, _) in zip(merged, ensemble, strict=True):
        if record.refit:
            continue
        frames = {
            name: update.frame
            for name, update in updates.items()
            if isinstance(update, FactoredUpdate) and update.orthonormal
        }
        used.append(frames)
    name = origin.spec.head.name
    return ModelState(
        experiment=experiment,
        history=[directory.outcomes(record.round)["train"] for record in directory.records[: last + 1]],
        used=used,
        words=f"{name} after round {last}" if last else f"the base model of {name}",
    )
