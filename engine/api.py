"""Specs and runs from Python: the same specs, folders and files as those of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import tomli_w

from .boosting.experiment import prepare
from .boosting.loop import boost
from .ensemble.choice import Choice, Rounds
from .ensemble.ensemble import Ensemble
from .errors import RunError
from .export.boost_reader import load
from .export.boost_writer import save
from .export.export import Exported
from .export.export import export as write_export
from .foundation.locks import locked
from .foundation.run_context import RunContext
from .registry import Registry
from .runs.directory import RunDirectory
from .spec import Spec
from .spec.resolve import load_spec as read_spec

__all__ = ["Ensemble", "export", "load", "load_spec", "run", "save"]

Settings = Mapping[str, Any] | Sequence[str]


def load_spec(spec: str | Path, settings: Settings = (), *, plugins: Sequence[str | Path] = ()) -> Spec:
    """A spec from a TOML file or by its shipped name, under settings of single keys.

    Args:
        spec: a file, or the name of a spec that comes along, such as `quickstart`.
        settings: `{"optimizer.lr": 0.1}`, or `["optimizer.lr=0.1"]` as on the command line.
        plugins: files with plugins of your own.

    Raises:
        SpecError: with every fault of the spec at once.
        UsageError: where there is no such spec.
    """
    return read_spec(spec, _registry(plugins), _as_words(settings))


def run(
    spec: Spec | str | Path,
    settings: Settings = (),
    *,
    runs: str | Path = "runs",
    plugins: Sequence[str | Path] = (),
    progress: bool = True,
    context: RunContext | None = None,
) -> Ensemble:
    """Play what is missing of a run, and open its ensemble. A run that is finished is not played again; one that was killed goes on.

    Args:
        spec: a spec, a file, or a shipped name; `settings` are for the last two.
        settings: as `load_spec` takes them.
        runs: the folder of all runs; this one's is `runs/NAME/HASH`.
        plugins: files with plugins of your own.
        progress: print a line a round, and a bar on a terminal or in a notebook.
        context: where caches lie; by default where the command line has them.

    Raises:
        RunError: where a round met NaN or Inf, or the disk is full; every finished round is kept, and the same call goes on.
        UsageError: where the spec cannot be run; then nothing was written.
    """
    registry = _registry(plugins)
    loaded = spec if isinstance(spec, Spec) else read_spec(spec, registry, _as_words(settings))
    path = Path(runs) / loaded.head.name / loaded.short_hash
    if not _is_finished(path):
        _play(loaded, path, registry, context or RunContext(), progress=progress)
    return Ensemble.open(path, plugins=plugins, context=context)


def export(
    ensemble: Ensemble, to: str, place: str | Path, rounds: Rounds | Choice = None, **options: Any
) -> Exported:
    """Write a selection of rounds in another library's form, read it back as that library does, and compare.

    Args:
        ensemble: of a run or a boost file.
        to: an exporter, such as `hf`, `peft-lora` or `safetensors`.
        place: the folder to make.
        rounds: as `Ensemble` takes them; all by default.
        options: the exporter's own.

    Raises:
        UsageError: before any work, where the form cannot hold it or the place is taken.
        MismatchError: where what was written does not compute what was evaluated.
    """
    choice = rounds if isinstance(rounds, Choice) else ensemble.choose(rounds)
    return write_export(ensemble, to, Path(place), choice, options)


def _play(spec: Spec, path: Path, registry: Registry, context: RunContext, *, progress: bool) -> None:
    from .cli.display import Live  # noqa: PLC0415 - rich is slow to import

    live = Live() if progress else None
    if live is not None:
        registry.manager.register(live, name="display")
    prepared = prepare(spec)
    with locked(path), live.showing() if live else nullcontext() as report:
        directory = RunDirectory.create(path, spec)
        place = RunContext(cache=context.cache, report=report or context.report, processes=context.processes)
        result = boost(prepared, directory, registry, place)
    if live is not None:
        live.conclude(directory.records, result.as_json())
    if result.failed:
        raise RunError(f"{result.reason}. The rounds before it are kept in {path}")


def _is_finished(path: Path) -> bool:
    if not (path / "result.json").is_file():
        return False
    result = RunDirectory.open(path).result()
    return result is not None and result["status"] != "failed"


def _registry(plugins: Sequence[str | Path]) -> Registry:
    """The registry; a plugin file of the caller's that is broken is an error here, not a warning."""
    registry = Registry.load(tuple(Path(file) for file in plugins))
    given = {str(Path(file)) for file in plugins}
    for broken in registry.broken:
        if broken.origin in given:
            raise RunError(f"plugin {broken.origin}: {broken.reason}")
    return registry


def _as_words(settings: Settings) -> tuple[str, ...]:
    """Settings in the words of the command line."""
    if not isinstance(settings, Mapping):
        return tuple(settings)
    return tuple(f"{key}={_as_toml(value)}" for key, value in settings.items())


def _as_toml(value: Any) -> str:
    """A value as TOML writes it on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_as_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_as_toml(inner) for inner in value) + "]"
    return tomli_w.dumps({"x": str(value) if isinstance(value, Path) else value})[len("x = ") :].strip()
