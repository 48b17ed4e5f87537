"""What a run will do, before it does anything: sites, numbers trained, directions needed, memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import attrs

from ..contracts import (
    Blueprint,
    CalibrationSpec,
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
from .capacity import SitePlan, check_capacity, plan_site, served_by
from .generation import decoding_of
from .options import boosting_notes, check_boosting
from .parameter_counts import calibration_bytes, extra_bytes, parameters_in, stacked_rounds, update_bytes
from .round_plan import calibration_at, with_rank
from .tokens import SPLITS
from .workload import Workload, workload_of


@attrs.frozen(kw_only=True)
class Plan:
    """A run that could be started."""

    sites: tuple[SitePlan, ...]
    rounds: int
    parameters: int
    """Numbers trained in one round, tying counted; in the one that trains most, where their ranks differ."""
    total_parameters: int
    """Numbers trained in all rounds, refits left out, since they train no other ones."""
    ranks: tuple[int, ...]
    """Of the rounds, each once and in order."""
    examples: Mapping[str, int]
    classes: int
    weight_bytes: int
    extra_bytes: int
    """Frames, trained values, their gradients and the optimiser's state: what boosting adds to the model, at most."""
    update_bytes: int
    """Size on disk of one round's updates, the largest."""
    calibration: CalibrationSpec | None = None
    """What is asked of the data at the start of a round."""
    calibration_bytes: int = 0
    """Products with gradients and factors of them, at all sites."""
    workload: Workload | None = None
    """Tokens and operations of a language model's run."""
    notes: tuple[str, ...] = ()

    @property
    def capacity(self) -> int | None:
        """Rounds the scarcest site can serve."""
        return served_by(self.sites)

    def as_json(self) -> dict[str, Any]:
        """The plan for scripts."""
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
        return {**content, "capacity": self.capacity, "sites": sites}


def make_plan(spec: Spec, splits: Splits, encoded: Splits) -> tuple[Plan, Blueprint]:
    """Plan a run, and refuse one that cannot end well. Raises `UsageError` or `ExhaustedError`."""
    with blame("backend", spec.slots["backend"].use):
        spec.backend.check()
    with blame("model", spec.slots["model"].use):
        blueprint = spec.model.blueprint(splits)
    _check_backend(spec, blueprint)
    _check_writing(spec)
    sites = choose_sites(spec.sites, blueprint)
    site_plans = tuple(plan_site(spec, site) for site in sites)
    check_capacity(spec, site_plans)  # before arrays are made whose size follows from ranks
    by_rank = _parametrise(spec, sites)
    anyone = next(iter(by_rank.values()))
    check_boosting(spec)
    calibration = calibration_at(spec, max(by_rank))
    stacked = stacked_rounds(spec, served_by(site_plans))
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
        extra_bytes=extra_bytes(sites, [s.depth for s in site_plans], by_rank, stacked),
        update_bytes=update_bytes(sites, by_rank),
        calibration=calibration,
        calibration_bytes=calibration_bytes(calibration, sites),
        workload=workload_of(spec, blueprint, encoded, anyone, spec.rounds),
        notes=(
            *_notes(spec),
            *boosting_notes(spec, sites, by_rank, stacked),
            *_cut(encoded),
            *_too_long(spec, blueprint, encoded),
        ),
    )
    return plan, blueprint


def _check_backend(spec: Spec, blueprint: Blueprint) -> None:
    backend, name = spec.backend, spec.slots["backend"].use
    for what, wanted, known in (
        ("the architecture", blueprint.architecture, backend.architectures),
        ("the optimiser rule", spec.optimizer.rule, backend.rules),
    ):
        if not any(fnmatchcase(wanted, pattern) for pattern in known):
            raise UsageError(
                f'backend {name} does not know {what} "{wanted}"; it knows: {", ".join(sorted(known))}'
            )


def _check_writing(spec: Spec) -> None:
    """Refuse a generator that cannot work here, and rewards where nothing is written."""
    with blame("generator", spec.slots["generator"].use):
        spec.generator.check()
    if isinstance(spec.objective, PolicyObjective) and decoding_of(spec) is None:
        raise UsageError(
            f"objective {spec.slots['objective'].use} learns from what the model writes, and task {spec.slots['task'].use} lets "
            "it write nothing here; use a task that judges answers, such as gsm8k or arithmetic"
        )


def _parametrise(spec: Spec, sites: tuple[Site, ...]) -> dict[int, list[Parametrisation]]:
    """By rank, what a round trains at every site."""
    streams, adapter = Streams(spec.head.seed), spec.adapter
    found = dict[int, list[Parametrisation]]()
    for rank in spec.ranks.counted(spec.boosting.fresh_in(spec.rounds)) or [adapter.rank]:
        with blame("adapter", spec.slots["adapter"].use):
            sized = with_rank(adapter, rank)
            found[rank] = [sized.parametrise(site, sites, streams("adapter", 0, site.name)) for site in sites]
    return found


def _notes(spec: Spec) -> tuple[str, ...]:
    """What a user may not have meant."""
    notes = list[str]()
    if not spec.adapter.framed:
        adapter = spec.slots["adapter"].use
        notes.append(f"adapter {adapter} finds its own directions; [basis] has no effect")
    if spec.slots["sampler"].use == "failures" and getattr(spec.sampler, "replay", None) == 0.0:
        notes.append(
            "sampler.replay = 0 trains on failures alone, which breaks many of the examples already right in every "
            "round; 0.5 is the default for that reason"
        )
    rank = max(spec.ranks.counted(spec.boosting.fresh_in(spec.rounds)), default=spec.adapter.rank)
    numbers = getattr(spec.adapter, "u", 0)
    if spec.adapter.framed and numbers > rank**2:
        notes.append(
            f"adapter.u = {numbers} numbers weigh a core of {rank} x {rank} entries; more than {rank**2} say no more"
        )
    return tuple(notes)


def _cut(encoded: Splits) -> Iterator[str]:
    """Texts that are longer than the model takes."""
    for split in SPLITS:
        tokens = getattr(encoded, split).inputs
        if isinstance(tokens, Tokens) and tokens.cut.any():
            yield (
                f"{int(tokens.cut.sum())} of {len(tokens)} texts of the {split} split are cut to {tokens.lengths.max()} "
                "tokens (model.max_length)"
            )


def _too_long(spec: Spec, blueprint: Blueprint, encoded: Splits) -> Iterator[str]:
    """Answers that may go on beyond the positions that the model was made for."""
    decoding, limit = decoding_of(spec), blueprint.config.get("hf", {}).get("max_position_embeddings")
    if decoding is None or not limit:
        return
    own = getattr(spec.objective, "max_new_tokens", 0)
    length = max(decoding.max_new_tokens, own)
    prompts = [getattr(encoded, split).inputs for split in SPLITS]
    longest = max(int(tokens.starts.max(initial=0)) for tokens in prompts if isinstance(tokens, Tokens))
    if longest + length > limit:
        yield (
            f"a prompt has {longest} tokens, and {length} may be written after it: more than the model's {limit} positions; "
            "lower max_new_tokens, or model.max_length"
        )
