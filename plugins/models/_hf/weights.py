"""A model's weight files: its safetensors files, or a cached conversion."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, nullcontext, redirect_stderr, suppress
from pathlib import Path
from typing import Any

import attrs
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file

from ....engine.contracts import WeightInfo
from ....engine.errors import UsageError
from ....engine.foundation.atomic import write_text
from ....engine.foundation.cache import key_of, writing_cache
from ....engine.foundation.durable import settle
from ....engine.foundation.hashes import file_sha256_cached, folder_sha256
from ....engine.foundation.leftovers import making
from ....engine.foundation.options import MODEL_SUFFIXES
from ....engine.foundation.run_context import RunContext
from .folder import Folder, Header
from .nets import Kind, declare, load_module

TENSORFLOW_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
"""TensorFlow's parameter names in old BERT-style checkpoints."""


@attrs.frozen(kw_only=True)
class Layout:
    """The parameters of a folder's model, and whether its files can be used directly."""

    weights: tuple[WeightInfo, ...]
    own_files: bool


def layout(folder: Folder, config: Any, kind: Kind) -> Layout:
    """Parameters from the configuration, with names and dtypes from the file headers; no weight is read.

    If a parameter is not stored directly (there are no safetensors files, or transformers assembles it from several tensors), all
    have the names and dtype of the converted copy.
    """
    module, header = declare(config, kind, str(folder)), folder.header()
    infos = module.weights
    names = stored_names({i.name: i.shape for i in infos}, header, module.prefix)
    if names is None:
        dtype = str(_copy_dtype(folder, config)).removeprefix("torch.")
        return Layout(
            weights=tuple(attrs.evolve(i, dtype=dtype, also_stored=()) for i in infos), own_files=False
        )

    def in_files(info: WeightInfo) -> WeightInfo:
        stored = names[info.name]
        also = {stored_name(name, info.shape, header, module.prefix) for name in info.also}
        return attrs.evolve(
            info,
            dtype=header[stored][0],
            stored=stored if stored != info.name else "",
            also_stored=tuple(sorted(name for name in also if name and name != stored)),
        )

    return Layout(weights=tuple(map(in_files, infos)), own_files=True)


def require_one_value(folder: Folder, layout: Layout) -> None:
    """Raise `UsageError` for tied parameters with different values, such as a separate head with `tie_word_embeddings = true`.

    transformers loads them as two parameters, other libraries as one.
    """
    doubled = [w for w in layout.weights if w.also_stored]
    if not doubled or not layout.own_files:
        return
    with ExitStack() as files:
        opened = [files.enter_context(safe_open(shard, framework="pt")) for shard in folder.shards()]
        held = {name: file for file in opened for name in file.keys()}  # noqa: SIM118 - no mapping
        for weight in doubled:
            first = weight.stored or weight.name
            for other in weight.also_stored:
                if not torch.equal(held[first].get_tensor(first), held[other].get_tensor(other)):
                    raise UsageError(
                        f"{folder}: {first} and {other} are tied by the configuration but differ in the files; "
                        "if they should differ, set tie_word_embeddings to false in config.json"
                    )


def weight_files(
    folder: Folder, config: Any, kind: Kind, own_files: bool, context: RunContext
) -> tuple[Path, ...]:
    """The safetensors files to open; transformers can load the model from their folder too.

    A converted copy is cached by the hash of its source, and converted again if its bytes differ from the recorded hash.
    """
    if own_files:
        return folder.shards()
    key = key_of(
        {
            "content": folder_sha256(folder.path, context.cache, MODEL_SUFFIXES),
            "gguf": folder.gguf,
            "kind": kind,
            "dtype": str(_copy_dtype(folder, config)),
            "transformers": transformers.__version__,
        }
    )
    place = context.cache / "models" / key
    file, manifest = place / "model.safetensors", place / "manifest.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        if json.loads(manifest.read_text(encoding="utf-8"))["sha256"] == file_sha256_cached(
            file, context.cache
        ):
            return (file,)
    _convert(folder, config, kind, place, context)
    return (file,)


def _copy_dtype(folder: Folder, config: Any) -> torch.dtype:
    """The configuration's dtype; float32 if it has none, and for GGUF, whose values float32 represents exactly."""
    named = None if folder.gguf else getattr(config, "dtype", None)
    named = getattr(torch, named, None) if isinstance(named, str) else named
    return named if isinstance(named, torch.dtype) else torch.float32


def _convert(folder: Folder, config: Any, kind: Kind, place: Path, context: RunContext) -> None:
    """Write the weights under their parameter names; the folder is moved into place when complete."""
    if not folder.gguf and not folder.shards() and not any(folder.path.glob("pytorch_model*.bin")):
        raise UsageError(f"{folder}: no weights: neither model.safetensors nor pytorch_model.bin")
    what = "dequantising" if folder.gguf else "converting"
    context.report(what, 0, 0)
    with (
        redirect_stderr(io.StringIO()) if folder.gguf else nullcontext()
    ):  # a progress bar that cannot be disabled
        module = load_module(folder.path, config, kind, _copy_dtype(folder, config), gguf=folder.gguf)
    tied = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    tensors = dict(module.named_parameters()) | {
        n: t for n, t in module.state_dict().items() if n not in tied
    }
    with writing_cache(place), making(place) as made:
        whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        save_file(whole, made / "model.safetensors", metadata={"format": "pt"})
        config.to_json_file(made / "config.json")
        sha256 = file_sha256_cached(made / "model.safetensors", context.cache)
        write_text(made / "manifest.json", json.dumps({"sha256": sha256}) + "\n")
        shutil.rmtree(place, ignore_errors=True)  # remove a damaged copy
        with suppress(OSError):  # another process was faster
            settle(made, place)
    context.report(what, 1, 1)


def stored_names(
    shapes: Mapping[str, tuple[int, ...]], header: Header, prefix: str
) -> Mapping[str, str] | None:
    """Stored name by parameter; None unless every parameter is stored with a known name, its shape and a supported dtype.

    Candidates are the same name, with and without the architecture's `prefix` (`bert.`, `transformer.`), and TensorFlow's names.
    """
    found = dict[str, str]()
    for name, shape in shapes.items():
        stored = stored_name(name, shape, header, prefix)
        if stored is None:
            return None
        found[name] = stored
    return found if len(set(found.values())) == len(found) else None


def stored_name(name: str, shape: tuple[int, ...], header: Header, prefix: str) -> str | None:
    """A parameter's stored name; None if it is not stored with its shape."""
    fitting = (n for n in _candidates(name, prefix) if n in header and header[n][0] and header[n][1] == shape)
    return next(fitting, None)


def _candidates(name: str, prefix: str) -> Iterator[str]:
    for spelled in (name, f"{prefix}.{name}", name.removeprefix(f"{prefix}.")):
        yield spelled
        for new, old in TENSORFLOW_NAMES.items():
            if spelled.endswith(new):
                yield spelled.removesuffix(new) + old
