"""A small causal language model, made from nothing and pretrained on the task's own texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import attrs
import numpy as np

from ...engine.contracts import Blueprint, Examples, ModelSource, Prompts, Splits
from ...engine.errors import UsageError
from ...engine.foundation.options import ModelPath, option, share, whole
from ...engine.foundation.run_context import RunContext
from ...engine.hookspecs import hookimpl
from ._scratch.model import ScratchModel
from .hf_causal_lm import HfCausalLm


@attrs.frozen(kw_only=True)
class ScratchCausalLm(ScratchModel):
    """A decoder that reads and writes bytes, trained first on prompts and completions of the task's source domain.

    Where the task has none, its training split serves. Each character of ASCII is a token, others are several; a text begins with
    a token of its own, and a completion ends with another. Training runs on one CPU thread; the model stays in the cache, as a
    folder in Hugging Face's layout.
    """

    NAME: ClassVar[str] = "scratch-causal-lm"

    family: Literal["qwen2", "llama"] = option(
        "qwen2", "whose shape it has; the output layer is the embedding"
    )
    kv_heads: int = option(2, "key-value heads, a divisor of heads", whole)
    intermediate: int = option(256, "width inside the feed-forward layers", whole)
    max_length: int = option(128, "tokens at most; longer prompts are cut from the left", whole)
    stop_at: float = option(
        0.0, "end pretraining where this share of held-out examples is right; 0: after all steps", share
    )
    check_every: int = option(10, "stop_at: steps between two looks at the held-out examples", whole)

    def __attrs_post_init__(self) -> None:
        """Several heads look through one key-value head."""
        ScratchModel.__attrs_post_init__(self)
        if self.heads % self.kv_heads:
            raise ValueError(f'"kv_heads" must divide heads = {self.heads}, and {self.kv_heads} does not')

    def shape(self) -> Mapping[str, Any]:
        """All that configuration and tokenizer depend on."""
        names = ("family", "layers", "hidden", "heads", "kv_heads", "intermediate", "max_length")
        return {name: getattr(self, name) for name in names}

    def at(self, folder: Path) -> HfCausalLm:
        """The model in a folder."""
        return HfCausalLm(path=ModelPath(str(folder.resolve())))

    def blueprint(self, splits: Splits) -> Blueprint:
        """Parameters from the options; nothing is trained."""
        _check_inputs(splits.train)
        return self.at(self.skeleton()).blueprint(splits)

    def source(self, splits: Splits, context: RunContext, rng: np.random.Generator) -> ModelSource:
        """Pretrain, or take the result of an earlier pretraining with the same options, data and seed."""
        from ._scratch.decoder import pretrain_decoder  # noqa: PLC0415 - torch takes seconds

        tokens = self.encode(splits.source or splits.train).inputs
        folder = self.trained(
            tokens,
            rng,
            context,
            lambda folder, seed: pretrain_decoder(
                folder,
                tokens,
                self.pretraining(),
                stop_at=self.stop_at,
                check_every=self.check_every,
                seed=seed,
                report=context.report,
            ),
        )
        return self.at(folder).source(splits, context, rng)

    def encode(self, examples: Examples) -> Examples:
        """Prompts and completions as tokens. Raises `UsageError` naming an example whose completion does not fit."""
        _check_inputs(examples)
        return self.at(self.skeleton()).encode(examples)


def _check_inputs(examples: Examples) -> None:
    if not isinstance(examples.inputs, Prompts):
        raise UsageError(
            "model scratch-causal-lm takes texts to continue; this task's inputs are something else"
        )


@hookimpl
def register_models(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `scratch-causal-lm`."""
    register("scratch-causal-lm", ScratchCausalLm)
