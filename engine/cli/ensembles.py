"""Options and helpers of commands on ensembles: rounds, weights, and the run or boost file."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import UsageError
from ..foundation.counts import count_text
from ..foundation.options import shortened
from .terminal import echo

if TYPE_CHECKING:
    from ..ensemble.choice import Choice
    from ..ensemble.ensemble import Ensemble
    from ..foundation.run_context import Report

F = TypeVar("F", bound=Callable[..., Any])

BEST_DEFAULT = "Default: best; with --drop or --weight: all."
ROUNDS = "Rounds to use: 7 (the first seven), 1..7, 3.., 1..3,5, all, best (on validation), 0 (the base)."


def choice_options(default: str) -> Callable[[F], F]:
    """`--rounds`, `--drop` and `--weight`; `default` says which rounds are used without `--rounds`."""
    options = (
        click.option("--rounds", metavar="ROUNDS", help=f"{ROUNDS} {default}"),
        click.option("--drop", multiple=True, metavar="N[,N]", help="Leave rounds out; repeatable."),
        click.option(
            "--weight",
            "weights",
            multiple=True,
            metavar="N=FACTOR",
            help="Merge round N with FACTOR times its scale; repeatable.",
        ),
    )

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


best_rounds_option = click.option(
    "--rounds", default="best", show_default=True, metavar="ROUNDS", help=ROUNDS
)
sampling_options = (
    click.option(
        "--temperature",
        type=click.FloatRange(min=0.0),
        default=0.0,
        show_default=True,
        help="Temperature of sampling; 0: greedy decoding.",
    ),
    click.option(
        "--top-p",
        type=click.FloatRange(0.0, 1.0, min_open=True),
        default=1.0,
        show_default=True,
        help="Sample from the most probable tokens of this total probability.",
    ),
    click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of sampling."
    ),
)
format_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set an option of the output format, such as dtype=float32.",
)


def default_rounds(
    ensemble: Ensemble, rounds: str | None, drop: tuple[str, ...], weights: tuple[str, ...]
) -> tuple[str, str]:
    """The rounds to use, and why if no option selects any: those up to the best on validation.

    `--drop` and `--weight` alone change the model of all rounds.
    """
    if rounds is not None or drop or weights:
        return rounds or "all", ""
    every = f"of {count_text(len(ensemble), 'round')}"
    return "best", f"the best on validation {every}; to take all: --rounds all"


def choice_of(ensemble: Ensemble, rounds: str, drop: tuple[str, ...], weights: tuple[str, ...]) -> Choice:
    """The rounds that the options select. Raises `UsageError` for malformed options."""
    left_out = [_whole(part, "--drop") for text in drop for part in text.split(",")]
    return ensemble.choose(rounds, drop=left_out, weights=dict(_weight(text) for text in weights))


def _whole(text: str, option: str) -> int:
    if not re.fullmatch(r"\s*\d{1,9}\s*", text):
        raise UsageError(f'{option}: "{shortened(text)}" is not the number of a round')
    return int(text)


def _weight(text: str) -> tuple[int, float]:
    number, _, factor = text.partition("=")
    try:
        return int(number), float(factor)
    except ValueError:
        raise UsageError(
            f'--weight: "{shortened(text)}" is not of the form N=FACTOR, such as 5=0.5'
        ) from None


@contextmanager
def progress(*, shown: bool = True) -> Generator[Report]:
    """A progress line during the block, if `shown`."""
    from ..foundation.run_context import no_report
    from .progress import Work
    from .progress_display import shown as showing

    if not shown:
        yield no_report
        return
    with showing(Work()) as report:
        yield report


def open_ensemble(
    what: str, runs_folder: Path, base: str | None, plugin_files: tuple[Path, ...], report: Report
) -> Ensemble:
    """Open a run by folder, name or hash, or with `base` a boost file. Raises `UsageError` if there is neither."""
    from ..ensemble.ensemble import Ensemble
    from ..export.boost_reader import load
    from ..foundation.run_context import RunContext
    from ..runs.lookup import one_run

    context = RunContext(report=report)
    if Path(what).is_file():
        if base is None:
            raise UsageError(
                f"{what}: a boost file needs its base: --base FOLDER, a file, or a Hugging Face id"
            )
        return load(what, base, plugins=plugin_files, context=context)
    if base is not None:
        raise UsageError("--base is for boost files; a run knows its base")
    return Ensemble.open(one_run(what, runs_folder), plugins=plugin_files, context=context)


def open_used_run(
    run: str, rounds: str, runs_folder: Path, plugin_files: tuple[Path, ...], report: Report
) -> tuple[Ensemble, Choice]:
    """A run and the rounds to use, which standard error names. Raises `UsageError` for a boost file, which has no data."""
    if Path(run).is_file():
        raise UsageError(f"{run}: a file, not a run; name the folder, name or hash of a run")
    from ..spec import SpecError

    try:
        ensemble = open_ensemble(run, runs_folder, None, plugin_files, report)
    except SpecError as error:
        if not any(fault.message.startswith(("no file", "no folder")) for fault in error.faults):
            raise
        raise UsageError(
            f"{error}\n      a run is used with the data and the base that it was trained on; put them back to this place"
        ) from error
    choice = ensemble.choose(rounds)
    best = " (best on validation)" if rounds.strip() == "best" else ""
    echo(f"rounds {choice.describe()}{best}", err=True)
    return ensemble, choice


def with_sampling(function: F) -> F:
    """`--temperature`, `--top-p` and `--seed`."""
    for option in reversed(sampling_options):
        function = option(function)
    return function
