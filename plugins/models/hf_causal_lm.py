"""Hugging Face causal language models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs
import numpy as np

from ...engine.contracts import Blueprint, Examples, Message, ModelSource, Prompts, Splits
from ...engine.errors import UsageError
from ...engine.foundation.hashes import files_sha256
from ...engine.foundation.options import option
from ...engine.foundation.run_context import RunContext
from ...engine.hookspecs import hookimpl
from ._hf.model import HfModel


@attrs.frozen(kw_only=True)
class HfCausalLm(HfModel):
    """A causal language model in Hugging Face's layout: safetensors, PyTorch's .bin, or GGUF.

    safetensors files are opened directly; others are converted once, GGUF to float32. Weights keep their stored dtype. Prompt and
    completion are tokenised separately, so that no token spans their boundary; an end token follows unless disabled. Chat
    templates that insert the date get 26 July 2024, for reproducibility.
    """

    NAME: ClassVar[str] = "hf-causal-lm"

    chat_template: bool = option(
        False, "wrap every prompt as a user message in the tokenizer's chat template"
    )
    end_token: bool = option(
        True,
        "append an end token to every completion; disable it for completions that continue, as in few-shot prompts",
    )

    def blueprint(self, splits: Splits) -> Blueprint:
        """Parameters from the configuration and the headers of the weight files."""
        _check_inputs(splits.train)
        folder = self.folder()
        from ._hf.nets import as_json, check_kind  # noqa: PLC0415
        from ._hf.weights import layout  # noqa: PLC0415

        config = folder.config()
        check_kind(config, "causal", str(folder))
        return Blueprint(
            architecture=f"causal-lm/{config.model_type}",
            config={"hf": as_json(config)},
            weights=layout(folder, config, "causal").weights,
        )

    def source(self, splits: Splits, context: RunContext, rng: np.random.Generator) -> ModelSource:
        """The weight files, or their converted copy in the cache; deterministic."""
        return self._source(self.blueprint(splits), context)

    def source_at(
        self, place: str, blueprint: Blueprint, fitted: Path | None, context: RunContext
    ) -> ModelSource:
        """The weights from another folder, a GGUF file, or the Hub."""
        del fitted
        return self.moved(place)._source(blueprint, context)  # noqa: SLF001 - an instance of the same class

    def _source(self, blueprint: Blueprint, context: RunContext) -> ModelSource:
        folder = self.folder(weights=True)
        from ._hf.weights import layout, require_one_value, weight_files  # noqa: PLC0415

        config = folder.config()
        laid = layout(folder, config, "causal")
        require_one_value(folder, laid)
        files = weight_files(folder, config, "causal", laid.own_files, context)
        return ModelSource(
            blueprint=blueprint,
            files=files,
            sha256=files_sha256(files, context.cache),
            build=ModuleBuilder(folder=files[0].parent, layers=blueprint.config["hf"]["num_hidden_layers"]),
        )

    def encode(self, examples: Examples) -> Examples:
        """Tokenise prompts and completions. Raises `UsageError` naming an example whose completion does not fit."""
        _check_inputs(examples)
        tokens = self.reader.prompts(examples.inputs, chat=self.chat_template, end=self.end_token)
        return attrs.evolve(examples, inputs=tokens)

    def encode_chat(self, messages: Sequence[Message]) -> Examples:
        """Tokenise a conversation in the chat template. Raises `UsageError` if there is none, or no room for an answer."""
        one = np.zeros(1, dtype=np.int64)
        return Examples(ids=one, inputs=self.reader.chat(messages), labels=one)


@attrs.frozen(kw_only=True)
class ModuleBuilder:
    """Builds the torch module of a blueprint, possibly with fewer than the folder's `layers`."""

    folder: Path
    layers: int | None

    def __call__(self, blueprint: Blueprint, dtype: Any) -> Any:
        """The module with its weights in `dtype`, in evaluation mode."""
        from ._hf.nets import config_from_json, load_module  # noqa: PLC0415

        config = config_from_json(blueprint.config["hf"], self.layers)
        return load_module(self.folder, config, "causal", dtype)


def _check_inputs(examples: Examples) -> None:
    if not isinstance(examples.inputs, Prompts):
        raise UsageError(
            "model hf-causal-lm takes prompts with completions; this task's inputs are of another kind"
        )


@hookimpl
def register_models(register: Callable[[str, type[Any]], None]) -> None:
    """Register `hf-causal-lm`."""
    register("hf-causal-lm", HfCausalLm)
