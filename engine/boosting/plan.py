"""The plan of a run, computed without weights: sites, parameter counts, directions, memory, workload, and notes for the user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import attrs

from ..contracts import (
    Blueprint,
    CalibrationSpec,
    InputColumn,
    Parametrisation,
    PolicyObjective,
    Site,
    Splits,
    Tokens,
)
from ..errors import UsageError, blame
from ..foundation.rng import Streams
from ..sdk.sites import choose_sites
from ..spec import Spec
from .capacity import SitePlan, check_capacity, min_capacity, plan_site
from .generation import decoding_of
from .options import boosting_notes, check_boosting
from .parameter_counts import (
    calibration_bytes,
    extra_bytes,
    parameters_in,
    stacked_rounds,
    summed_bytes,
    update_bytes,
)
from .round_plan import calibration_at, with_rank
from .target_check import check_targets
from .tokens import SPLITS
from .workload import Workload, workload_of


@attrs.frozen(kw_only=True)
class Plan:
    """A run that passed all checks, as `boostlora check` shows it."""

    sites: tuple[SitePlan, ...]
    rounds: int
    parameters: int
    """Parameters of one round, tied ones counted once; of the largest round where ranks differ."""
    total_parameters: int
    """Parameters of all rounds. Refits are left out: they train earlier parameters again."""
    ranks: tuple[int, ...]
    """The distinct ranks of the rounds, ascending."""
    examples: Mapping[str, int]
    classes: int
    weight_bytes: int
    extra_bytes: int
    """Peak memory of frames, trained parameters, gradients, optimiser state and sums `W + dW`: what boosting adds to the model."""
    update_bytes: int
    """Size on disk of the largest round's updates."""
    calibration: CalibrationSpec | None = None
    """The calibration of a round; None: no round is calibrated on data."""
    calibration_bytes: int = 0
    """Memory of calibration factors and products, at all sites."""
    workload: Workload | None = None
    """Tokens, operations and memory traffic; None unless the model reads tokens."""
    notes: tuple[str, ...] = ()
    columns: tuple[InputColumn, ...] = ()
    """Every column of a table, and what it becomes; empty for other data."""
    data_bytes: int = 0
    """Memory of the inputs of a table, all splits together."""

    @property
    def inputs(self) -> int:
        """Inputs that the columns become."""
        return sum(column.width for column in self.columns)

    @property
    def capacity(self) -> int | None:
        """Rounds that every site can serve; None: unlimited."""
        return min_capacity(self.sites)

    @property
    def memory_bytes(self) -> int:
        """Peak memory of a run without the libraries: weights, what boosting adds, calibration products and activations."""
        activations = 0 if self.workload is None else self.workload.activation_bytes
        return self.weight_bytes + self.extra_bytes + self.calibration_bytes + activations

    def as_json(self) -> dict[str, Any]:
        """The plan as JSON types, for `boostlora check --json`."""
        sites = [
            {"name": s.site.name, "shape": list(s.site.shape), "capacity": s.capacity, "directions": s.depth}
            for s in self.sites
        ]
        content = attrs.asdict(
            self,
            filter=lambda a, v: (
                a.name != "sites" and not (a.name in {"workload", "calibration"} and v is None)
            ),
        )
        return {**content, "inputs": self.inputs, "capacity": self.capacity, "sites": sites}


def make_plan(spec: Spec, splits: Splits, encoded: Splits) -> tuple[Plan, Blueprint]:
    """Plan a run and check it. Raises `UsageError` for incompatible parts, `ExhaustedError` for too few directions."""
    with blame("backend", spec.slots["backend"].use):
        spec.backend.check()
    with blame("model", spec.slots["model"].use):
        blueprint = spec.model.blueprint(splits)
    _check_backend(spec, blueprint)
    check_targets(spec, splits)
    _check_generation(spec)
    sites = choose_sites(spec.sites, blueprint)
    site_plans = tuple(plan_site(spec, site) for site in sites)
    check_capacity(spec, site_plans)  # before `_parametrise`, which allocates arrays of the size of the ranks
    by_rank = _parametrise(spec, sites)
    any_round = next(iter(by_rank.values()))
    check_boosting(spec)
    calibration = calibration_at(spec, max(by_rank))
    stacked = stacked_rounds(spec, min_capacity(site_plans))
    counted = spec.ranks.counted(spec.boosting.fresh_in(spec.rounds))
    plan = Plan(
        sites=site_plans,
        rounds=spec.rounds,
        parameters=max(parameters_in(sites, by_rank, {rank: 1}) for rank in by_rank),
        total_parameters=parameters_in(sites, by_rank, counted),
        ranks=tuple(sorted(by_rank)),
        examples={name: len(getattr(splits, name)) for name in SPLITS},
        classes=len(splits.classes),
        weight_bytes=spec.backend.itemsize * sum(w.size for w in blueprint.weights),
        extra_bytes=extra_bytes(sites, [s.depth for s in site_plans], by_rank, stacked)
        + summed_bytes(blueprint, sites, spec.backend.itemsize),
        update_bytes=update_bytes(sites, by_rank),
        calibration=calibration,
        calibration_bytes=calibration_bytes(calibration, sites),
        workload=workload_of(
            spec, blueprint, encoded, any_round, spec.rounds, first_adapted=min(s.layer or 0 for s in sites)
        ),
        notes=(
            *_notes(spec),
            *boosting_notes(spec, sites, by_rank, stacked),
            *_truncation_notes(encoded),
            *_length_notes(spec, blueprint, encoded),
        ),
        columns=tuple(splits.preprocessing.columns) if splits.preprocessing else (),
        data_bytes=_data_bytes(splits),
    )
    return plan, blueprint


def _data_bytes(splits: Splits) -> int:
    parts = [getattr(splits, name) for name in SPLITS] + [splits.source] * (splits.source is not None)
    return sum(part.inputs.nbytes for part in parts) if splits.preprocessing else 0


def _check_backend(spec: Spec, blueprint: Blueprint) -> None:
    backend, name = spec.backend, spec.slots["backend"].use
    for what, required, supported in (
        ("the architecture", blueprint.architecture, backend.architectures),
        ("the optimiser rule", spec.optimizer.rule, backend.rules),
    ):
        if not any(fnmatchcase(required, pattern) for pattern in supported):
            raise UsageError(
                f'backend {name} does not support {what} "{required}"; it supports: {", ".join(sorted(supported))}. Use one of these, '
                "or another backend"
            )


def _check_generation(spec: Spec) -> None:
    """Raises `UsageError` for a generator that cannot run here, or a policy objective on a task without generated answers."""
    with blame("generator", spec.slots["generator"].use):
        spec.generator.check()
    if isinstance(spec.objective, PolicyObjective) and decoding_of(spec) is None:
        raise UsageError(
            f"objective {spec.slots['objective'].use} learns from generated answers, and task {spec.slots['task'].use} generates "
            "none with these options; use a task that judges answers, such as gsm8k or arithmetic"
        )


def _parametrise(spec: Spec, sites: tuple[Site, ...]) -> dict[int, list[Parametrisation]]:
    """Every site's parametrisation, by rank."""
    streams, adapter = Streams(spec.head.seed), spec.adapter
    found = dict[int, list[Parametrisation]]()
    for rank in spec.ranks.counted(spec.boosting.fresh_in(spec.rounds)) or [adapter.rank]:
        with blame("adapter", spec.slots["adapter"].use):
            sized = with_rank(adapter, rank)
            found[rank] = [sized.parametrise(site, sites, streams("adapter", 0, site.name)) for site in sites]
    return found


def _notes(spec: Spec) -> tuple[str, ...]:
    """Notes on options that have no effect, or that often harm."""
    notes = list[str]()
    if not spec.adapter.framed:
        adapter = spec.slots["adapter"].use
        notes.append(f"adapter {adapter} does not train in frames; [basis] has no effect")
    if spec.slots["sampler"].use == "failures" and getattr(spec.sampler, "replay", None) == 0.0:
        notes.append(
            "sampler.replay = 0 trains on failures alone: every round then loses many examples that were right. "
            "The default 0.5 draws half of every batch from those"
        )
    rank = max(spec.ranks.counted(spec.boosting.fresh_in(spec.rounds)), default=spec.adapter.rank)
    parameters = getattr(spec.adapter, "u", 0)
    if spec.adapter.framed and parameters > rank**2:
        notes.append(
            f"adapter.u = {parameters} is more than the {rank**2} entries of a {rank} x {rank} core, so some parameters are redundant. Set "
            f"adapter.u to at most {rank**2}"
        )
    return tuple(notes)


def _truncation_notes(encoded: Splits) -> Iterator[str]:
    """Notes on splits with texts longer than `model.max_length`."""
    for split in SPLITS:
        tokens = getattr(encoded, split).inputs
        if isinstance(tokens, Tokens) and tokens.cut.any():
            yield (
                f"{int(tokens.cut.sum())} of {len(tokens)} texts of the {split} split are truncated to {tokens.lengths.max()} "
                "tokens; raise model.max_length to keep them whole"
            )


def _length_notes(spec: Spec, blueprint: Blueprint, encoded: Splits) -> Iterator[str]:
    """Note on answers that may exceed the model's position embeddings."""
    decoding, limit = decoding_of(spec), blueprint.config.get("hf", {}).get("max_position_embeddings")
    if decoding is None or not limit:
        return
    own = getattr(spec.objective, "max_new_tokens", 0)
    length = max(decoding.max_new_tokens, own)
    prompts = [getattr(encoded, split).inputs for split in SPLITS]
    longest = max(int(tokens.starts.max(initial=0)) for tokens in prompts if isinstance(tokens, Tokens))
    if longest + length > limit:
        yield (
            f"the longest prompt has {longest} tokens and up to {length} are generated: more than the model's {limit} positions. "
            "Lower max_new_tokens or model.max_length"
        )
