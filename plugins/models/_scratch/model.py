"""Base class of the model plugins that are trained from scratch: size, pretraining options and folders."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ....engine.contracts import Blueprint, ModelSource, PortableModel, Tokens
from ....engine.foundation.atomic import write_arrays, write_text
from ....engine.foundation.cache import arrays_sha256, key_of
from ....engine.foundation.options import option, positive, whole
from ....engine.foundation.run_context import RunContext, default_cache
from .._hf.library import require
from .._hf.model import HfModel
from .folders import cached_folder

if TYPE_CHECKING:
    from .pretrain import Pretrained, Pretraining

MEASURED = "pretraining.json"
LIBRARIES = ("torch", "transformers", "tokenizers")


@attrs.frozen(kw_only=True)
class ScratchModel:
    """A small transformer trained from scratch. Its folder without weights is in the cache before training."""

    NAME: ClassVar[str] = ""
    POST_PRETRAINING: ClassVar[tuple[str, ...]] = ()
    """Options that do not affect pretraining."""

    layers: int = option(3, "blocks", whole)
    hidden: int = option(96, "width", whole)
    heads: int = option(4, "attention heads", whole)
    pretrain_steps: int = option(1000, "maximum pretraining steps", whole)
    pretrain_lr: float = option(1e-3, "learning rate of pretraining (AdamW)", positive)
    pretrain_schedule: Literal["constant", "cosine"] = option(
        "constant", "learning rate schedule: constant, or cosine decay to 0"
    )
    pretrain_batch: int = option(64, "batch size of pretraining", whole)
    pretrain_clip: float = option(1.0, "gradient norm clipping", positive)
    pretrain_decay: float = option(0.01, "weight decay of pretraining", min=0.0)

    def __attrs_post_init__(self) -> None:
        """Check that every head has an even width, as rotary embeddings need."""
        if self.hidden % (2 * self.heads):
            raise ValueError(f'"hidden" must be a multiple of 2 heads = {2 * self.heads}, not {self.hidden}')

    def shape(self) -> Mapping[str, Any]:
        """The options that determine configuration and tokenizer, in JSON types."""
        raise NotImplementedError

    def at(self, folder: Path) -> HfModel:
        """The Hugging Face plugin for its folder, with or without weights."""
        raise NotImplementedError

    def decode(self, tokens: NDArray[np.int32], after: NDArray[np.int32] | None = None) -> str:
        """Decode tokens without special tokens."""
        return self.at(self.skeleton()).decode(tokens, after)

    def special_token(self, text: str) -> int | None:
        """The special token written as `text`; None if there is none."""
        return self.at(self.skeleton()).special_token(text)

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The tokens that end a text."""
        return self.at(self.skeleton()).end_tokens

    def source_at(
        self, place: str, blueprint: Blueprint, fitted: Path | None, context: RunContext
    ) -> ModelSource:
        """The weights from a folder, such as an export without rounds."""
        found: PortableModel = self.at(Path(place))  # pyright: ignore[reportAssignmentType] - both kinds are
        return found.source_at(place, blueprint, fitted, context)

    def skeleton(self) -> Path:
        """The folder without weights, which is enough for blueprint and tokenizer."""
        require(self.NAME)
        return _skeleton(default_cache(), json.dumps(self.shape(), sort_keys=True))

    def pretraining(self) -> Pretraining:
        """The pretraining options."""
        from .pretrain import Pretraining  # noqa: PLC0415 - torch takes seconds

        return Pretraining(
            steps=self.pretrain_steps,
            lr=self.pretrain_lr,
            schedule=self.pretrain_schedule,
            batch=self.pretrain_batch,
            clip=self.pretrain_clip,
            decay=self.pretrain_decay,
        )

    def trained(
        self,
        tokens: Tokens,
        rng: np.random.Generator,
        context: RunContext,
        train: Callable[[Path, int], Pretrained],
    ) -> Path:
        """The folder with weights, from the cache or from `train(folder without weights, seed)`.

        The cache key has shape, options, tokens, seed and library versions.
        """
        shape, seed = self.shape(), int(rng.integers(2**31))
        options = attrs.asdict(self, filter=lambda field, _: field.name not in self.POST_PRETRAINING)
        data = arrays_sha256({**tokens.arrays(), "starts": tokens.starts})
        key = _key(shape=shape, options=options, data=data, seed=seed)

        def make(folder: Path) -> None:
            _write(folder, shape)
            found = train(folder, seed)
            write_arrays(folder / "model.safetensors", found.arrays, {"format": "pt"})
            write_text(folder / MEASURED, json.dumps(found.measured) + "\n")

        return cached_folder(context.cache / "models" / key, context.cache, make)


@lru_cache(maxsize=16)
def _skeleton(cache: Path, content: str) -> Path:
    shape = json.loads(content)
    return cached_folder(cache / "models" / _key(shape=shape), cache, lambda folder: _write(folder, shape))


def _write(folder: Path, shape: Mapping[str, Any]) -> None:
    from .skeletons import write  # noqa: PLC0415 - transformers takes seconds

    write(folder, shape)


def _key(**parts: Any) -> str:
    return key_of({"model": "scratch", "versions": [version(name) for name in LIBRARIES], **parts})
