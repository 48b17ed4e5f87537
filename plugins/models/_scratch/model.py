"""What models made from nothing have in common as plugins: their size, how they are pretrained, and their folders."""

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
from .folders import kept_folder

if TYPE_CHECKING:
    from .pretrain import Pretrained, Pretraining

MEASURED = "pretraining.json"
LIBRARIES = ("torch", "transformers", "tokenizers")


@attrs.frozen(kw_only=True)
class ScratchModel:
    """A small transformer made from nothing. Its folder is in the cache, without weights, before anything is trained."""

    NAME: ClassVar[str] = ""
    LATER: ClassVar[tuple[str, ...]] = ()
    """Options that pretraining does not depend on."""

    layers: int = option(3, "blocks", whole)
    hidden: int = option(96, "width", whole)
    heads: int = option(4, "attention heads", whole)
    pretrain_steps: int = option(1000, "steps of pretraining at most", whole)
    pretrain_lr: float = option(1e-3, "learning rate of pretraining (AdamW)", positive)
    pretrain_schedule: Literal["constant", "cosine"] = option(
        "constant", "the rate over the steps: as it is, or half a cosine down to 0"
    )
    pretrain_batch: int = option(64, "texts a step of pretraining", whole)
    pretrain_clip: float = option(1.0, "norm to which the gradient of a step is clipped", positive)
    pretrain_decay: float = option(0.01, "weight decay of pretraining", min=0.0)

    def __attrs_post_init__(self) -> None:
        """Heads share the width, and rotate it in pairs."""
        if self.hidden % (2 * self.heads):
            raise ValueError(f'"hidden" must be a multiple of 2 heads = {2 * self.heads}, not {self.hidden}')

    def shape(self) -> Mapping[str, Any]:
        """All that configuration and tokenizer depend on, in JSON's types."""
        raise NotImplementedError

    def at(self, folder: Path) -> HfModel:
        """The Hugging Face plugin that takes it from a folder, with weights or without."""
        raise NotImplementedError

    def decode(self, tokens: NDArray[np.int32], after: NDArray[np.int32] | None = None) -> str:
        """The text of tokens, special ones left out."""
        return self.at(self.skeleton()).decode(tokens, after)

    def special_token(self, text: str) -> int | None:
        """The special token that is written as `text`; None where there is none."""
        return self.at(self.skeleton()).special_token(text)

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The tokens that end a text."""
        return self.at(self.skeleton()).end_tokens

    def source_at(
        self, place: str, blueprint: Blueprint, fitted: Path | None, context: RunContext
    ) -> ModelSource:
        """The weights in a folder, such as an export of no rounds."""
        found: PortableModel = self.at(Path(place))  # pyright: ignore[reportAssignmentType] - both kinds are
        return found.source_at(place, blueprint, fitted, context)

    def skeleton(self) -> Path:
        """The folder without weights: enough for a blueprint and for tokens."""
        require(self.NAME)
        return _skeleton(default_cache(), json.dumps(self.shape(), sort_keys=True))

    def pretraining(self) -> Pretraining:
        """How it is trained."""
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
        """The folder with weights, from the cache where it is there, else made by `train(folder without weights, seed)`.

        It is kept under all that it depends on: shape, options, tokens, seed, and versions of the libraries.
        """
        shape, seed = self.shape(), int(rng.integers(2**31))
        options = attrs.asdict(self, filter=lambda field, _: field.name not in self.LATER)
        data = arrays_sha256({**tokens.arrays(), "starts": tokens.starts})
        key = _key(shape=shape, options=options, data=data, seed=seed)

        def make(folder: Path) -> None:
            _write(folder, shape)
            found = train(folder, seed)
            write_arrays(folder / "model.safetensors", found.arrays, {"format": "pt"})
            write_text(folder / MEASURED, json.dumps(found.measured) + "\n")

        return kept_folder(context.cache / "models" / key, context.cache, make)


@lru_cache(maxsize=16)
def _skeleton(cache: Path, content: str) -> Path:
    shape = json.loads(content)
    return kept_folder(cache / "models" / _key(shape=shape), cache, lambda folder: _write(folder, shape))


def _write(folder: Path, shape: Mapping[str, Any]) -> None:
    from .skeletons import write  # noqa: PLC0415 - transformers takes seconds

    write(folder, shape)


def _key(**parts: Any) -> str:
    return key_of({"model": "scratch", "versions": [version(name) for name in LIBRARIES], **parts})
