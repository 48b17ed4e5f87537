"""Hugging Face modules, from a configuration alone or with weights."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import torch
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_MAPPING,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)
from transformers.pytorch_utils import Conv1D

from ....engine.contracts import WeightInfo
from ....engine.errors import UsageError
from ....engine.sdk.modules import weights_of
from .library import as_usage_error, quiet

Kind = Literal["causal", "encoder", "sequence"]
"""A causal language model, an encoder without a head, or a classifier of sequences with its own head."""
AUTOMATIC: dict[Kind, Any] = {
    "causal": AutoModelForCausalLM,
    "encoder": AutoModel,
    "sequence": AutoModelForSequenceClassification,
}

UNUSED = ("pooler", "contact_head")
"""Modules of encoders that do not influence the hidden states."""
IGNORED_KEYS = ("_name_or_path", "_model_name_or_path", "transformers_version")
"""Keys of a configuration that do not affect the module."""


def check_kind(config: Any, kind: Kind, name: str) -> None:
    """Raise `UsageError` if the architecture is not of this kind."""
    family, decoder = config.model_type, getattr(config, "is_decoder", False)
    if getattr(config, "is_encoder_decoder", False):
        raise UsageError(f"{name}: {family} is an encoder-decoder, which is not supported")
    if kind == "causal" and (
        family not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        or (family in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not decoder)
    ):
        raise UsageError(f"{name}: {family} is not a causal language model; try model hf-classifier")
    if kind == "encoder" and type(config) not in MODEL_MAPPING:
        raise UsageError(f"{name}: {family} is not a text model of transformers")
    if kind == "sequence" and type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise UsageError(
            f'{name}: {family} has no classification head in transformers; set head = "pooled" in [model]'
        )


def width_of(config: Any, name: str) -> int:
    """The hidden size; of a multimodal model, that of its text part. Raises `UsageError` if there is none."""
    width = getattr(config.get_text_config(), "hidden_size", None)
    if not isinstance(width, int):
        raise UsageError(f"{name}: {config.model_type} has no hidden_size: it is not a text model")
    return width


def as_json(config: Any) -> dict[str, Any]:
    """A configuration in JSON types, with `num_hidden_layers` under this name in all families."""
    kept = {key: value for key, value in config.to_dict().items() if key not in IGNORED_KEYS}
    layers = getattr(config, "num_hidden_layers", None)
    return json.loads(json.dumps({**kept, "num_hidden_layers": layers}, sort_keys=True, default=str))


def config_from_json(content: Mapping[str, Any], layers: int | None) -> Any:
    """The inverse of `as_json`; the content may have fewer layers than the model's `layers`."""
    given = dict(content)
    cls = CONFIG_MAPPING[given["model_type"]]
    wanted = given.pop("num_hidden_layers", None)
    if wanted is not None:
        given[cls.attribute_map.get("num_hidden_layers", "num_hidden_layers")] = wanted
        # Truncate per-layer lists such as `layer_types`.
        given = {k: v[:wanted] if isinstance(v, list) and len(v) == layers else v for k, v in given.items()}
    with quiet():
        return cls.from_dict(given)


def empty(config: Any, kind: Kind, name: str) -> nn.Module:
    """The module on the meta device, without values."""
    with (
        as_usage_error(f"{name}: transformers cannot build a module from its configuration"),
        torch.device("meta"),
    ):
        if kind == "causal":
            return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        if kind == "sequence":
            return _without_contacts(
                AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
            )
        return _without_unused(AutoModel.from_config(config, trust_remote_code=False, **_no_pooler(config)))


def load_module(
    folder: Path,
    config: Any,
    kind: Kind,
    dtype: torch.dtype,
    *,
    gguf: str = "",
    fresh: Collection[str] = (),
) -> nn.Module:
    """The module with its weights, in evaluation mode; the files may have more layers than the configuration.

    Parameters in `fresh` may be missing, and are then initialised by transformers. Raises `UsageError` naming another weight that is
    missing or has another shape.
    """
    more: dict[str, Any] = {"gguf_file": gguf} if gguf else {}
    if fresh:
        more["ignore_mismatched_sizes"] = True  # the head of another task
    no_pooler = _no_pooler(config) if kind == "encoder" else {}
    with as_usage_error(f"{folder / gguf}: the weights cannot be loaded"):
        answer: Any = AUTOMATIC[kind].from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **more,
            **no_pooler,
        )
    module, info = answer
    if kind == "encoder":
        module = _without_unused(module)
    if kind == "sequence":
        module = _without_contacts(module)
    names = {name for name, _ in module.named_parameters()}.difference(fresh)
    wrong = sorted(name for name in info["missing_keys"] if name in names)
    if wrong:
        raise UsageError(
            f'{folder / gguf}: no weight "{wrong[0]}" ({len(wrong)} of {len(names)} are missing)'
        )
    return module.eval()


@attrs.frozen
class DeclaredModule:
    """A module's parameters and its prefix of stored names, from the configuration alone."""

    weights: tuple[WeightInfo, ...]
    prefix: str


def declare(config: Any, kind: Kind, name: str) -> DeclaredModule:
    """The parameters of a configuration's module, cached for the cells of a study. Raises `UsageError` if it cannot be built."""
    return _cached_declaration(_DeclarationKey(json.dumps(as_json(config)), kind, config, name))


@attrs.frozen
class _DeclarationKey:
    content: str
    kind: Kind
    config: Any = attrs.field(eq=False)
    name: str = attrs.field(eq=False)


@functools.lru_cache(maxsize=8)
def _cached_declaration(asked: _DeclarationKey) -> DeclaredModule:
    module = empty(asked.config, asked.kind, asked.name)
    output = output_layer(module) if asked.kind == "sequence" else None
    return DeclaredModule(weights(module, output), str(module.base_model_prefix))


def output_layer(module: Any) -> nn.Linear | None:
    """The layer outside the backbone that returns the logits of a classifier of sequences; None if it has no such layer."""
    inside = {id(part) for part in module.base_model.modules()}
    found = [
        part
        for part in module.modules()
        if isinstance(part, nn.Linear)
        and id(part) not in inside
        and part.out_features == module.config.num_labels
    ]
    return found[-1] if found else None


def weights(module: nn.Module, output: nn.Module | None = None) -> tuple[WeightInfo, ...]:
    """The module's parameters; the layer `output`, or else a language model's untied output layer, has the role `head`."""
    if output is None and hasattr(module, "get_output_embeddings"):
        output = module.get_output_embeddings()  # type: ignore[operator]
    head = next((f"{name}.weight" for name, part in module.named_modules() if part is output), "")
    return weights_of(module, linear=(nn.Linear,), transposed=(Conv1D,), head=head)


def _no_pooler(config: Any) -> dict[str, Any]:
    cls: Any = MODEL_MAPPING[type(config)]
    cls = cls[0] if isinstance(cls, tuple) else cls
    takes = "add_pooling_layer" in inspect.signature(cls.__init__).parameters
    return {"add_pooling_layer": False} if takes else {}


class Unused(nn.Module):
    """A placeholder for an unused module that some models call unconditionally."""

    def forward(self, *args: Any, **kwargs: Any) -> None:
        """Return None."""


def _without_unused(module: nn.Module) -> nn.Module:
    for name in UNUSED:
        if isinstance(getattr(module, name, None), nn.Module):
            setattr(module, name, Unused())
    return module


def _without_contacts(module: Any) -> nn.Module:
    """A classifier of sequences without the part of its backbone that predicts contacts of residues."""
    if isinstance(getattr(module.base_model, "contact_head", None), nn.Module):
        module.base_model.contact_head = Unused()
    return module
