"""`boostlora advise`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from .common import (
    json_option,
    load_registry,
    plugin_option,
    quiet_option,
    runs_option,
    set_option,
)

if TYPE_CHECKING:
    from ..advising.advising import Moment
    from ..registry import Registry
    from ..workplace import Workplace

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
    """Look at SPEC's data once, through its base model, and say which basis, core, rank, sites and sampler to try.

    It measures how much of the gradient's energy the directions of each basis hold, with examples that the directions have not heard;
    nothing is trained, but for probes of bases that want one. What a first step could do is no promise of what a run comes to:
    hold the advice against a study of yours with --against.

    \b
    boostlora advise quickstart
    boostlora advise quickstart --rank 8 --json
    boostlora advise --run quickstart@5
    boostlora advise --against bases
    """  # noqa: D301 - click reads the backspace
    from .advised import print_advice, print_held
    from .ensembles import progress
    from .execution import plain_warnings

    _refuse_mixtures(spec, run, against, settings, rank)
    registry = load_registry(plugin_files)
    with plain_warnings():
        if against is not None:
            content, show = (
                _held(against, runs_folder, registry, examples, shown=not (as_json or quiet)),
                print_held,
            )
        else:
            with progress(shown=not (as_json or quiet)) as report:
                content = _found(
                    spec, run, settings, runs_folder, registry, report, rank=rank, examples=examples
                )
            show = print_advice
    if as_json:
        click.echo(json.dumps(_json(content), indent=2, allow_nan=False))
    elif not quiet:
        show(content)


def _refuse_mixtures(
    spec: str | None, run: str | None, against: str | None, settings: Sequence[str], rank: int | None
) -> None:
    if sum(word is not None for word in (spec, run, against)) != 1:
        raise UsageError(
            "name one thing to look at: a SPEC (boostlora advise quickstart), a run (--run RUN@N), or a finished study (--against STUDY)"
        )
    given = ["--set"] * bool(settings) + (["--rank"] if rank and against else [])
    if given and spec is None:
        raise UsageError(f"{', '.join(given)}: runs are looked at with the specs that they were made of")


def _found(
    spec: str | None,
    run: str | None,
    settings: Sequence[str],
    runs_folder: Path,
    registry: Registry,
    report: Any,
    *,
    rank: int | None,
    examples: int | None,
) -> Any:
    from ..advising.advising import advise
    from ..advising.opening import open_run, open_spec
    from ..spec.resolve import load_spec
    from ..workplace import Workplace
    from .places import run_and_round

    workplace = Workplace(report=report)
    moment: Moment
    if run is not None:
        moment = open_run(*run_and_round(run, runs_folder), registry, workplace)
    else:
        moment = open_spec(load_spec(str(spec), registry, settings), workplace)
    return advise(moment, registry, workplace, rank=rank, examples=examples)


def _held(study: str, runs_folder: Path, registry: Registry, examples: int | None, *, shown: bool) -> Any:
    from ..advising.advising import advise
    from ..advising.holding import hold_against
    from ..advising.opening import open_run
    from ..analysis.analysing import analyse
    from ..study.keeping import find_study
    from ..workplace import Workplace
    from .ensembles import progress

    runs, record = find_study(study, runs_folder)
    analysis = analyse(runs, record, curves=False)
    with progress(shown=shown) as report:
        workplace: Workplace = Workplace(report=report)
        return hold_against(
            analysis,
            runs,
            lambda folder: advise(
                open_run(folder, 0, registry, workplace),
                registry,
                workplace,
                examples=examples,
                only_own=True,
            ),
        )


def _json(content: Any) -> dict[str, Any]:
    from ..advising.findings import Findings
    from ..advising.rules import cautions, recommend

    if not isinstance(content, Findings):
        return content.as_json()
    import attrs

    advice = [attrs.asdict(one) for one in recommend(content)]
    return {**content.as_json(), "advice": advice, "cautions": list(cautions(content))}
