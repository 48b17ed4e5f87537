"""Where a model's weights lie: in its own safetensors files, or in a copy made of them once."""

from __future__ import annotations

import io
import json
import shutil
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
from .folder import Folder
from .names import stored_name, stored_names
from .nets import Kind, declared, loaded


@attrs.frozen(kw_only=True)
class Layout:
    """The parameters of a folder's model, and whether its files can serve as they are."""

    weights: tuple[WeightInfo, ...]
    own_files: bool


def layout(folder: Folder, config: Any, kind: Kind) -> Layout:
    """Parameters from the configuration, names and dtypes from the headers of the files; no weight is read.

    Where a parameter is not in the safetensors files as it is (there are none, or transformers puts it together from
    several), all are named and typed as the copy will have them.
    """
    module, header = declared(config, kind, str(folder)), folder.header()
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
    """Refuse files that have two values of one parameter, as a head of its own beside `tie_word_embeddings = true`.

    transformers then makes two parameters of it, and other readers one. Raises `UsageError`.
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
                        f"{folder}: {first} and {other} are one weight by its configuration, and two in its files; "
                        "if they are meant to be two, set tie_word_embeddings to false in config.json"
                    )


def weight_files(
    folder: Folder, config: Any, kind: Kind, own_files: bool, context: RunContext
) -> tuple[Path, ...]:
    """The safetensors files to open. Their folder is one that transformers can load the model from, too.

    A copy is kept in the cache under the hash of what it was made from, and made anew where its bytes are not the recorded ones.
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
    """The configuration's own dtype; float32 where it names none, and for GGUF, whose numbers it holds exactly."""
    told = None if folder.gguf else getattr(config, "dtype", None)
    told = getattr(torch, told, None) if isinstance(told, str) else told
    return told if isinstance(told, torch.dtype) else torch.float32


def _convert(folder: Folder, config: Any, kind: Kind, place: Path, context: RunContext) -> None:
    """Write the weights under their parameters' names; the folder gets its name when it is whole."""
    if not folder.gguf and not folder.shards() and not any(folder.path.glob("pytorch_model*.bin")):
        raise UsageError(f"{folder}: no weights: neither model.safetensors nor pytorch_model.bin")
    what = "dequantising" if folder.gguf else "converting"
    context.report(what, 0, 0)
    with (
        redirect_stderr(io.StringIO()) if folder.gguf else nullcontext()
    ):  # a progress bar that cannot be switched off
        module = loaded(folder.path, config, kind, _copy_dtype(folder, config), gguf=folder.gguf)
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
        shutil.rmtree(place, ignore_errors=True)  # what is there is damaged
        with suppress(OSError):  # another process was faster
            settle(made, place)
    context.report(what, 1, 1)
