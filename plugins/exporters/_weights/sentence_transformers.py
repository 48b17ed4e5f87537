"""A classifier in the layout of sentence-transformers: encoder, pooling, and the head as a dense layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs

from ....engine.contracts import Exportable
from ....engine.foundation.atomic import write_text
from ...models._hf.model import HfModel
from .layout import Planned, PlannedFile

MODES = {"mean": "mean_tokens", "max": "max_tokens", "cls": "cls_token", "last": "lasttoken"}
"""sentence-transformers' names of what `pooling` may say."""
DENSE, POOLING = "2_Dense", "1_Pooling"
WEIGHTS = f"{DENSE}/model.safetensors"


def can_say(ensemble: Exportable, model: HfModel) -> bool:
    """Whether the library pools as the model does: `cls` is the first place there, wherever the padding is; and it always pads."""
    pooling, tokenizer = ensemble.source.blueprint.config["pooling"], model.reader.tokenizer
    if tokenizer.pad_token is None:
        return False
    return pooling in MODES and (pooling != "cls" or tokenizer.padding_side == "right")


def dense(head: list[Planned]) -> PlannedFile:
    """The head's weights under the names of a dense layer's."""
    renamed = tuple(
        attrs.evolve(tensor, written_as=tensor.name.replace("head.", "linear.", 1)) for tensor in head
    )
    return PlannedFile(name=WEIGHTS, tensors=renamed, metadata={"format": "pt"})


def write_modules(ensemble: Exportable, model: HfModel, folder: Path) -> None:
    """What `SentenceTransformer(folder)` reads, but for the weights; then `encode` gives the logits."""
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
