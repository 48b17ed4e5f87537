"""A model's folder, local or from the Hugging Face Hub: configuration, tokenizer and weight headers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs
from safetensors import SafetensorError, safe_open

from ....engine.errors import UsageError
from .library import as_usage_error

DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
SMALL_FILES = ["*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "README.md", "LICENSE*"]

Header = Mapping[str, tuple[str, tuple[int, ...]]]
"""Dtype and shape by stored name."""


@attrs.frozen(kw_only=True)
class Folder:
    """A local folder with a model; `gguf` is the name of its GGUF file, if it is one."""

    path: Path
    gguf: str
    repository: str = ""
    """Its id on the Hub, if it comes from there."""
    revision: str = ""

    def __str__(self) -> str:
        return self.repository or str(self.path / self.gguf)

    @property
    def keywords(self) -> dict[str, Any]:
        """Arguments for `from_pretrained`: no downloads, no custom code."""
        gguf = {"gguf_file": self.gguf} if self.gguf else {}
        return {"local_files_only": True, "trust_remote_code": False, **gguf}

    def config(self) -> Any:
        """The configuration. Raises `UsageError` if it is missing or unreadable, and for quantised weights or adapters."""
        if self.gguf and not (self.path / self.gguf).is_file():
            found = ", ".join(sorted(p.name for p in self.path.glob("*.gguf"))) or "none"
            raise UsageError(f'{self.path}: no file "{self.gguf}" (model.gguf); GGUF files there: {found}')
        hint = "" if self.gguf or not any(self.path.glob("*.gguf")) else "; name its GGUF file in model.gguf"
        with as_usage_error(f"{self}: no readable model{hint}"):
            config = _config(self, self._stamp())
        method = getattr(config, "quantization_config", None)
        if method is not None:
            raise UsageError(f"{self}: its weights are quantised; use the original model")
        if (self.path / ADAPTER).is_file():
            # transformers would apply it on top of the weights, but merges read the files and would miss it.
            raise UsageError(f"{self}: an adapter ({ADAPTER}); merge it into its base first, and use that")
        return config

    def _stamp(self) -> tuple[int, ...]:
        """Modification time and size of the configuration file, as a cache key."""
        file = self.path / (self.gguf or "config.json")
        return (file.stat().st_mtime_ns, file.stat().st_size) if file.is_file() else ()

    def tokenizer(self) -> Any:
        """The tokenizer."""
        from transformers import AutoTokenizer  # noqa: PLC0415

        with as_usage_error(f"{self}: no readable tokenizer"):
            return AutoTokenizer.from_pretrained(self.path, **self.keywords)

    def shards(self) -> tuple[Path, ...]:
        """Its safetensors files, according to its index; empty if the weights have another format."""
        if self.gguf:
            return ()
        index, single = self.path / INDEX, self.path / "model.safetensors"
        if index.is_file():
            with as_usage_error(f"{index}: not a readable index"):
                names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            return tuple(self.path / name for name in names)
        return (single,) if single.is_file() else ()

    def header(self) -> Header:
        """The headers of the safetensors files, read from the Hub if the files are not downloaded yet."""
        shards = self.shards()
        missing = [shard for shard in shards if not shard.is_file()]
        if self.repository and not self.gguf and (missing or not shards):
            return _hub_header(self)
        if missing:
            raise UsageError(f"{missing[0]}: no such file, though {INDEX} names it")
        found = dict[str, tuple[str, tuple[int, ...]]]()
        for shard in shards:
            try:
                with safe_open(shard, framework="np") as tensors:
                    for name in tensors.keys():  # noqa: SIM118 - no mapping
                        view = tensors.get_slice(name)
                        found[name] = (DTYPES.get(view.get_dtype(), ""), tuple(view.get_shape()))
            except (SafetensorError, OSError) as error:
                raise UsageError(f"{shard}: not a readable safetensors file: {error}") from error
        return found


def _config(folder: Folder, stamp: tuple[int, ...]) -> Any:
    """A copy of the cached configuration, since reading one from a GGUF file takes seconds."""
    return deepcopy(_read_config(folder, stamp))


@lru_cache(maxsize=8)
def _read_config(folder: Folder, _stamp: tuple[int, ...]) -> Any:
    from transformers import AutoConfig  # noqa: PLC0415

    return AutoConfig.from_pretrained(folder.path, **folder.keywords)


@lru_cache(maxsize=8)
def open_folder(path: str, revision: str, gguf: str, *, weights: bool = False) -> Folder:
    """The folder at an absolute `path`, or that of a Hub id, fetched once per process; with `weights`, including the weights.

    Parsing a spec makes the paths of existing folders absolute, so any other path is an id.
    """
    if Path(path).is_absolute():
        if not Path(path).is_dir():
            raise UsageError(f"model.path: no folder {path}")
        return Folder(path=Path(path), gguf=gguf)
    found = _fetch(path, revision, [gguf] if gguf and weights else SMALL_FILES)
    folder = Folder(path=found, gguf=gguf, repository=path, revision=revision)
    if weights and not gguf:
        _fetch(path, revision, ["*.safetensors"])
        if not folder.shards():
            _fetch(path, revision, ["pytorch_model*.bin"])
    return folder


def _fetch(repository: str, revision: str, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    ignored = ["*/*", "consolidated*"]  # exports in other formats, and Meta's or Mistral's original layout
    with as_usage_error(
        f'model.path: no local folder "{repository}", and it cannot be fetched from the Hugging Face Hub'
    ):
        return Path(
            snapshot_download(
                repository, revision=revision or None, allow_patterns=patterns, ignore_patterns=ignored
            )
        )


def _hub_header(folder: Folder) -> Header:
    from huggingface_hub import get_safetensors_metadata  # noqa: PLC0415
    from huggingface_hub.errors import NotASafetensorsRepoError  # noqa: PLC0415

    with as_usage_error(f"{folder}: the headers of its weights cannot be fetched from the Hugging Face Hub"):
        try:
            files = get_safetensors_metadata(folder.repository, revision=folder.revision or None)
        except NotASafetensorsRepoError:
            return {}
    return {
        name: (DTYPES.get(info.dtype, ""), tuple(info.shape))
        for file in files.files_metadata.values()
        for name, info in file.tensors.items()
    }
