"""A classifier in sentence-transformers' layout: encoder, pooling, and the head as a dense layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs

from ....engine.contracts import Exportable
from ....engine.foundation.atomic import write_text
from ...models._hf.model import HfModel
from .layout import PlannedFile, PlannedTensor

MODES = {"mean": "mean_tokens", "max": "max_tokens", "cls": "cls_token", "last": "lasttoken"}
"""sentence-transformers' names of the pooling modes."""
DENSE, POOLING = "2_Dense", "1_Pooling"
WEIGHTS = f"{DENSE}/model.safetensors"


def is_compatible(ensemble: Exportable, model: HfModel) -> bool:
    """Whether the library's pooling equals the model's. It always pads, and its `cls` is the first position even if that is padding."""
    pooling, tokenizer = ensemble.source.blueprint.config["pooling"], model.reader.tokenizer
    if tokenizer.pad_token is None:
        return False
    return pooling in MODES and (pooling != "cls" or tokenizer.padding_side == "right")


def dense(head: list[PlannedTensor]) -> PlannedFile:
    """The head's weights, renamed to those of a dense layer."""
    renamed = tuple(
        attrs.evolve(tensor, renamed=tensor.name.replace("head.", "linear.", 1)) for tensor in head
    )
    return PlannedFile(name=WEIGHTS, tensors=renamed, metadata={"format": "pt"})


def write_modules(ensemble: Exportable, model: HfModel, folder: Path) -> None:
    """Write the configuration of `SentenceTransformer(folder)`, whose `encode` then returns the logits."""
    blueprint = ensemble.source.blueprint
    width, classes = blueprint.config["hf"]["hidden_size"], blueprint.config["classes"]
    kinds = (("", "Transformer"), (POOLING, "Pooling"), (DENSE, "Dense"))
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]
    pooling = {f"pooling_mode_{mode}": name == blueprint.config["pooling"] for name, mode in MODES.items()}
    contents: dict[str, Any] = {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": model.reader.limit, "do_lower_case": False},
        f"{POOLING}/config.json": {"word_embedding_dimension": width, **pooling},
        f"{DENSE}/config.json": {
            "in_features": width,
            "out_features": classes,
            "bias": True,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
    }
    for name, content in contents.items():
        write_text(folder / name, json.dumps(content, indent=2) + "\n")
