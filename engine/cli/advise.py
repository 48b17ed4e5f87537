"""`boostlora advise`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..errors import UsageError
from ..foundation.shell import command_line
from ..runs.directory import SPEC
from .common import json_option, load_registry, plugin_option, quiet_option, runs_option, set_option
from .terminal import echo

if TYPE_CHECKING:
    from ..advisor.advise import ModelState
    from ..advisor.backtest import Backtest
    from ..advisor.findings import Findings
    from ..foundation.run_context import Report, RunContext
    from ..registry import Registry
    from .advised_next import Next

at_least_one = click.IntRange(min=1)


@click.command("advise")
@click.argument("spec", required=False)
@click.option(
    "--run",
    "run",
    metavar="RUN[@N]",
    help="Look at a run after round N (its last), instead of at the base model of a spec.",
)
@click.option(
    "--against",
    metavar="STUDY",
    help="Hold what would have been advised against a finished study: its name, folder or spec.",
)
@click.option("--rank", type=at_least_one, metavar="R", help="Directions of a round. [default: adapter.rank]")
@click.option(
    "--examples",
    type=click.IntRange(min=2),
    metavar="N",
    help="Examples to hear at most. [default: 512 rows, 256 texts, or 4 batches of prompts]",
)
@set_option
@plugin_option
@runs_option
@json_option
@quiet_option
def command(
    spec: str | None,
    run: str | None,
    against: str | None,
    rank: int | None,
    examples: int | None,
    settings: tuple[str, ...],
    plugin_files: tuple[Path, ...],
    runs_folder: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    """Look at SPEC's data once, through its base model, and say which basis, core, rank, sites, rounds, refits and sampler to try.

    It measures how much of the gradient's energy the directions of each basis hold, with examples that the directions have not heard;
    nothing is trained, but for probes of bases that want one. What a first step could do is no promise of what a run comes to, so what
    this project's studies found has its say too: hold the advice to a study of yours with --against.

    \b
    boostlora advise quickstart
    boostlora advise quickstart --rank 8 --json
    boostlora advise --run quickstart@5
    boostlora advise --against bases
    """  # noqa: D301 - click reads the backspace
    from .advised import print_advice
    from .advised_study import print_held
    from .ensembles import progress
    from .execution import plain_warnings

    _refuse_mixtures(spec, run, against, settings, rank)
    registry, shown = load_registry(plugin_files), not (as_json or quiet)
    content: Findings | Backtest
    with plain_warnings(), progress(shown=shown) as report:
        context: RunContext = _context(report)
        if against is not None:
            content = backtest = _held(against, runs_folder, registry, context, examples)
            show = partial(print_held, backtest)
        else:
            moment, then = _moment(spec, run, settings, plugin_files, runs_folder, registry, context)
            content = found = _found(moment, then, registry, context, rank=rank, examples=examples)
            show = partial(print_advice, found, then)
    if as_json:
        echo(json.dumps(_json(content), indent=2, allow_nan=False))
    elif shown:
        show()


def _refuse_mixtures(
    spec: str | None, run: str | None, against: str | None, settings: Sequence[str], rank: int | None
) -> None:
    if spec is not None and against is not None:
        command = command_line("boostlora", "advise", "--against", against)
        raise UsageError(
            f"--against looks at the study's own arms, through their specs; leave out {spec}: {command}"
        )
    if sum(word is not None for word in (spec, run, against)) != 1:
        raise UsageError(
            "name one thing to look at: a SPEC (boostlora advise quickstart), a run (--run RUN@N), or a finished study (--against STUDY)"
        )
    given = ["--set"] * bool(settings) + (["--rank"] if rank and against else [])
    if given and spec is None:
        raise UsageError(f"{', '.join(given)}: runs are looked at with the specs that they were made of")


def _context(report: Report) -> RunContext:
    from ..foundation.run_context import RunContext

    return RunContext(report=report)


def _moment(
    spec: str | None,
    run: str | None,
    settings: Sequence[str],
    plugin_files: Sequence[Path],
    runs_folder: Path,
    registry: Registry,
    context: RunContext,
) -> tuple[ModelState, Next]:
    """The model that is looked at, and the command with which one goes on from there."""
    from ..advisor.source import open_run, open_spec, read_spec
    from ..runs.lookup import run_and_round
    from .advised_next import Next

    files = [word for file in plugin_files for word in ("--plugin", str(file))]
    if click.get_current_context().get_parameter_source("runs_folder") == ParameterSource.COMMANDLINE:
        files += ["--runs", str(runs_folder)]
    if run is not None:
        path, number = run_and_round(run, runs_folder)
        moment = open_run(path, number, registry, context)
        start = ["--from", f"{path}@{moment.number - 1}"]
        return moment, Next(command=("boostlora", "run", str(path / SPEC), *start, *files))
    loaded, solved = read_spec(str(spec), registry, settings)
    moment = open_spec(loaded, context)
    if solved is not None:
        command = ("boostlora", "advise", "--against", loaded.head.name, *files)
        return moment, Next(command=command, solved=solved)
    return moment, Next(command=("boostlora", "run", str(spec), *files), settings=tuple(settings))


def _found(
    moment: ModelState,
    then: Next,
    registry: Registry,
    context: RunContext,
    *,
    rank: int | None,
    examples: int | None,
) -> Findings:
    import attrs

    from ..advisor.advise import advise

    found = advise(moment, registry, context, rank=rank, examples=examples)
    if then.solved is None:
        return found
    note = f"{found.name} is a study: this looks at the spec that its arms start from, with nothing that they change"
    return attrs.evolve(found, notes=(note, *found.notes))


def _held(
    study: str, runs_folder: Path, registry: Registry, context: RunContext, examples: int | None
) -> Backtest:
    from ..advisor.advise import advise
    from ..advisor.backtest import hold_against
    from ..advisor.source import open_run
    from ..analysis.analyse import analyse
    from ..study.store import find_study

    def look(folder: Path, only_own: bool) -> Findings:
        moment = open_run(folder, 0, registry, context)
        return advise(moment, registry, context, examples=examples, only_own=only_own)

    runs, record = find_study(study, runs_folder)
    return hold_against(analyse(runs, record, curves=False), runs, look)


def _json(content: Findings | Backtest) -> dict[str, Any]:
    from ..advisor.findings import Findings
    from ..advisor.rules import cautions, recommend

    if not isinstance(content, Findings):
        return content.as_json()
    import attrs

    advice = [attrs.asdict(one) for one in recommend(content)]
    return {**content.as_json(), "advice": advice, "cautions": list(cautions(content))}
