"""`boostlora export`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from ..errors import UsageError
from ..foundation.counts import count_text
from ..foundation.shell import command_line
from .common import json_option, plugin_option, plugin_words, quiet_option, runs_option
from .ensembles import (
    BEST_DEFAULT,
    choice_of,
    choice_options,
    default_rounds,
    format_option,
    open_ensemble,
    progress,
)
from .terminal import echo
from .units import size_text

if TYPE_CHECKING:
    from ..ensemble.ensemble import Ensemble
    from ..export.boost_writer import WrittenBoostFile
    from ..export.export import ExportCheck, Exported

BOOST = "boost"


@click.command("export")
@click.argument("what", metavar="RUN|FILE")
@click.option(
    "--to",
    required=True,
    metavar="FORMAT",
    help="Format: hf, safetensors, peft-lora, peft-tinylora, gguf, or boost; see: boostlora plugins exporter",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Output path; must not exist. Default: NAME-FORMAT."
)
@choice_options(BEST_DEFAULT)
@format_option
@click.option(
    "--with-factors",
    is_flag=True,
    help="boost: store the updates too, so that apply needs no SVD.",
)
@click.option(
    "--base",
    metavar="PLACE",
    help="Base of a boost file: a folder, a file, or a Hugging Face id.",
)
@click.option(
    "--examples",
    type=click.IntRange(min=0),
    default=16,
    show_default=True,
    metavar="N",
    help="Test examples whose logits are compared; 0: none.",
)
@plugin_option
@runs_option
@json_option
@quiet_option
def command(
    what: str,
    to: str,
    out: Path | None,
    rounds: str | None,
    drop: tuple[str, ...],
    weights: tuple[str, ...],
    settings: tuple[str, ...],
    with_factors: bool,
    base: str | None,
    examples: int,
    plugin_files: tuple[Path, ...],
    runs_folder: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    """Export the model of RUN to another library's format, with a model card: the best round on validation, or --rounds.

    RUN is a run's folder, name, or hash prefix; or a boost FILE, with --base. The export is read back by that library, and is kept only
    if its logits match those of the evaluated model.

    \b
    boostlora export quickstart --to safetensors
    boostlora export reviews --to hf --rounds all
    boostlora export sums --to peft-lora --set per_round=true
    boostlora export sums --to boost --out sums.boost.safetensors

    Exit codes: 0 written, 2 the format cannot hold the model, 4 the logits differ, and nothing was kept.
    """  # noqa: D301 - click reads the backspace
    from .execution import plain_warnings
    from .interrupts import interruptible

    if with_factors and to != BOOST:
        raise UsageError("--with-factors is for --to boost; other formats contain the updates anyway")
    with (
        interruptible(lambda: "nothing was kept"),
        plain_warnings(),
        progress(shown=not quiet) as report,
    ):
        ensemble = open_ensemble(what, runs_folder, base, plugin_files, report)
        chosen, why = default_rounds(ensemble, rounds, drop, weights)
        if why:
            _refuse_base(ensemble)
        choice = choice_of(ensemble, chosen, drop, weights)
        if to == BOOST:
            _refuse_options(settings)
            from ..export.boost_file import SUFFIX
            from ..export.boost_writer import pack

            place = out or Path(f"{ensemble.spec.head.name}{SUFFIX}")
            done: WrittenBoostFile | Exported = pack(ensemble, place, choice, with_factors=with_factors)
        else:
            from ..export.export import export
            from ..spec.document import from_settings

            place = out or Path(f"{ensemble.spec.head.name}-{to}")
            done = export(ensemble, to, place, choice, from_settings(settings), examples=examples)
    if as_json:
        echo(json.dumps(_as_json(done), indent=2))
    elif quiet:
        echo(done.path)
    else:
        for line in _lines(done, why, plugin_files):
            echo(line)


def _refuse_base(ensemble: Ensemble) -> None:
    """Refuse to export the base where nobody asked for it. Raises `UsageError`."""
    if len(ensemble) and not ensemble.best:
        raise UsageError(
            f"no round beat the base on validation, so the base is the best model, and nothing was exported. "
            f"--rounds all exports {count_text(len(ensemble), 'round')} anyway, --rounds 0 the base itself"
        )


def _refuse_options(settings: tuple[str, ...]) -> None:
    if settings:
        raise UsageError(f"--set {settings[0]}: the format boost has no options; see --with-factors")


def _as_json(done: WrittenBoostFile | Exported) -> dict[str, Any]:
    return {**attrs.asdict(done), "path": str(done.path)}


def _lines(done: WrittenBoostFile | Exported, why: str, plugin_files: tuple[Path, ...]) -> list[str]:
    """The result for the terminal; `why` explains rounds that no option selected."""
    from ..export.boost_writer import WrittenBoostFile

    reason = [f"rounds {done.rounds}: {why}"] if why else []
    if isinstance(done, WrittenBoostFile):
        what = f"rounds {done.rounds}, {done.numbers:,} trained parameters"
        lines = [
            f"{done.path}: {size_text(done.size)}; {what}; a merged model has {size_text(done.merged_size)}",
            *reason,
        ]
        if done.factors:
            numbers, reason = sorted(done.factors), next(iter(done.factors.values()))
            lines.append(f"with the factors of rounds {', '.join(map(str, numbers))}: {reason}")
        apply = command_line("boostlora", "apply", "BASE", done.path, *plugin_words(plugin_files))
        return [*lines, f"merge it with: {apply}"]
    lines = [f"{done.path}: {done.to}, {size_text(done.size)}; rounds {done.rounds}", *reason]
    lines.append(compared_text(done.compared))
    return [*lines, "", *done.usage.rstrip().splitlines()]


def compared_text(compared: ExportCheck | None) -> str:
    """The comparison of an export with the model, in a line."""
    if compared is None:
        return "logits were not compared with those of the evaluated model"
    return (
        f"read back and compared: {count_text(compared.rows, 'logit')} of {count_text(compared.examples, 'example')}, largest deviation "
        f"{compared.largest:.2g} of {compared.allowed:.2g} allowed ({compared.precision}); "
        f"{100 * compared.agreement:.3g} % of top answers equal"
    )
