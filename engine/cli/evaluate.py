"""`boostlora evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from ..errors import UsageError
from .common import json_option, plugin_option, runs_option
from .ensembles import choice_of, choice_options, open_ensemble, progress
from .terminal import echo

if TYPE_CHECKING:
    from ..ensemble.choice import Choice
    from ..ensemble.ensemble import Ensemble

SPLITS = ("train", "validation", "test")


@click.command("evaluate")
@click.argument("run")
@choice_options
@click.option(
    "--split",
    "split",
    type=click.Choice(["all", *SPLITS]),
    default="all",
    show_default=True,
    help="Which examples.",
)
@click.option("--staged", is_flag=True, help="A line for the model after each of the rounds.")
@click.option(
    "--leave-one-out", "one_out", is_flag=True, help="What each of the rounds is worth: the model without it."
)
@click.option(
    "--metric",
    default="accuracy",
    show_default=True,
    help="By which --staged and --leave-one-out judge: accuracy, loss, or one of the task's own.",
)
@click.option(
    "--recompute", is_flag=True, help="Compute what is on disk too, and hold it against what is there."
)
@plugin_option
@runs_option
@json_option
def command(
    run: str,
    rounds: str,
    drop: tuple[str, ...],
    weights: tuple[str, ...],
    split: str,
    staged: bool,
    one_out: bool,
    metric: str,
    recompute: bool,
    plugin_files: tuple[Path, ...],
    runs_folder: Path,
    as_json: bool,
) -> None:
    """Evaluate any selection of RUN's rounds: a prefix, rounds left out, rounds with other weights.

    What the run had itself, the model after each of its rounds, is read from disk; for other selections the model is opened and
    their updates are merged into the base.

    \b
    boostlora evaluate quickstart --rounds 1..7
    boostlora evaluate quickstart --staged
    boostlora evaluate quickstart --drop 3 --weight 5=0.5
    boostlora evaluate quickstart --leave-one-out --metric loss
    """  # noqa: D301 - click reads the backspace
    from .execution import plain_warnings

    if staged and one_out:
        raise UsageError("--staged and --leave-one-out are two questions; ask one at a time")
    if (staged or one_out) and (split != "all" or recompute):
        raise UsageError("--split and --recompute go with neither --staged nor --leave-one-out")
    if Path(run).is_file():
        raise UsageError(f"{run}: a file holds no data to evaluate with; evaluate the run that it came from")
    splits = SPLITS if split == "all" else (split,)
    with plain_warnings(), progress(shown=not as_json) as report:
        ensemble = open_ensemble(run, runs_folder, None, plugin_files, report)
        choice = choice_of(ensemble, rounds, drop, weights)
        if staged:
            content, lines = _staged(ensemble, choice, metric)
        elif one_out:
            content, lines = _one_out(ensemble, choice, metric)
        else:
            content, lines = _evaluated(ensemble, choice, splits, recompute=recompute)
    if as_json:
        echo(json.dumps(content, indent=2))
        return
    for line in lines:
        echo(line)


Evaluated = tuple[dict[str, Any], list[str]]


def _evaluated(ensemble: Ensemble, choice: Choice, splits: tuple[str, ...], *, recompute: bool) -> Evaluated:
    from ..ensemble.staged_evaluation import evaluate
    from .evaluated import evaluation_lines

    found = evaluate(ensemble, choice, splits, recompute=recompute)
    return attrs.asdict(found), evaluation_lines(found, len(ensemble))


def _staged(ensemble: Ensemble, choice: Choice, metric: str) -> Evaluated:
    from ..ensemble.staged_evaluation import best_stage, stages
    from .evaluated import stage_lines

    found = stages(ensemble, choice)
    best = best_stage(found, metric)
    content = {
        "stages": [attrs.asdict(stage) for stage in found],
        "metric": metric,
        "best_on_validation": best.round,
    }
    return content, stage_lines(found, best, metric)


def _one_out(ensemble: Ensemble, choice: Choice, metric: str) -> Evaluated:
    from ..ensemble.staged_evaluation import Stage, best_stage, without_each
    from .evaluated import one_out_lines

    whole = Stage(
        round=0,
        validation=ensemble.evaluate("validation", choice),
        test=ensemble.evaluate("test", choice),
    )
    best_stage([whole], metric)  # refuses a metric that there is not before anything is computed
    found = list(without_each(ensemble, choice))
    content = {
        "rounds": choice.describe(),
        "metric": metric,
        "whole": attrs.asdict(whole),
        "without": [attrs.asdict(stage) for stage in found],
    }
    return content, one_out_lines(whole, found, metric, choice.describe())
