"""What `boostlora advise` would have said of a finished study's arms, and which of them ended ahead.

The advice at the base model is compared part by part (basis, core, rounds, refits, sampler) with pairs of arms that differ in that part
only; then the arms are ranked by the gradient energy that their directions capture. The study must have run before:

    boostlora ablate boosting/digits
    python benchmarks/advice_backtest.py boosting-digits
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import click
from arm_comparisons import (
    WAYS,
    WITH,
    ArmEnergy,
    EndedArm,
    Judged,
    Kind,
    Verdict,
    judge,
    judge_advice,
)

from boostlora.engine.advisor.advise import advise
from boostlora.engine.advisor.findings import Findings
from boostlora.engine.advisor.formats import percent
from boostlora.engine.advisor.rules import recommend
from boostlora.engine.advisor.source import open_run
from boostlora.engine.analysis.analyse import analyse
from boostlora.engine.analysis.formats import (
    difference_unit,
    is_lower_better,
    number_text,
    signed_text,
    unit_of,
)
from boostlora.engine.analysis.model import Analysis, CellView, Row
from boostlora.engine.cli.common import json_option, load_registry, plugin_option, runs_option
from boostlora.engine.cli.console import Console
from boostlora.engine.cli.ensembles import progress
from boostlora.engine.cli.layout import aligned, wrapped
from boostlora.engine.errors import BoostLoraError, UsageError
from boostlora.engine.foundation.counts import count_text
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.sdk.metrics import lower_is_better
from boostlora.engine.study.store import find_study

SampleGradient = Callable[[Path, bool], Findings]
"""`sample(folder, only_own)`: findings at the base model of a run, for the spec's own basis or for every basis."""


@attrs.frozen(kw_only=True)
class ArmPlace:
    """Rank of the arm that follows the advice, in one block."""

    block: str
    analysed: str
    """The arm whose spec was analysed: the baseline, if it has frames."""
    kind: Kind
    arms: tuple[str, ...]
    """The arms of that kind; several if they differ in other settings."""
    placed: int | None
    """Rank of the best of them among all arms with frames, from 1; None if there is no such arm."""
    of: int
    """Arms with frames."""
    best: str


@attrs.frozen(kw_only=True)
class Backtest:
    """The advice for a study's arms, and their final metrics."""

    study: str
    metric: str
    seed: int
    """Seed of the analysed cells."""
    seeds: int
    """Finished seeds of the study."""
    arms: tuple[ArmEnergy, ...]
    places: tuple[ArmPlace, ...]
    judged: tuple[Judged, ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """JSON for scripts."""
        return {**attrs.asdict(self), "judged": [judged.as_json() for judged in self.judged]}


def backtest(analysis: Analysis, runs: Path, sample: SampleGradient) -> Backtest:
    """Analyse every arm at its base model, compare the advice with the outcomes, and rank the arms by captured energy.

    Bases, adapters, ranks and rounds come from the specs of the cells, at the tuning that the study reports. One cell an arm is analysed,
    all with the same seed if they share one. Raises `UsageError` for fewer than two arms with frames.
    """
    study = analysis.study
    metric = f"{study.split}.{study.metric}"
    rows = [row for row in analysis.rows if row.cells and metric in row.metrics]
    if not rows:
        raise UsageError(f"{study.name}: no cell is finished; run them with: boostlora ablate")
    seed = _shared_seed(rows)
    cells = {cell.state.cell.key: cell for cell in analysis.cells}
    found = [_Arm.at(row, cells[row.cells[_cell_index(row, seed)]], runs, sample, metric) for row in rows]
    notes = [
        f"{row.arm}: seed {seed} is not finished; used seed {row.seeds[0]}"
        for row in rows
        if seed not in row.seeds
    ]
    unframed = list(dict.fromkeys(one.energy.arm for one in found if one.energy.first is None))
    if unframed:
        notes.append(f"without frames or rounds, so not compared: {', '.join(unframed)}")
    blocks = [
        [one for one in found if one.energy.block == block and one.framed]
        for block in dict.fromkeys(one.energy.block for one in found)
    ]
    blocks = [arms for arms in blocks if len(arms) >= 2]
    if not blocks:
        raise UsageError(
            f"{study.name}: fewer than two finished arms train in frames, so there is nothing to compare"
        )
    lower = lower_is_better(study.metric)
    advice = [_advice(arms, sample, -1.0 if lower else 1.0) for arms in blocks]
    ranked = [judge([one.energy for one in arms], by, lower=lower) for arms in blocks for by in WAYS]
    return Backtest(
        study=study.name,
        metric=metric,
        seed=seed,
        seeds=max(len(row.seeds) for row in rows),
        arms=tuple(one.energy for one in found),
        places=tuple(place for place, _ in advice),
        judged=tuple(judged for _, found in advice for judged in found),
        verdicts=tuple(ranked),
        notes=tuple(notes),
    )


@attrs.frozen(kw_only=True, eq=False)
class _Arm:
    """An arm with its findings."""

    row: Row
    folder: Path
    kind: Kind
    energy: ArmEnergy
    values: Mapping[int, float]
    """Metric by seed."""

    @property
    def framed(self) -> bool:
        return self.energy.first is not None and math.isfinite(self.energy.metric)

    @classmethod
    def at(cls, row: Row, cell: CellView, runs: Path, sample: SampleGradient, metric: str) -> _Arm:
        folder = runs / cell.state.cell.folder
        found = sample(folder, True)
        basis, core, value = found.bases[0], found.core, row.metrics[metric]
        seen = found.framed and found.rounds > 0
        energy = ArmEnergy(
            arm=row.arm,
            block=row.block,
            basis=basis.name,
            adapter=found.adapter,
            rank=found.rank,
            rounds=found.rounds,
            sampler=found.sampler,
            refits=found.refit_every > 0,
            first=basis.first[core].held_out if seen else None,
            together=basis.together[core].held_out if seen else None,
            metric=value.mean,
        )
        values = dict(zip(row.seeds, value.values, strict=True))
        return cls(row=row, folder=folder, kind=Kind.of(found), energy=energy, values=values)


def _advice(arms: Sequence[_Arm], sample: SampleGradient, sign: float) -> tuple[ArmPlace, tuple[Judged, ...]]:
    """The advice in one block for the spec of the baseline, or of the first arm with frames, and its outcome."""
    through = next((one for one in arms if one.row.is_baseline), arms[0])
    found = sample(through.folder, False)
    kind, block = Kind.advised(found, recommend(found)), through.energy.block
    ended = [
        EndedArm(arm=one.energy.arm, kind=one.kind, values={s: sign * v for s, v in one.values.items()})
        for one in arms
    ]
    order = sorted(arms, key=lambda one: -sign * one.energy.metric)
    alike = [number for number, one in enumerate(order, start=1) if one.kind == kind]
    place = ArmPlace(
        block=block,
        analysed=through.energy.arm,
        kind=kind,
        arms=tuple(order[number - 1].energy.arm for number in alike),
        placed=alike[0] if alike else None,
        of=len(arms),
        best=order[0].energy.arm,
    )
    return place, judge_advice(block, kind, ended)


def _shared_seed(rows: Sequence[Row]) -> int:
    """The first of the seeds that most arms have finished."""
    seeds = [seed for row in rows for seed in row.seeds]
    return max(dict.fromkeys(seeds), key=seeds.count)


def _cell_index(row: Row, seed: int) -> int:
    """Index of the arm's cell that is analysed."""
    return row.seeds.index(seed) if seed in row.seeds else 0


STYLES = {"hit": "green", "miss": "red", "open": "yellow"}
LEGEND = (
    "(difference: the advised arm minus an arm that differs in this part only; rounds are compared with one shot of the same basis and core, and "
    "with the sampler and refits closest to the advice; open: seeds disagree, or as many pairs are hits as misses)"
)
WORDS = {"first": "the next round", "together": "all rounds"}


def print_backtest(backtest: Backtest) -> None:
    """Print the arms with their energies and metrics, then the advice with its outcomes, then the ranking by energy."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    seeds = count_text(backtest.seeds, "seed")
    text = (
        f"{backtest.study}: energy that the arms capture at the base model (seed {backtest.seed}), and their final {backtest.metric} (mean of "
        f"{seeds})"
    )
    for line in (*wrapped(text, ""), "", *_arms(backtest)):
        console.print(line, markup=False)
    for place in backtest.places:
        console.print()
        _print_place(console, backtest, place)
    for line in ("", _counted(backtest), *wrapped(LEGEND, ""), "", *_ranking(backtest)):
        console.print(line, markup=False)
    for note in backtest.notes:
        for line in wrapped(f"note: {note}", ""):
            console.print(line, style="yellow", markup=False)


def _print_place(console: Console, backtest: Backtest, place: ArmPlace) -> None:
    for line in _place(backtest, place):
        console.print(line, markup=False)
    for judged in backtest.judged:
        if judged.block == place.block:
            for line in _judged(backtest, judged):
                console.print(line, style=STYLES[judged.outcome] if judged.pairs else None, markup=False)


def _counted(backtest: Backtest) -> str:
    answered = [judged for judged in backtest.judged if judged.pairs]
    counts = [sum(judged.outcome == way for judged in answered) for way in ("hit", "miss", "open")]
    return f"{counts[0]} of {len(answered)} hit, {counts[1]} missed, {counts[2]} open"


def _share(value: float) -> str:
    """A share in percent, without the sign."""
    return percent(value).removesuffix(" %")


def _arms(backtest: Backtest) -> list[str]:
    """The table, block by block."""
    metric = backtest.metric.rpartition(".")[2]
    unit = unit_of(metric)
    titles = ("arm", "basis", "core", "r", "rounds", "sampler", "next round", "all rounds")
    rows: list[tuple[str, ...]] = [(*titles, f"{metric} ({unit})" if unit else metric)]
    blocks = list(dict.fromkeys(arm.block for arm in backtest.arms))
    for block in blocks:
        rows += [(block, *[""] * len(titles))] if block else []
        rows += [_arm_row(arm, metric) for arm in backtest.arms if arm.block == block]
    text = "(next round, all rounds: % of the energy of held-out gradients that the arm's cores capture)"
    return [*aligned(rows, gap=2), *wrapped(text, "")]


def _arm_row(arm: ArmEnergy, metric: str) -> tuple[str, ...]:
    backtest = ("-" if value is None else _share(value) for value in (arm.first, arm.together))
    basis = "-" if arm.first is None else arm.basis
    rounds = f"{arm.rounds}, refits" if arm.refits else str(arm.rounds)
    row = (arm.arm, basis, arm.adapter, str(arm.rank), rounds, arm.sampler)
    return (*row, *backtest, number_text(arm.metric, metric))


def _place(backtest: Backtest, place: ArmPlace) -> Iterator[str]:
    """The advice, and the rank of the arm that follows it."""
    at = f"{place.block}: " if place.block else ""
    yield from wrapped(f"{at}advice for the spec of {place.analysed}: {_kind(place.kind)}", "")
    if place.placed is None:
        yield "  no arm follows all of it"
        return
    ended = {arm.arm: _ended(backtest, arm) for arm in backtest.arms if arm.block == place.block}
    text = f"the arm that follows it, {place.arms[0]}: {ended[place.arms[0]]}, "
    if place.placed == 1:
        text += f"the best of {place.of} arms with frames"
    else:
        text += f"number {place.placed} of {place.of} arms with frames; the best is {place.best}: {ended[place.best]}"
    yield from wrapped(text, "  ")


def _ended(backtest: Backtest, arm: ArmEnergy) -> str:
    metric = backtest.metric.rpartition(".")[2]
    return f"{number_text(arm.metric, metric)} {unit_of(metric)}".rstrip()


def _kind(kind: Kind) -> str:
    refits = "refits" if kind.refits == WITH else "no refits"
    return f"{kind.basis}, {kind.core}, {kind.rounds}, {refits}, {kind.sampler}"


def _judged(backtest: Backtest, judged: Judged) -> list[str]:
    """A part of the advice, and the pairs that differ in it alone."""
    start = f"  {judged.topic:<8} {judged.advised}: "
    if not judged.pairs:
        return [f"{start}not compared: no two arms differ in this part only"]
    metric = backtest.metric.rpartition(".")[2]
    sign = -1.0 if is_lower_better(metric) else 1.0
    against = dict[str, list[str]]()
    for pair in judged.pairs:
        text = signed_text(sign * pair.mean, metric) + " (seeds disagree)" * (pair.outcome == "open")
        against.setdefault(pair.instead, []).append(text)
    told = "; ".join(f"{instead} {', '.join(found)}" for instead, found in against.items())
    return wrapped(
        f"{start}{judged.outcome}, against {told} {difference_unit(metric)}".rstrip(), "", " " * 11
    )


def _ranking(backtest: Backtest) -> list[str]:
    """The ranking by captured energy alone."""
    metric = backtest.metric.rpartition(".")[2]
    rows: list[tuple[str, ...]] = [("by energy alone", "first", "best", "behind by", "rank correlation")]
    for verdict in backtest.verdicts:
        by = f"{verdict.block}, {WORDS[verdict.by]}" if verdict.block else WORDS[verdict.by]
        rows.append((by, verdict.picked, verdict.best, *_lost(verdict, metric)))
    return [
        *aligned(rows),
        "(captured energy does not depend on sampler, refits or later rounds; the advice uses more than energy)",
    ]


def _lost(verdict: Verdict, metric: str) -> tuple[str, str]:
    lost = "-" if verdict.hit else f"{number_text(verdict.lost, metric)} {difference_unit(metric)}".strip()
    return lost, "-" if verdict.spearman is None else f"{verdict.spearman:+.2f}"


@click.command()
@click.argument("study")
@click.option("--examples", type=click.IntRange(min=2), help="Maximum calibration examples.")
@runs_option
@plugin_option
@json_option
def main(
    study: str, examples: int | None, runs_folder: Path, plugin_files: tuple[Path, ...], as_json: bool
) -> None:
    """Compare the advice for STUDY, a study's name, folder or spec, with the outcomes of its arms."""
    try:
        registry = load_registry(plugin_files)
        with progress(shown=not as_json) as report:
            context = RunContext(report=report)

            def sample(folder: Path, only_own: bool) -> Findings:
                moment = open_run(folder, 0, registry, context)
                return advise(moment, registry, context, examples=examples, only_own=only_own)

            runs, record = find_study(study, runs_folder)
            found = backtest(analyse(runs, record, curves=False), runs, sample)
    except BoostLoraError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2, allow_nan=False))
    else:
        print_backtest(found)


if __name__ == "__main__":
    main()
