"""`boostlora apply`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import click

from .common import json_option, plugin_option, quiet_option
from .ensembles import choice_of, choice_options, format_option, progress
from .terminal import echo
from .units import size_text


@click.command("apply")
@click.argument("base")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="Output folder; must not exist. Default: NAME-merged."
)
@choice_options("Default: those that the file was written for.")
@format_option
@click.option("--backend", metavar="NAME", help="Compute with this backend, not the run's.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0.0),
    metavar="SHARE",
    default=1e-3,
    show_default=True,
    help="Allowed deviation of rebuilt updates from the run's, as a share of their norm.",
)
@click.option(
    "--examples",
    type=click.IntRange(min=0),
    default=4,
    show_default=True,
    metavar="N",
    help="Random inputs whose logits are compared with the written model; 0: none.",
)
@plugin_option
@json_option
@quiet_option
def command(
    base: str,
    file: Path,
    out: Path | None,
    rounds: str | None,
    drop: tuple[str, ...],
    weights: tuple[str, ...],
    settings: tuple[str, ...],
    backend: str | None,
    tolerance: float,
    examples: int,
    plugin_files: tuple[Path, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Rebuild the merged model of a boost FILE on its BASE: a folder, a safetensors or GGUF file, or a Hugging Face id.

    The base must have the hash in the file, and rebuilt updates must match the run's. On the machine and versions of the run, the
    merged weights are bit-identical to the run's; elsewhere they are within the tolerance. By default, the rounds are those that the
    file was written for.

    Exit codes: 0 written, 2 another base, 3 damaged file, 4 updates differ from the run's. Nothing is written unless it is 0.
    """
    from ..ensemble.ensemble import Ensemble
    from ..export.boost_reader import BoostFileSource
    from ..export.boost_writer import merged_sha256
    from ..export.export import check_free, export
    from ..foundation.run_context import RunContext
    from ..spec.document import from_settings
    from .common import load_registry
    from .execution import plain_warnings
    from .interrupts import interruptible

    if out is not None:
        check_free(out)
    registry = load_registry(plugin_files)
    with (
        interruptible(lambda: "nothing was written"),
        plain_warnings(),
        progress(shown=not quiet) as report,
    ):
        origin = BoostFileSource.of(
            file,
            base,
            registry,
            RunContext(report=report),
            backend={"use": backend} if backend else None,
            tolerance=tolerance,
        )
        place = out or Path(f"{origin.file.name}-merged")
        check_free(place)
        ensemble, given = Ensemble(origin), origin.file.merged.weights
        own = rounds is None and not drop and not weights
        choice = ensemble.choose(dict(given)) if own else choice_of(ensemble, rounds or "all", drop, weights)
        exportable = ensemble.exportable(choice)
        exact = dict(choice.weights) == dict(given) and merged_sha256(exportable) == origin.file.merged.sha256
        form = "hf" if origin.source.blueprint.architecture.partition("/")[2] else "safetensors"
        shown = examples if origin.can_open else 0
        done = export(ensemble, form, place, choice, from_settings(settings), examples=shown)
    content: dict[str, Any] = {**attrs.asdict(done), "path": str(done.path), "bit_identical": exact}
    content |= {"departure": origin.rebuilt.departure, "allowed": origin.rebuilt.allowed}
    if as_json:
        echo(json.dumps(content, indent=2))
    elif quiet:
        echo(done.path)
    else:
        _print(done, exact=exact, own=own, departure=origin.rebuilt.departure)


def _print(done: Any, *, exact: bool, own: bool, departure: float) -> None:
    from .export import compared_text

    echo(f"{done.path}: {done.to}, {size_text(done.size)}; rounds {done.rounds}")
    if exact:
        echo("bit-identical to the merged weights of the run")
    elif own:
        echo(f"not bit-identical to the run: rebuilt updates deviate by {departure:.2g} of their norm")
    else:
        echo(f"updates of the run, rebuilt up to {departure:.2g} of their norm")
    echo(compared_text(done.compared))
    echo("")
    echo(done.usage.rstrip())
