"""Specs and runs from Python: the same specs, folders and files as those of the command line."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import tomli_w

from .analysis.runs_table import Row, read_runs
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
from .spec.plugin_loader import once, registry_for
from .spec.resolve import load_spec as read_spec

__all__ = ["Ensemble", "export", "load", "load_spec", "run", "runs_table", "save"]

Settings = Mapping[str, Any] | Sequence[str]


def load_spec(spec: str | Path, settings: Settings = (), *, plugins: Sequence[str | Path] = ()) -> Spec:
    """A spec from a TOML file or by its shipped name, under settings of single keys.

    Args:
        spec: a file, or the name of a shipped spec, such as `quickstart`.
        settings: `{"optimizer.lr": 0.1}`, or `["optimizer.lr=0.1"]` as on the command line.
        plugins: files with your plugins.

    Raises:
        SpecError: with all faults of the spec.
        UsageError: if there is no such spec.
    """
    return read_spec(spec, _registry(plugins, spec), _as_words(settings))


def run(
    spec: Spec | str | Path,
    settings: Settings = (),
    *,
    runs: str | Path = "runs",
    plugins: Sequence[str | Path] = (),
    progress: bool = True,
    context: RunContext | None = None,
) -> Ensemble:
    """Run the missing rounds of a spec, and open the ensemble. A finished run is not repeated; an interrupted one is resumed.

    Args:
        spec: a spec, a file, or a shipped name; `settings` are for the last two.
        settings: as `load_spec` takes them.
        runs: the folder of all runs; this one's is `runs/NAME/HASH`.
        plugins: files with your plugins.
        progress: print a line a round, and a bar on a terminal or in a notebook.
        context: the cache folder; by default that of the command line.

    Raises:
        RunError: if a round has NaN or Inf, or the disk is full. Finished rounds are kept, and the same call resumes.
        UsageError: if the spec cannot run; nothing is written.
    """
    if isinstance(spec, Spec):
        loaded, registry = spec, _registry((*spec.plugin_files, *plugins))
    else:
        registry = _registry(plugins, spec)
        loaded = read_spec(spec, registry, _as_words(settings))
    path = Path(runs) / loaded.head.name / loaded.short_hash
    if not _is_finished(path):
        _run(loaded, path, registry, context or RunContext(), progress=progress)
    return Ensemble.open(path, plugins=registry.files, context=context)


def runs_table(runs: str | Path = "runs", names: str | Sequence[str] = ()) -> list[Row]:
    """All runs in a folder, newest first, one flat row each: `pandas.DataFrame(runs_table())`.

    The keys are those of `boostlora runs --csv`; accuracies are shares in [0, 1], losses are in nats. What a run does not have is None.
    A run that cannot be read is left out, with a warning.

    Args:
        runs: the folder of all runs.
        names: a run's name, a pattern such as `paper-*`, or several of them; all runs by default.

    Raises:
        UsageError: where there is no such folder, or no run of that name.
    """
    table = read_runs(Path(runs), (names,) if isinstance(names, str) else names)
    if table.warning:
        warnings.warn(table.warning, stacklevel=2)
    return table.rows


def export(
    ensemble: Ensemble, to: str, place: str | Path, rounds: Rounds | Choice = None, **options: Any
) -> Exported:
    """Export a selection of rounds to another library's format, read it back with that library, and compare logits.

    Args:
        ensemble: of a run or a boost file.
        to: an exporter, such as `hf`, `peft-lora` or `safetensors`.
        place: the folder to create.
        rounds: as `Ensemble` takes them; all by default.
        options: the exporter's own.

    Raises:
        UsageError: before any work, if the format cannot hold it or the folder exists.
        MismatchError: if the logits of the export differ from those of the model.
    """
    return write_export(ensemble, to, Path(place), ensemble.choose(rounds), options)


def _run(spec: Spec, path: Path, registry: Registry, context: RunContext, *, progress: bool) -> None:
    from .cli.display import RunDisplay  # noqa: PLC0415 - rich is slow to import
    from .cli.progress import RunWork  # noqa: PLC0415
    from .cli.progress_display import shown  # noqa: PLC0415

    display, work = RunDisplay() if progress else None, RunWork()
    if display is not None:
        registry.manager.register(display, name="display")
        registry.manager.register(work, name="progress")
    prepared = prepare(spec)
    with locked(path), shown(work, display.console) if display else nullcontext() as report:
        directory = RunDirectory.create(path, spec)
        place = RunContext(cache=context.cache, report=report or context.report, processes=context.processes)
        result = boost(prepared, directory, registry, place, rivals=True)
    if display is not None:
        display.conclude(directory, result.as_json())
    if result.failed:
        raise RunError(f"{result.reason}. The rounds before it are kept in {path}")


def _is_finished(path: Path) -> bool:
    if not (path / "result.json").is_file():
        return False
    result = RunDirectory.open(path).result()
    return result is not None and result["status"] != "failed"


def _registry(plugins: Sequence[str | Path], spec: str | Path | None = None) -> Registry:
    """The registry, with the plugin files that a spec names. Raises `UsageError` for a file that fails."""
    files = once(map(Path, plugins))
    return Registry.load(files) if spec is None else registry_for(spec, files)


def _as_words(settings: Settings) -> tuple[str, ...]:
    """Settings in the form `KEY=VALUE` of the command line."""
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
