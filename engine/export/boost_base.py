"""The base of a boost file: located at a user's path, and verified by hash."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ..contracts import ModelSource, PortableModel, PortablePreprocessing
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
    """The files of the base: those with a weight that was not fitted to the run's data."""
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
    """Spec options that locate the model at `base`. Raises `UsageError` for an invalid location."""
    model = parse(Source(str(path), file.spec, Path.cwd())).tree.get("model", {})
    place = place_of(base)
    if not isinstance(model, dict) or "path" not in model:
        if not place.exists():
            raise UsageError(f"{base}: no such file or folder; the base is required")
        return {}
    if place.is_file() and place.suffix == ".gguf":
        return {"model": {"path": str(place.resolve().parent), "gguf": place.name}}
    if place.is_file():
        place = place.parent
    if not place.is_dir() and not HUB_ID.fullmatch(base):
        raise UsageError(f"{base}: neither a file, a folder nor a Hugging Face id; the base is required")
    return {"model": {"path": str(place.resolve()) if place.is_dir() else base}}


def place_of(base: str) -> Path:
    """The path of a base on this machine, which need not exist. Raises `UsageError` for an invalid path."""
    try:
        place = Path(base).expanduser()
        place.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, of an unknown user, or with NUL
        raise UsageError(f"{shortened(base)}: not a valid path of a base ({error})") from error
    if not base.strip():
        raise UsageError("the base is required: a folder, a file, or a Hugging Face id")
    return place


def base_source(file: BoostFile, spec: Spec, base: str, context: RunContext) -> ModelSource:
    """The base's files, located by the model plugin if it supports more than safetensors files."""
    fitted = {n.removeprefix("fitted/"): x for n, x in file.arrays.items() if n.startswith("fitted/")}
    kept = cached(context.cache / "models", arrays_sha256(fitted), lambda: fitted).path if fitted else None
    model, place = spec.model, place_of(base)
    if isinstance(model, PortableModel):
        known = str(place.parent) if place.is_file() and place.suffix != ".gguf" else base
        with blame("model", spec.slots["model"].use):
            return model.source_at(known, file.blueprint, kept, context)
    beside = PortablePreprocessing.ARRAYS
    found = sorted(path for path in place.glob("*.safetensors") if path.name != beside)
    files = (place,) if place.is_file() else tuple(found)
    if not files:
        raise UsageError(f"{base}: no safetensors file there; the base is required")
    more = () if kept is None else (kept,)
    return ModelSource(blueprint=file.blueprint, files=(*files, *more), sha256="", fitted=file.base.fitted)


def check_base(file: BoostFile, path: Path, base: str, source: ModelSource, cache: Path) -> None:
    """Refuse weights that differ from the run's initial ones: by file hashes, or by tensor hashes if the files are sharded differently."""
    facts, files = file.base, base_files(source)
    try:
        found = [file_sha256_cached(f, cache) for f in files]
        if sorted(found) == sorted(f.sha256 for f in facts.files) or tensors_sha256(files) == facts.tensors:
            return
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UsageError(f"{base}: cannot be read: {error}") from error
    raise UsageError(
        f"{base}: not the base of {path} ({_base_name(facts)}): the hash of its weights is "
        f"{', '.join(x[:12] for x in found)}, expected {', '.join(f.sha256[:12] for f in facts.files)}; nothing was written"
    )


def _base_name(facts: BaseFacts) -> str:
    return facts.path or ", ".join(f.name for f in facts.files)
