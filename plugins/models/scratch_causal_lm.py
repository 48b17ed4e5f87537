"""A small causal language model, pretrained from scratch on the task's texts."""

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
    """A byte-level decoder, pretrained on prompts and completions of the task's source domain, else of its training split.

    Each ASCII character is one token, others are several; a text starts with BOS, and a completion ends with EOS. Training runs on
    one CPU thread; the model is cached as a folder in Hugging Face's layout.
    """

    NAME: ClassVar[str] = "scratch-causal-lm"

    family: Literal["qwen2", "llama"] = option(
        "qwen2", "architecture; the output layer is tied to the embedding"
    )
    kv_heads: int = option(2, "key-value heads, a divisor of heads", whole)
    intermediate: int = option(256, "width of the feed-forward layers", whole)
    max_length: int = option(128, "maximum tokens; longer prompts are truncated on the left", whole)
    stop_at: float = option(
        0.0, "stop pretraining at this accuracy on held-out examples; 0: run all steps", share
    )
    check_every: int = option(10, "stop_at: steps between two evaluations", whole)

    def __attrs_post_init__(self) -> None:
        """Check that `kv_heads` divides `heads`."""
        ScratchModel.__attrs_post_init__(self)
        if self.heads % self.kv_heads:
            raise ValueError(f'"kv_heads" must divide heads = {self.heads}, and {self.kv_heads} does not')

    def shape(self) -> Mapping[str, Any]:
        """The options that determine configuration and tokenizer."""
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
        """Pretrain, or load the cached result for the same options, data and seed."""
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
        """Tokenise prompts and completions. Raises `UsageError` naming an example whose completion does not fit."""
        _check_inputs(examples)
        return self.at(self.skeleton()).encode(examples)


def _check_inputs(examples: Examples) -> None:
    if not isinstance(examples.inputs, Prompts):
        raise UsageError(
            "model scratch-causal-lm takes prompts with completions; this task's inputs are of another kind"
        )


@hookimpl
def register_models(register: Callable[[str, type[Any]], None]) -> None:
    """Register `scratch-causal-lm`."""
    register("scratch-causal-lm", ScratchCausalLm)
