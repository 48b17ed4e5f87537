"""PEFT's files, and a classifier's head."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file

from ....engine.contracts import Exportable
from ....engine.errors import UsageError
from ....engine.foundation.atomic import write_text

if TYPE_CHECKING:
    from peft import PeftConfig

from .checks import adapts_head
from .places import base_location
from .targets import CONFIG, HEAD, HEAD_FILE, WEIGHTS, Target, is_classifier, target_modules


def write_adapter(
    folder: Path,
    config: PeftConfig,
    tensors: Mapping[str, NDArray[Any]],
    dtypes: Mapping[str, str] | None = None,
) -> None:
    """Write PEFT's two files: a configuration of PEFT's, and tensors, in float32 unless `dtypes` overrides it.

    Raises `UsageError` naming a tensor with an entry that overflows its dtype.
    """
    cast = {
        name: _cast(name, values, (dtypes or {}).get(name, "float32")) for name, values in tensors.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    _save(cast, folder / WEIGHTS)
    content = {key: sorted(x) if isinstance(x, set) else x for key, x in config.to_dict().items()}
    write_text(folder / CONFIG, json.dumps(content, indent=2, sort_keys=True) + "\n")


def common_fields(ensemble: Exportable, targets: Sequence[Target]) -> dict[str, Any]:
    """The configuration fields for base and target modules, common to all adapter types; paths are in model order."""
    base, blueprint = base_location(ensemble), ensemble.source.blueprint
    return {
        "base_model_name_or_path": base.name,
        "revision": base.revision,
        "task_type": "FEATURE_EXTRACTION" if is_classifier(blueprint) else "CAUSAL_LM",
        "target_modules": target_modules(targets, blueprint),
        "fan_in_fan_out": any(target.transposed for target in targets),
        "inference_mode": True,
    }


def write_head(ensemble: Exportable, folder: Path) -> None:
    """Write a classifier's merged `head.weight` and `head.bias` in float32; does nothing for a language model."""
    blueprint = ensemble.source.blueprint
    if not is_classifier(blueprint):
        return
    stored = {
        info.name: info.stored or info.name for info in blueprint.weights if info.name.startswith("head.")
    }
    found = dict[str, torch.Tensor]()
    for file in ensemble.source.files:
        with safe_open(file, framework="pt") as tensors:
            here = set(tensors.keys())
            found |= {name: tensors.get_tensor(at) for name, at in stored.items() if at in here}
    if adapts_head(ensemble):
        found[HEAD] = torch.from_numpy(np.asarray(ensemble.merged(HEAD)))
    head = {name: tensor.to(torch.float32).contiguous() for name, tensor in found.items()}
    _save(head, folder / HEAD_FILE)


def _save(tensors: dict[str, torch.Tensor], file: Path) -> None:
    """Save with read permission for all; safetensors creates files with owner access only."""
    save_file(tensors, file, metadata={"format": "pt"})
    file.chmod(0o644)


def _cast(name: str, values: NDArray[Any], dtype: str) -> torch.Tensor:
    found = torch.from_numpy(np.ascontiguousarray(values)).to(getattr(torch, dtype))
    if not bool(torch.isfinite(found).all()):
        raise UsageError(f"{name}: an entry is too large for {dtype}; --set dtype=bfloat16 has a wider range")
    return found
