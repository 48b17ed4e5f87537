"""The classification head of the architecture itself: labels, order of outputs, parameters, and its fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from ....engine.contracts import Blueprint, Splits, WeightInfo
from ....engine.errors import UsageError
from .folder import Folder
from .nets import as_json, check_kind, config_from_json, declare, load_module, output_layer
from .weights import layout, stored_name

FAMILY = "sequence-classifier"
"""Its architectures are `sequence-classifier/…`."""
POOLED = 'or set head = "pooled" in [model]'


def is_trained(config: Any) -> bool:
    """Whether a configuration names a model for sequence classification, so that its weights have a head."""
    return any(name.endswith("ForSequenceClassification") for name in config.architectures or ())


def own_blueprint(folder: Folder, config: Any, tokenizer: Any, splits: Splits) -> Blueprint:
    """Parameters and outputs of the folder's model for the classes or values of a task.

    Output `order[k]` of the module belongs to class k. In a regression it returns values in the target's units, and `(z - mean) / std`
    is the standardised one. Raises `UsageError` for other classes than the task's.
    """
    check_kind(config, "sequence", str(folder))
    trained, values = is_trained(config), splits.train.values
    if trained:
        order = _order(folder, config, splits)
    else:
        order = list(range(splits.outputs))
        names = splits.classes if values is None else ("LABEL_0",)
        config.id2label = dict(enumerate(names))
        config.label2id = {name: i for i, name in enumerate(names)}
    config.problem_type = "single_label_classification" if values is None else "regression"
    config.architectures = [MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES[config.model_type]]
    config.pad_token_id = _padding(folder, config, tokenizer)
    return Blueprint(
        architecture=f"{FAMILY}/{config.model_type}",
        config={
            "hf": as_json(config),
            "classes": splits.outputs,
            "order": order,
            "mean": 0.0 if values is None else values.mean,
            "std": 1.0 if values is None else values.std,
            "padding": config.pad_token_id,
        },
        weights=layout(folder, config, "sequence").weights if trained else _with_new_head(folder, config),
    )


def new_parameters(blueprint: Blueprint, folder: Folder) -> tuple[str, ...]:
    """The parameters that a folder without a head lacks: those outside its backbone, and its pooler if it has none."""
    if is_trained(folder.config()):
        return ()
    config = config_from_json(blueprint.config["hf"], None)
    module, header = declare(config, "sequence", str(folder)), folder.header()
    return tuple(w.name for w in module.weights if _stored(w, header, module.prefix) is None)


def _order(folder: Folder, config: Any, splits: Splits) -> list[int]:
    """The output of every class. Raises `UsageError` if the model's labels are not the task's classes."""
    labels = [str(config.id2label[i]) for i in range(config.num_labels)]
    if splits.train.values is not None:
        if config.num_labels != 1:
            raise UsageError(
                f"{folder}: its head has {config.num_labels} outputs ({', '.join(labels)}), and a regression needs one; "
                f"use another model, {POOLED}"
            )
        return [0]
    if config.problem_type == "multi_label_classification":
        raise UsageError(
            f"{folder}: its labels do not exclude each other (multi_label_classification), and the task's classes do; "
            f"use another model, {POOLED}"
        )
    if sorted(labels) != sorted(splits.classes):
        raise UsageError(
            f"{folder}: its head has the classes {', '.join(labels)}, and the task has {', '.join(splits.classes)}; "
            f"rename the task's labels, or id2label and label2id in config.json, {POOLED}"
        )
    return [labels.index(name) for name in splits.classes]


def _padding(folder: Folder, config: Any, tokenizer: Any) -> int:
    """The token that pads a batch: a decoder's head takes the last token that is not this one."""
    known = (config.get_text_config().pad_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id)
    found = next((token for token in known if token is not None), None)
    if found is None:
        raise UsageError(
            f"{folder}: neither its configuration nor its tokenizer has a padding or end token; set pad_token_id in config.json, "
            f"{POOLED}"
        )
    return int(found)


def _with_new_head(folder: Folder, config: Any) -> tuple[WeightInfo, ...]:
    """The folder's parameters with their stored names, and those of a new head."""
    module, header = declare(config, "sequence", str(folder)), folder.header()
    if not any(weight.role == "head" for weight in module.weights):
        raise UsageError(
            f"{folder}: the head of {config.architectures[0]} does not end in a linear layer that could be fitted; "
            "use a folder with a trained head, " + POOLED
        )
    found = list[WeightInfo]()
    for weight in module.weights:
        stored = _stored(weight, header, module.prefix)
        inside = weight.name.startswith(f"{module.prefix}.")
        if stored is None and inside and ".pooler." not in weight.name:
            raise UsageError(
                f'{folder}: no weight "{weight.name}" in safetensors files; a new head needs an encoder in this format, {POOLED}'
            )
        dtype = "float32" if stored is None else header[stored][0]
        renamed = stored if stored and stored != weight.name else ""
        found.append(attrs.evolve(weight, dtype=dtype, stored=renamed, also_stored=()))
    return tuple(found)


def _stored(weight: WeightInfo, header: Mapping[str, Any], prefix: str) -> str | None:
    """The stored name of a backbone's parameter; None for one of the head."""
    if not weight.name.startswith(f"{prefix}."):
        return None
    return stored_name(weight.name, weight.shape, header, prefix)


@attrs.frozen(kw_only=True)
class OwnHeadBuilder:
    """Builds the torch module of a `sequence-classifier/…`."""

    folder: Path
    head: Path | None = None
    """A safetensors file with the parameters that the folder lacks."""
    new: tuple[str, ...] = ()
    """Their names."""
    layers: int | None = None
    """Layers of the folder; the blueprint may have fewer."""

    def __call__(self, blueprint: Blueprint, dtype: Any) -> Any:
        """The module with its weights in `dtype`, in evaluation mode."""
        from safetensors.torch import load_file  # noqa: PLC0415

        config = config_from_json(blueprint.config["hf"], self.layers)
        config.use_cache = False  # only logits are needed
        module = load_module(self.folder, config, "sequence", dtype, fresh=self.new)
        if self.head is not None:
            module.load_state_dict(load_file(self.head), strict=False)
        return module.eval()


@attrs.frozen(kw_only=True)
class NewHeadBuilder:
    """Builds the module with a new head, whose layers before the last are initialised from `seed`."""

    encoder: OwnHeadBuilder
    seed: int

    def __call__(self, blueprint: Blueprint, dtype: Any) -> NewHead:
        """The module, ready for the fit of its last layer."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            module = self.encoder(blueprint, dtype)
        return NewHead(module, blueprint.config, self.encoder.new)


class NewHead:
    """A model for sequence classification whose last layer is to be fitted."""

    def __init__(self, module: Any, config: Mapping[str, Any], new: tuple[str, ...]) -> None:
        self.module, self.padding = module, int(config["padding"])
        self._mean, self._std, self._new = config["mean"], config["std"], new
        output = output_layer(module)
        assert output is not None  # `own_blueprint` refuses other heads
        self._output = output
        self.biased = any(name == "bias" for name, _ in output.named_parameters())

    def to(self, device: torch.device) -> NewHead:
        """The module on a device."""
        self.module = self.module.to(device)
        return self

    def features(self, **batch: torch.Tensor) -> torch.Tensor:
        """Inputs of the last layer `(n, d)`.

        If the head is applied to every token, it is the token whose logits the model returns (the last of equal ones).
        """
        calls = list[tuple[torch.Tensor, torch.Tensor]]()

        def keep(_: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            calls.append((inputs[0], output))

        handle = self._output.register_forward_hook(keep)
        try:
            logits = self.module(**batch).logits
        finally:
            handle.remove()
        rows, outputs = calls[-1]
        if rows.ndim == 2:
            return rows
        same = (outputs == logits.unsqueeze(1)).all(dim=-1)
        if not bool(same.any(dim=1).all()):
            raise UsageError(
                f"{type(self.module).__name__}: its logits are not those of one token, so its head cannot be fitted; "
                "use a folder with a trained head, " + POOLED
            )
        places = torch.arange(same.shape[1], device=same.device)
        return rows[torch.arange(len(rows), device=rows.device), torch.where(same, places, -1).amax(dim=1)]

    def head_of(
        self, weight: NDArray[np.float64], bias: NDArray[np.float64]
    ) -> dict[str, NDArray[np.float32]]:
        """The new parameters: the fitted last layer, in the units of the target in a regression, and the others as initialised."""
        module = self.module.cpu()
        parameters = {n: p.detach().float().numpy() for n, p in module.named_parameters() if n in self._new}
        name = next(name for name, part in module.named_modules() if part is self._output)
        parameters[f"{name}.weight"] = (weight * self._std).astype(np.float32)
        if self.biased:
            parameters[f"{name}.bias"] = (bias * self._std + self._mean).astype(np.float32)
        return {name: np.ascontiguousarray(value) for name, value in parameters.items()}
