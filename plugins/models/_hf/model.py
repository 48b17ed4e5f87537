"""What Hugging Face models have in common as plugins: their folder, and their tokenizer."""

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
    """A folder with a model in Hugging Face's layout, or the id of one on its hub. No code of the model's own is run."""

    NAME: ClassVar[str] = ""

    path: ModelPath = option(REQUIRED, "the model: a folder, or a Hugging Face id such as owner/name")
    revision: str = option("", "branch, tag or commit of a Hugging Face id; empty: its main branch")
    gguf: str = option("", "name of the GGUF file in the folder to take the weights from; empty: none")
    max_length: int = option(0, "tokens at most, more are cut; 0: what the model itself takes", min=0)

    def folder(self, *, weights: bool = False) -> Folder:
        """The folder, fetched from the hub where it has to be; its weights only if asked for."""
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
        """The text of tokens, special ones left out."""
        return self.reader.decode(tokens, after)

    def special_token(self, text: str) -> int | None:
        """The special token that is written as `text`; None where there is none."""
        return self.reader.special_token(text)

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The tokens that end a text, as generation configuration, configuration and tokenizer name them."""
        return self.reader.end_tokens

    @cached_property
    def reader(self) -> Any:  # a Reader; attrs looks the name up, and it is imported where it is needed
        """The tokenizer with the model's limits, read once a process unless its files change from one run to the next."""
        require(self.NAME)
        return _reader(str(self.path), self.revision, self.gguf, self.max_length, _stamp(Path(self.path)))


def _stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Changes when a file that a tokenizer may be read from does; a folder on the hub is fetched once a process."""
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
