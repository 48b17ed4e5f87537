"""The base of a boost file: found at a place of the user's, and held to its hash."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ..contracts import ModelSource, PortableModel
from ..errors import UsageError, blame
from ..foundation.cache import arrays_sha256, cached
from ..foundation.hashes import file_sha256_cached
from ..foundation.options import HUB_ID, shortened
from ..foundation.run_context import RunContext
from ..spec import Spec
from ..spec.document import parse
from ..spec.faults import Source
from .boost_file import BaseFacts, BoostFile, tensors_sha256


def base_files(source: ModelSource) -> tuple[Path, ...]:
    """The files that come with the base: those with a weight that was not fitted to the run's data."""
    from safetensors import safe_open  # noqa: PLC0415

    if not source.fitted:
        return source.files
    kept = list[Path]()
    for path in source.files:
        with safe_open(path, framework="np") as file:
            if set(file.keys()) - set(source.fitted):
                kept.append(path)
    return tuple(kept)


def model_at(file: BoostFile, path: Path, base: str) -> dict[str, Mapping[str, Any]]:
    """What a spec has to say of its model so that it lies at `base`. Raises `UsageError` for a place that is none."""
    model = parse(Source(str(path), file.spec, Path.cwd())).tree.get("model", {})
    place = place_of(base)
    if not isinstance(model, dict) or "path" not in model:
        if not place.exists():
            raise UsageError(f"{base}: no such file or folder; the base is needed")
        return {}
    if place.is_file() and place.suffix == ".gguf":
        return {"model": {"path": str(place.resolve().parent), "gguf": place.name}}
    if place.is_file():
        place = place.parent
    if not place.is_dir() and not HUB_ID.fullmatch(base):
        raise UsageError(f"{base}: no such file or folder, and no Hugging Face id; the base is needed")
    return {"model": {"path": str(place.resolve()) if place.is_dir() else base}}


def place_of(base: str) -> Path:
    """Where a base would be if it is on this machine. Raises `UsageError` for what is no path."""
    try:
        place = Path(base).expanduser()
        place.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, an unknown user's, or with NUL in it
        raise UsageError(f"{shortened(base)}: no place of a base ({error})") from error
    if not base.strip():
        raise UsageError("the base is needed: a folder, a file, or a Hugging Face id")
    return place


def base_source(file: BoostFile, spec: Spec, base: str, context: RunContext) -> ModelSource:
    """The base's files, by the model plugin where it knows other places than safetensors files."""
    fitted = {n.removeprefix("fitted/"): x for n, x in file.arrays.items() if n.startswith("fitted/")}
    kept = cached(context.cache / "models", arrays_sha256(fitted), lambda: fitted).path if fitted else None
    model, place = spec.model, place_of(base)
    if isinstance(model, PortableModel):
        told = str(place.parent) if place.is_file() and place.suffix != ".gguf" else base
        with blame("model", spec.slots["model"].use):
            return model.source_at(told, file.blueprint, kept, context)
    files = (place,) if place.is_file() else tuple(sorted(place.glob("*.safetensors")))
    if not files:
        raise UsageError(f"{base}: no safetensors file there; the base is needed")
    more = () if kept is None else (kept,)
    return ModelSource(blueprint=file.blueprint, files=(*files, *more), sha256="", fitted=file.base.fitted)


def check_base(file: BoostFile, path: Path, base: str, source: ModelSource, cache: Path) -> None:
    """Refuse other weights than the run began with: by the files' hashes, or, in files of another cut, by the tensors'."""
    facts, files = file.base, base_files(source)
    try:
        found = [file_sha256_cached(f, cache) for f in files]
        if sorted(found) == sorted(f.sha256 for f in facts.files) or tensors_sha256(files) == facts.tensors:
            return
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UsageError(f"{base}: cannot be read: {error}") from error
    raise UsageError(
        f"{base}: another base than the one that {path} belongs to ({_told(facts)}): the hash of its weights is "
        f"{', '.join(x[:12] for x in found)}, expected {', '.join(f.sha256[:12] for f in facts.files)}; nothing was written"
    )


def _told(facts: BaseFacts) -> str:
    return facts.path or ", ".join(f.name for f in facts.files)
