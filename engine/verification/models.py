"""Open the truth, the yardstick and the candidate on the same weights, sites and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from ..boosting.experiment import Experiment, Prepared, prepare, source_of
from ..boosting.plan import make_plan
from ..boosting.round_plan import RoundPlan
from ..boosting.rounds import RoundRunner
from ..boosting.views import View
from ..contracts import Frame, ModelSource, Update
from ..errors import RunError, UsageError, blame
from ..foundation.run_context import RunContext
from ..registry import Registry
from ..spec import Slot, Spec
from .criterion import Criterion
from .directions import RecordingView
from .limits import Limits

TRUTH = "reference"
"""Name of the reference backend in the registry."""


@attrs.frozen(kw_only=True, eq=False)
class RoundRunners:
    """Round runners of the same experiment by role."""

    truth: RoundRunner
    candidate: RoundRunner
    yardstick: RoundRunner | None
    """None if no criterion needs it."""
    spectra: Mapping[str, Frame | None]
    """The truth's leading directions by site, one more than the basis uses; None if it uses none."""

    def remember(self, plan: RoundPlan, updates: Mapping[str, Update], scale: float) -> None:
        """Add a merged round to every model's ensemble."""
        for runner in (self.truth, self.candidate, *([self.yardstick] if self.yardstick else [])):
            runner.remember(plan, updates, scale)


def open_models(
    spec: Spec, registry: Registry, context: RunContext, limits: Limits, criteria: Sequence[Criterion]
) -> RoundRunners:
    """Open the models; `spec`'s backend is the candidate. Raises `UsageError` if truth or candidate does not support the spec."""
    spec = limits.cut_model(spec)
    try:
        whole = prepare(_with_truth(spec, registry, "float64"))
        make_plan(spec, whole.splits, whole.encoded)
    except UsageError as error:
        raise UsageError(f"cannot be verified: {error}") from error
    source = source_of(whole, context)
    prepared = limits.cut_examples(whole)

    def opened(of: Spec) -> tuple[RoundRunner, dict[str, Frame | None]]:
        experiment, spectra = _open(attrs.evolve(prepared, spec=of), source, context)
        return RoundRunner(experiment, context.report), spectra

    truth, spectra = opened(prepared.spec)
    needed = any(criterion.needs_yardstick for criterion in criteria)
    yardstick = opened(_with_truth(spec, registry, "float32"))[0] if needed else None
    return RoundRunners(truth=truth, candidate=opened(spec)[0], yardstick=yardstick, spectra=spectra)


def _with_truth(spec: Spec, registry: Registry, dtype: str) -> Spec:
    entries = registry.entries("backend")
    if TRUTH not in entries:
        raise RunError(
            f'there is no backend "{TRUTH}" to verify against; it comes with boostlora: reinstall it'
        )
    slot = Slot(use=TRUTH, plugin=entries[TRUTH].cls(dtype=dtype))
    return attrs.evolve(spec, slots={**spec.slots, "backend": slot})


def _open(
    prepared: Prepared, source: ModelSource, context: RunContext
) -> tuple[Experiment, dict[str, Frame | None]]:
    """A model with recording views. Its directions are computed without the cache, which may stem from older code."""
    backend = prepared.spec.slots["backend"].use
    sites = [plan.site for plan in prepared.plan.sites]
    spectra, views = dict[str, Frame | None](), dict[str, View]()
    with blame("backend", backend):
        model = prepared.spec.backend.open(source, sites, context.report)
        for done, plan in enumerate(prepared.plan.sites):
            context.report(f"{backend}: factorising", done, len(sites))
            found, leading = None, None
            if plan.depth:
                found = model.directions(plan.site.name, min(plan.depth + 1, plan.site.width))
                leading = found.take(range(plan.depth))
            spectra[plan.site.name] = found
            views[plan.site.name] = RecordingView(model, plan.site, leading)
    fields: dict[str, Any] = {field.name: getattr(prepared, field.name) for field in attrs.fields(Prepared)}
    with blame("generator", prepared.spec.slots["generator"].use):
        writer = prepared.spec.generator.open(source, sites)
    return Experiment(
        **fields, source=source, model=model, inference_engine=writer, views=views, hashes={}
    ), spectra
