"""`boostlora advise`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click
from click.core import ParameterSource

from ..errors import UsageError
from .common import json_option, load_registry, plugin_option, quiet_option, runs_option, set_option
from .layout import aligned, wrapped
from .terminal import echo

if TYPE_CHECKING:
    from ..advisor.advice import Advice
    from ..advisor.advise import ModelState
    from ..advisor.findings import BasisFinding, Findings
    from ..foundation.run_context import RunContext
    from ..registry import Registry
    from .spec_changes import Next

MOST_SITES = 8
"""Sites in the table; `--json` has all of them."""

Row = tuple[str, ...]
at_least_one = click.IntRange(min=1)


@click.command("advise")
@click.argument("spec", required=False)
@click.option(
    "--run",
    "run",
    metavar="RUN[@N]",
    help="Analyse a run after round N (default: its last), not a spec's base.",
)
@click.option("--rank", type=at_least_one, metavar="R", help="Directions per round. [default: adapter.rank]")
@click.option(
    "--examples",
    type=click.IntRange(min=2),
    metavar="N",
    help="Maximum calibration examples. [default: 512 rows, 256 texts, or 4 batches of prompts]",
)
@set_option
@plugin_option
@runs_option
@json_option
@quiet_option
def command(
    spec: str | None,
    run: str | None,
    rank: int | None,
    examples: int | None,
    settings: tuple[str, ...],
    plugin_files: tuple[Path, ...],
    runs_folder: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    """Suggest basis, core, rank, sites, rounds, refits and sampler for SPEC, from one gradient of its base model.

    It measures how much of the gradient's energy each basis captures, on held-out examples too. Nothing is trained, except small
    probes for bases that need one. A first step does not determine the result of a run, so some suggestions rest on this project's
    studies instead, and say so.

    \b
    boostlora advise quickstart
    boostlora advise quickstart --rank 8 --json
    boostlora advise --run quickstart@5
    """  # noqa: D301 - click reads the backspace
    from ..foundation.run_context import RunContext
    from .ensembles import progress
    from .execution import plain_warnings

    _check_request(spec, run, settings)
    registry = load_registry(plugin_files, spec)
    with plain_warnings(), progress(shown=not quiet) as report:
        context = RunContext(report=report)
        state, then = _state(spec, run, settings, plugin_files, runs_folder, registry, context)
        found = _findings(state, then, registry, context, rank=rank, examples=examples)
    if as_json:
        echo(json.dumps(_json(found), indent=2, allow_nan=False))
    elif not quiet:
        print_advice(found, then)


def _check_request(spec: str | None, run: str | None, settings: Sequence[str]) -> None:
    if (spec is None) == (run is None):
        raise UsageError("name a SPEC (boostlora advise quickstart) or a run (--run RUN@N), not both")
    if settings and spec is None:
        raise UsageError("--set: a run is analysed with its own spec; leave --set out")


def _state(
    spec: str | None,
    run: str | None,
    settings: Sequence[str],
    plugin_files: Sequence[Path],
    runs_folder: Path,
    registry: Registry,
    context: RunContext,
) -> tuple[ModelState, Next]:
    """The model to analyse, and the command that applies the advice."""
    from ..advisor.source import open_run, open_spec, read_spec
    from ..runs.directory import SPEC
    from ..runs.lookup import run_and_round
    from .spec_changes import Next

    files = [word for file in plugin_files for word in ("--plugin", str(file))]
    if click.get_current_context().get_parameter_source("runs_folder") == ParameterSource.COMMANDLINE:
        files += ["--runs", str(runs_folder)]
    if run is not None:
        path, number = run_and_round(run, runs_folder)
        state = open_run(path, number, registry, context)
        start = ["--from", f"{path}@{state.number - 1}"]
        return state, Next(command=("boostlora", "run", str(path / SPEC), *start, *files))
    loaded, solved = read_spec(str(spec), registry, settings)
    state = open_spec(loaded, context)
    verb = "run" if solved is None else "ablate"
    return state, Next(
        command=("boostlora", verb, str(spec), *files), settings=tuple(settings), solved=solved
    )


def _findings(
    state: ModelState,
    then: Next,
    registry: Registry,
    context: RunContext,
    *,
    rank: int | None,
    examples: int | None,
) -> Findings:
    from ..advisor.advise import advise

    found = advise(state, registry, context, rank=rank, examples=examples)
    if then.solved is None:
        return found
    note = f"{found.name} is a study: this analyses the spec that its arms share, without their changes"
    return attrs.evolve(found, notes=(note, *found.notes))


def _json(found: Findings) -> dict[str, Any]:
    from ..advisor.rules import cautions, recommend

    advice = [attrs.asdict(one) for one in recommend(found)]
    return {**found.as_json(), "advice": advice, "cautions": list(cautions(found))}


def print_advice(found: Findings, then: Next) -> None:
    """Print the gradient, the bases, ranks and sites, the advice, and the lines to type."""
    from ..advisor.rules import cautions, recommend
    from .console import Console
    from .spec_changes import lines_for_spec

    console = Console(highlight=False, soft_wrap=True, emoji=False)
    advice = recommend(found)
    for line in (*head(found), "", *bases(found), "", *ranks(found), "", *sites(found), ""):
        console.print(line, markup=False)
    console.print("advice", style="bold")
    for line in advised(advice):
        console.print(line, markup=False)
    for word, texts in (("caution", cautions(found)), ("note", found.notes)):
        for text in texts:
            for line in wrapped(f"{word}: {text}"):
                console.print(line, style="yellow", markup=False)
    console.print()
    for line in lines_for_spec(found, advice, then):
        console.print(line, markup=False)


def share(value: float) -> str:
    """A share in percent, without the sign."""
    from ..advisor.formats import percent

    return percent(value).removesuffix(" %")


def head(found: Findings) -> list[str]:
    """The model, and the gradient that was measured."""
    from ..advisor.formats import percent

    of = "sampled answers to" if found.rewarded else "the loss on"
    error = f" ± {percent(found.error / found.energy)}" if found.error else ", exact"
    count = (
        f"{found.calibration_examples:,}"
        if found.calibration_examples == found.chosen
        else f"{found.calibration_examples:,} of the {found.chosen:,}"
    )
    text = (
        f"gradient of {of} {count} {'example' if found.calibration_examples == 1 else 'examples'} chosen by {found.sampler}: energy {found.energy:.3g}{error}; cosine {found.agreement:.2f} between "
        "the gradients of its two halves"
    )
    first = (
        f"{found.name} · {found.model} · {found.failures:,} of {found.train:,} training examples are wrong"
    )
    return [first, *wrapped(text)]


def bases(found: Findings) -> list[str]:
    """A table of the energy that each basis captures."""
    many = found.rounds_ahead > 1
    own = found.framed and found.adapter not in {"lora-xs", "diagonal"}
    titles = ["basis", "r x r", "held out", "diagonal", *([found.adapter] if own else [])]
    titles += [f"{found.rounds_ahead} rounds"] if many else []
    equal = found.bases[0].equal_rank if found.bases else 0
    titles += [f"one, r = {equal}", f"one, r = {found.rank * found.rounds_ahead}"] if many else []
    rows: list[Row] = [tuple(titles)]
    rows += [tuple(_cells(basis, many=many, own=own)) for basis in found.bases]
    rows.append(("upper bound", share(_best(found)), *[""] * (len(titles) - 2)))
    if found.used is not None:
        used = (share(found.used.captured), share(found.used.held_out))
        rows.append(("rounds so far", *used, *[""] * (len(titles) - 3)))
    rounds = "the next round" + (", and by more rounds" if many else "")
    title = f"% of the gradient's energy captured by r = {found.rank} directions a site, in {rounds}:"
    return [*wrapped(title), *aligned(rows), *_legend(found, many=many)]


def _best(found: Findings) -> float:
    """Energy of the leading singular directions, the most that a rank can capture (Eckart and Young)."""
    return max(
        energy for rank, energy in found.leading.items() if rank <= max(found.rank, min(found.leading))
    )


def _legend(found: Findings, *, many: bool) -> list[str]:
    parts = [
        "* the spec's basis",
        "held out: r x r, on the half of the examples that the directions were not computed from",
        "energy: squared norm of the gradient; a first step can use the part that its directions capture",
    ]
    if many:
        parts += [
            f"{found.rounds_ahead} rounds: one core each, for an unchanged gradient",
            f"one, r = {found.bases[0].equal_rank}: a single core with as many parameters",
        ]
    if found.used is not None:
        parts.append("rounds so far: all their directions together, one core each")
    if _has_reference_bases(found):
        parts.append("†: for reference, not advised")
    return wrapped(f"({'; '.join(parts)})")


def _has_reference_bases(found: Findings) -> bool:
    from ..advisor.studies import YARDSTICKS

    return any(basis.name in YARDSTICKS for basis in found.bases)


def _cells(basis: BasisFinding, *, many: bool, own: bool) -> list[str]:
    from ..advisor.studies import YARDSTICKS

    marks = " †" * (basis.name in YARDSTICKS) + " *" * basis.own
    cells = [f"{basis.name}{marks}", share(basis.first["square"].captured)]
    cells += [share(basis.first["square"].held_out), share(basis.first["diagonal"].captured)]
    cells += [share(basis.first["adapter"].captured)] if own else []
    if many:
        cells += [
            share(basis.together["square"].captured),
            share(basis.equal.captured),
            share(basis.one_shot.captured),
        ]
    return cells


def ranks(found: Findings) -> list[str]:
    """Energy of the gradient's leading directions, by rank."""
    rows: list[Row] = [("leading directions a site", *(str(rank) for rank in found.leading))]
    rows.append(("% of the energy", *(share(energy) for energy in found.leading.values())))
    return aligned(rows)


def sites(found: Findings) -> list[str]:
    """Energy by site, the largest first, and what the advised basis and the best ones capture of it."""
    from ..advisor.rules import choose_basis
    from ..advisor.studies import YARDSTICKS
    from ..advisor.thresholds import DEFAULT

    shown = found.sites[:MOST_SITES]
    chosen = choose_basis(found, DEFAULT)
    top = [basis for basis in (chosen, found.own, *found.bases) if basis and basis.name not in YARDSTICKS]
    top = [basis for number, basis in enumerate(top) if basis not in top[:number]][:3]
    title = "% of the energy by site, and % of a site's energy that a basis captures:"
    rows: list[Row] = [("site", "shape", "energy", *(basis.name for basis in top))]
    for site in shown:
        captured = (share(basis.sites[site.name]) for basis in top)
        rows.append((site.name, f"{site.shape[0]} x {site.shape[1]}", share(site.share), *captured))
    rest = len(found.sites) - len(shown)
    if rest:
        left = sum(site.share for site in found.sites[MOST_SITES:])
        rows.append((f"{rest} more", "", share(left), *[""] * len(top)))
    return [*wrapped(title), *aligned(rows)]


def advised(advice: Sequence[Advice]) -> list[str]:
    """One line for every recommendation, with its reason below."""
    lines = list[str]()
    for one in advice:
        lines += [f"  {one.topic:<8} {one.choice}", *wrapped(one.reason, " " * 11)]
    return lines
