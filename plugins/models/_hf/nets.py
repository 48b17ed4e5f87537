"""Hugging Face modules: made empty from a configuration, or with their weights loaded."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import torch
from torch import nn
from transformers import CONFIG_MAPPING, MODEL_MAPPING, AutoModel, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)
from transformers.pytorch_utils import Conv1D

from ....engine.contracts import WeightInfo
from ....engine.errors import UsageError
from ....engine.sdk.modules import weights_of
from .library import quiet, told

Kind = Literal["causal", "encoder"]

UNUSED = ("pooler", "contact_head")
"""Parts of encoders that the hidden states do not come through."""
FORGOTTEN = ("_name_or_path", "_model_name_or_path", "transformers_version")
"""Where a configuration was read from, and by whom: nothing that a module depends on."""


def check_kind(config: Any, kind: Kind, name: str) -> None:
    """Refuse an architecture that is none of this kind. Raises `UsageError`."""
    family, decoder = config.model_type, getattr(config, "is_decoder", False)
    if getattr(config, "is_encoder_decoder", False):
        raise UsageError(f"{name}: {family} is an encoder with a decoder, which is not supported")
    if kind == "causal" and (
        family not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        or (family in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not decoder)
    ):
        raise UsageError(f"{name}: {family} is no causal language model; model hf-classifier may take it")
    if kind == "encoder" and type(config) not in MODEL_MAPPING:
        raise UsageError(f"{name}: {family} is no text model that transformers knows")


def width_of(config: Any, name: str) -> int:
    """Numbers in a hidden state; of a model that takes images too, in its text part. Raises `UsageError` where none is told."""
    width = getattr(config.get_text_config(), "hidden_size", None)
    if not isinstance(width, int):
        raise UsageError(f"{name}: {config.model_type} tells no hidden_size: it is no text model")
    return width


def as_json(config: Any) -> dict[str, Any]:
    """A configuration in JSON's types; `num_hidden_layers` is there under this name whatever the family calls it."""
    kept = {key: value for key, value in config.to_dict().items() if key not in FORGOTTEN}
    layers = getattr(config, "num_hidden_layers", None)
    return json.loads(json.dumps({**kept, "num_hidden_layers": layers}, sort_keys=True, default=str))


def rebuilt(content: Mapping[str, Any], layers: int | None) -> Any:
    """The configuration that `as_json` gave, perhaps with fewer layers than the model's `layers`."""
    given = dict(content)
    cls = CONFIG_MAPPING[given["model_type"]]
    wanted = given.pop("num_hidden_layers", None)
    if wanted is not None:
        given[cls.attribute_map.get("num_hidden_layers", "num_hidden_layers")] = wanted
        # What is told layer by layer, such as `layer_types`, is told of the remaining ones.
        given = {k: v[:wanted] if isinstance(v, list) and len(v) == layers else v for k, v in given.items()}
    with quiet():
        return cls.from_dict(given)


def empty(config: Any, kind: Kind, name: str) -> nn.Module:
    """The module on the meta device: shapes without numbers."""
    with told(f"{name}: transformers cannot make a module of its configuration"), torch.device("meta"):
        if kind == "causal":
            return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        return _without_unused(AutoModel.from_config(config, trust_remote_code=False, **_no_pooler(config)))


def loaded(folder: Path, config: Any, kind: Kind, dtype: torch.dtype, *, gguf: str = "") -> nn.Module:
    """The module in evaluation mode with its weights; the files may have more layers than the configuration.

    Raises `UsageError` naming a weight that the files lack or have in another shape.
    """
    more = {"gguf_file": gguf} if gguf else {}
    automatic = AutoModelForCausalLM if kind == "causal" else AutoModel
    no_pooler = {} if kind == "causal" else _no_pooler(config)
    with told(f"{folder / gguf}: the weights cannot be loaded"):
        answer: Any = automatic.from_pretrained(
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
    names = {name for name, _ in module.named_parameters()}
    wrong = sorted(name for name in info["missing_keys"] if name in names)
    if wrong:
        raise UsageError(
            f'{folder / gguf}: no weight "{wrong[0]}" ({len(wrong)} of {len(names)} are missing)'
        )
    return module.eval()


@attrs.frozen
class Declared:
    """What a configuration alone says of a module: its parameters, and the prefix of its files' names."""

    weights: tuple[WeightInfo, ...]
    prefix: str


def declared(config: Any, kind: Kind, name: str) -> Declared:
    """What the module of a configuration has. Cells of a study share it. Raises `UsageError` where there is no such module."""
    return _declared(_Asked(json.dumps(as_json(config)), kind, config, name))


@attrs.frozen
class _Asked:
    content: str
    kind: Kind
    config: Any = attrs.field(eq=False)
    name: str = attrs.field(eq=False)


@functools.lru_cache(maxsize=8)
def _declared(asked: _Asked) -> Declared:
    module = empty(asked.config, asked.kind, asked.name)
    return Declared(weights(module), str(module.base_model_prefix))


def weights(module: nn.Module) -> tuple[WeightInfo, ...]:
    """Its parameters; the output head of a language model is `head` where it is not tied to the embedding."""
    output = module.get_output_embeddings() if hasattr(module, "get_output_embeddings") else None  # type: ignore[operator]
    head = next((f"{name}.weight" for name, part in module.named_modules() if part is output), "")
    return weights_of(module, linear=(nn.Linear,), transposed=(Conv1D,), head=head)


def _no_pooler(config: Any) -> dict[str, Any]:
    cls: Any = MODEL_MAPPING[type(config)]
    cls = cls[0] if isinstance(cls, tuple) else cls
    takes = "add_pooling_layer" in inspect.signature(cls.__init__).parameters
    return {"add_pooling_layer": False} if takes else {}


class Nothing(nn.Module):
    """In the place of a part that is not used: some models call it without asking whether it is there."""

    def forward(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""


def _without_unused(module: nn.Module) -> nn.Module:
    for name in UNUSED:
        if isinstance(getattr(module, name, None), nn.Module):
            setattr(module, name, Nothing())
    return module
