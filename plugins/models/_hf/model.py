"""Base class of the Hugging Face model plugins: folder and tokenizer."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import attrs
import numpy as np
from numpy.typing import NDArray

from ....engine.foundation.options import REQUIRED, ModelPath, option
from .library import require

if TYPE_CHECKING:
    from .folder import Folder
    from .reader import Reader


@attrs.frozen(kw_only=True)
class HfModel:
    """A model folder in Hugging Face's layout, or a Hub id. Custom code is never run."""

    NAME: ClassVar[str] = ""

    path: ModelPath = option(REQUIRED, "the model: a folder, or a Hugging Face id such as owner/name")
    revision: str = option("", "branch, tag or commit of a Hugging Face id; empty: its main branch")
    gguf: str = option("", "name of the GGUF file in the folder with the weights; empty: none")
    max_length: int = option(0, "maximum tokens, longer inputs are truncated; 0: the model's limit", min=0)

    def folder(self, *, weights: bool = False) -> Folder:
        """The folder, fetched from the Hub if necessary; weights are fetched only on request."""
        require(self.NAME)
        from .folder import open_folder  # noqa: PLC0415 - below are seconds of imports

        return open_folder(str(self.path), self.revision, self.gguf, weights=weights)

    def moved(self, place: str) -> Self:
        """The same model at another place: a folder, a GGUF file, or a Hugging Face id."""
        path = Path(place).expanduser()
        if path.is_file() and path.suffix == ".gguf":
            return attrs.evolve(self, path=ModelPath(str(path.resolve().parent)), gguf=path.name, revision="")
        if path.is_dir():
            return attrs.evolve(self, path=ModelPath(str(path.resolve())), revision="")
        return attrs.evolve(self, path=ModelPath(place))

    def decode(self, tokens: NDArray[np.int32], after: NDArray[np.int32] | None = None) -> str:
        """Decode tokens without special tokens."""
        return self.reader.decode(tokens, after)

    def special_token(self, text: str) -> int | None:
        """The special token written as `text`; None if there is none."""
        return self.reader.special_token(text)

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """End tokens of the generation configuration, the configuration and the tokenizer."""
        return self.reader.end_tokens

    @cached_property
    def reader(self) -> Any:  # a Reader: attrs resolves the annotation, but the import is lazy
        """The tokenizer with the model's limits, cached per process until its files change."""
        require(self.NAME)
        return _reader(str(self.path), self.revision, self.gguf, self.max_length, _stamp(Path(self.path)))


def _stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, times and sizes of the tokenizer's files, as a cache key; empty for a Hub id, which is fetched once per process."""
    if not path.is_dir():
        return ()
    files = sorted(file for file in path.iterdir() if file.is_file() and file.suffix != ".safetensors")
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


@lru_cache(maxsize=4)
def _reader(path: str, revision: str, gguf: str, max_length: int, _stamp: tuple[Any, ...]) -> Reader:
    from .folder import open_folder  # noqa: PLC0415
    from .reader import Reader  # noqa: PLC0415

    folder = open_folder(path, revision, gguf, weights=bool(gguf))
    config: Any = folder.config()
    return Reader.of(folder, config, max_length)
