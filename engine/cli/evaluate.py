"""`boostlora evaluate`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from ..analysis.formats import difference_unit, interval_text, number_text, unit_of
from ..errors import UsageError
from ..foundation.counts import count_text
from ..sdk.metrics import lower_is_better
from .common import json_option, plugin_option, runs_option
from .ensembles import BEST_DEFAULT, choice_of, choice_options, default_rounds, open_ensemble, progress
from .layout import aligned, paragraph
from .terminal import echo

if TYPE_CHECKING:
    from ..contracts import Metrics
    from ..ensemble.choice import Choice
    from ..ensemble.ensemble import Ensemble
    from ..ensemble.staged_evaluation import Evaluation, Stage
    from ..statistics.examples import PairedExamples

SPLITS = ("train", "validation", "test")
PLAIN = ("accuracy", "loss")


@click.command("evaluate")
@click.argument("run")
@choice_options(f"{BEST_DEFAULT[:-1]}, as with --staged and --leave-one-out.")
@click.option(
    "--split",
    "split",
    type=click.Choice(["all", *SPLITS]),
    default="all",
    show_default=True,
    help="Examples to evaluate on.",
)
@click.option("--staged", is_flag=True, help="Evaluate the model after each round.")
@click.option(
    "--leave-one-out", "one_out", is_flag=True, help="Evaluate the model without each round in turn."
)
@click.option(
    "--metric",
    metavar="NAME",
    default="accuracy",
    show_default=True,
    help="Metric of --staged and --leave-one-out: accuracy, loss, or a measure of the task.",
)
@click.option("--recompute", is_flag=True, help="Also compute what is recorded on disk, and compare.")
@plugin_option
@runs_option
@json_option
def command(
    run: str,
    rounds: str | None,
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
    """Evaluate a selection of RUN's rounds: a prefix, some rounds left out, or rounds with other weights.

    Results of the model after each round are read from disk. For other selections, the model is loaded and the updates are merged into
    the base.

    \b
    boostlora evaluate quickstart --rounds 1..7
    boostlora evaluate quickstart --staged
    boostlora evaluate quickstart --drop 3 --weight 5=0.5
    boostlora evaluate quickstart --leave-one-out --metric loss
    """  # noqa: D301 - click reads the backspace
    from .execution import plain_warnings

    if staged and one_out:
        raise UsageError("--staged and --leave-one-out exclude each other; give one of them")
    if (staged or one_out) and (split != "all" or recompute):
        raise UsageError("--split and --recompute cannot be combined with --staged or --leave-one-out")
    if Path(run).is_file():
        raise UsageError(
            f"{run}: a boost file has no data to evaluate on; evaluate the run that it came from"
        )
    splits = SPLITS if split == "all" else (split,)
    with plain_warnings(), progress() as report:
        ensemble = open_ensemble(run, runs_folder, None, plugin_files, report)
        if staged or one_out:
            rounds = rounds or "all"
        chosen, why = default_rounds(ensemble, rounds, drop, weights)
        choice = choice_of(ensemble, chosen, drop, weights)
        if staged:
            content, lines = _staged(ensemble, choice, metric)
        elif one_out:
            content, lines = _one_out(ensemble, choice, metric)
        else:
            content, lines = _evaluated(ensemble, choice, splits, recompute=recompute, why=why)
    if as_json:
        echo(json.dumps(content, indent=2))
        return
    for line in lines:
        echo(line)


Result = tuple[dict[str, Any], list[str]]
"""Content for `--json`, and lines for the terminal."""


def _evaluated(
    ensemble: Ensemble, choice: Choice, splits: tuple[str, ...], *, recompute: bool, why: str
) -> Result:
    from ..ensemble.staged_evaluation import evaluate

    found = evaluate(ensemble, choice, splits, recompute=recompute)
    return attrs.asdict(found), evaluation_lines(found, len(ensemble), why)


def _staged(ensemble: Ensemble, choice: Choice, metric: str) -> Result:
    from ..ensemble.staged_evaluation import best_stage, stages

    found = stages(ensemble, choice)
    best = best_stage(found, metric)
    content = {
        "stages": [attrs.asdict(stage) for stage in found],
        "metric": metric,
        "best_on_validation": best.round,
    }
    return content, stage_lines(found, best, metric)


def _one_out(ensemble: Ensemble, choice: Choice, metric: str) -> Result:
    from ..ensemble.staged_evaluation import Stage, best_stage, without_each

    whole = Stage(
        round=0,
        validation=ensemble.evaluate("validation", choice),
        test=ensemble.evaluate("test", choice),
    )
    best_stage([whole], metric)  # refuses an unknown metric before anything is computed
    found = list(without_each(ensemble, choice))
    content = {
        "rounds": choice.describe(),
        "metric": metric,
        "whole": attrs.asdict(whole),
        "without": [attrs.asdict(stage) for stage in found],
    }
    return content, one_out_lines(whole, found, metric, choice.describe())


def evaluation_lines(found: Evaluation, rounds: int, why: str = "") -> list[str]:
    """A table by split, and the differences from the base and from all rounds; `why` explains rounds that no option selected."""
    metrics = [*PLAIN, *sorted(next(iter(found.metrics.values())).measures)]
    title = ["split", "model", *(f"{m} {unit_of(m)}".strip() for m in metrics)]
    table = [title]
    models = [("base", found.base), (f"rounds {found.rounds}", found.metrics)]
    if found.rounds != f"1..{rounds}":
        models.append((f"all {count_text(rounds, 'round')}", found.all_rounds))
    for split in found.metrics:
        for name, by_split in models:
            table.append(
                [split if name == "base" else "", name, *(_value(by_split[split], m) for m in metrics)]
            )
    source = "read from the run" if found.recorded else "computed now"
    lines = [
        f"rounds {found.rounds}: {source}",
        *([why] if why else []),
        "",
        *aligned(table, left=(0, 1), gap=2),
        "",
    ]
    split = "test" if "test" in found.metrics else next(iter(found.metrics))
    lines += paragraph(f"{split}: {_difference(found.against_base[split], 'the base')}", "  ")
    if len(models) > 2:
        lines += paragraph(f"{split}: {_difference(found.against_all[split], 'all rounds')}", "  ")
    return lines


def _value(metrics: Metrics, metric: str) -> str:
    if metric in PLAIN:
        return number_text(float(getattr(metrics, metric)), metric)
    return number_text(metrics.measures.get(metric), metric)


def _difference(pair: PairedExamples | None, other: str) -> str:
    if pair is None:
        return f"no example in common with {other}"
    low, high = pair.interval or (None, None)
    interval = interval_text(low, high, "accuracy")
    return (
        f"{100 * pair.difference:+.1f} points {interval} against {other}: right where it is wrong on {pair.only_first}, wrong where "
        f"it is right on {pair.only_second} of {pair.examples}; p = {pair.p:.2g} (McNemar)"
    )


def stage_lines(found: Sequence[Stage], best: Stage, metric: str) -> list[str]:
    """A line for each stage, with the best on validation marked."""
    metrics = list(dict.fromkeys([*PLAIN, metric]))
    title = ["round", *(f"{s} {m} {unit_of(m)}".strip() for s in ("valid", "test") for m in metrics), ""]
    table = [title]
    for stage in found:
        cells = [_value(getattr(stage, split), m) for split in ("validation", "test") for m in metrics]
        table.append([str(stage.round), *cells, "*" if stage is best else ""])
    return [
        *aligned(table, left=(), gap=2),
        "",
        f"* best {metric} on validation; to use it: --rounds {best.round}",
    ]


def one_out_lines(whole: Stage, found: Sequence[Stage], metric: str, rounds: str) -> list[str]:
    """The gain of each round: the metric with it minus the metric without it."""
    from ..ensemble.staged_evaluation import gain

    unit = difference_unit(metric)
    title = ["without round", f"validation {metric}", "gain", f"test {metric}", "gain", ""]
    table = [title]
    for stage in found:
        worth = [gain(getattr(stage, s), getattr(whole, s), metric) for s in ("validation", "test")]
        note = "better without it on validation" if worth[0] < 0 else ""
        table.append(
            [
                str(stage.round),
                _value(stage.validation, metric),
                _signed(worth[0], metric),
                _value(stage.test, metric),
                _signed(worth[1], metric),
                note,
            ]
        )
    better = "lower" if lower_is_better(metric) else "higher"
    return [
        f"rounds {rounds}: validation {_value(whole.validation, metric)}, test {_value(whole.test, metric)} ({metric}, {better} is better)",
        "",
        *aligned(table, left=(), gap=2),
        "",
        f"gain: improvement of the model by the round{f', in {unit}' if unit else ''}",
    ]


def _signed(value: float, metric: str) -> str:
    text = number_text(value, metric)
    return text if text.startswith("-") else f"+{text}"
