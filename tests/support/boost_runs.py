"""Toy runs reduced to boost files, and ways to forge such a file as somebody would who knows the format."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from safetensors import safe_open

from boostlora.engine.api import load
from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.ensemble.ensemble import Ensemble
from boostlora.engine.errors import RunError, UsageError
from boostlora.engine.export import boost_parser
from boostlora.engine.export.boost_file import BoostFile
from boostlora.engine.export.boost_reader import BoostFileSource
from boostlora.engine.export.boost_writer import merged_sha256
from boostlora.engine.foundation.atomic import write_arrays
from boostlora.engine.foundation.cache import arrays_sha256
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec.resolve import load_spec

from .record_toys import PLUGIN, SPEC

Content = dict[str, Any]
Arrays = dict[str, Any]
Forger = Callable[[Content, Arrays], object]

REFUSED = (UsageError, RunError)
"""What is raised for a boost file that cannot be read."""


@attrs.frozen(kw_only=True)
class ToyRun:
    """A finished run of the toy's spec, and the cache it was made with."""

    path: Path
    cache: Path
    plugins: tuple[Path, ...] = (PLUGIN,)

    @classmethod
    def at(cls, folder: Path, plugins: tuple[Path, ...] = (PLUGIN,)) -> ToyRun:
        """What `toy_run` has left in a folder."""
        return cls(path=folder / "run", cache=folder / "cache", plugins=plugins)

    def ensemble(self) -> Ensemble:
        """Opened anew."""
        return Ensemble.open(self.path, plugins=self.plugins, context=RunContext(cache=self.cache))

    @property
    def base(self) -> Path:
        """The file of its base weights."""
        (file,) = self.ensemble().origin.source.files
        return file

    def load(self, file: Path, cache: Path, base: Path | None = None) -> Ensemble:
        """A boost file of it on its base, with a cache that holds no directions of the run's."""
        where = str(base or self.base)
        return load(file, where, plugins=self.plugins, context=RunContext(cache=cache))


def toy_run(folder: Path, *settings: str, plugins: tuple[Path, ...] = (PLUGIN,), text: str = SPEC) -> ToyRun:
    """The toy under `key=value` settings, boosted to its end."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toy.toml").write_text(text)
    registry = Registry.load(plugins)
    prepared = prepare(load_spec(folder / "toy.toml", registry, settings))
    directory = RunDirectory.create(folder / "run", prepared.spec)
    result = boost(prepared, directory, registry, RunContext(cache=folder / "cache"))
    assert result.status == "completed", result.reason
    return ToyRun.at(folder, plugins)


def adapter_text(adapter: str) -> str:
    """The toy's spec with an adapter, its options those that it has."""
    options = {
        "tinylora": "adapter.rank = 2\nadapter.u = 3\n",
        "tinylora-tied": "adapter.rank = 2\nadapter.u = 3\nadapter.tie = 2\n",
        "lora-xs": "adapter.rank = 2\n",
        "lora": "adapter.rank = 2\n",
        "full": "",
    }[adapter]
    own = f'adapter.use = "{adapter.removesuffix("-tied")}"\n{options}'
    return SPEC.replace("adapter.rank = 2\nadapter.u = 3\n", own)


def origin_of(ensemble: Ensemble) -> BoostFileSource:
    """The boost file that an ensemble comes from."""
    assert isinstance(ensemble.origin, BoostFileSource)
    return ensemble.origin


def weights_sha256(ensemble: Ensemble, rounds: Any = None) -> str:
    """Hash of the merged weights."""
    return merged_sha256(ensemble.exportable(rounds))


def read_raw(path: Path) -> tuple[dict[str, str], Content, Arrays]:
    """Header, content and arrays of a boost file, unchecked."""
    with safe_open(path, framework="np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        header = dict(file.metadata())
    content = json.loads(zlib.decompress(arrays.pop("content").tobytes()))
    return header, content, arrays


def forged(source: Path, target: Path, forge: Forger, **header: str) -> Path:
    """A copy whose content or arrays `forge` has changed, its digest and header made to match."""
    given, content, arrays = read_raw(source)
    forge(content, arrays)
    return written(target, given, json.dumps(content).encode(), arrays, **header)


def written(target: Path, given: dict[str, str], text: bytes, arrays: Arrays, **header: str) -> Path:
    """A file with this text as its content, its digest right."""
    packed = np.frombuffer(zlib.compress(text), dtype=np.uint8)
    everything = {**arrays, "content": packed}
    write_arrays(target, everything, {**given, "sha256": arrays_sha256(everything), **header})
    return target


def reread(path: Path) -> BoostFile:
    """A file as it is read."""
    return boost_parser.read(path)
