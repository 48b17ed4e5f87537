"""Model descriptions: names, shapes and files of weights, and the sites that are adapted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

Role = Literal["linear", "head", "other"]


@attrs.frozen(kw_only=True)
class WeightInfo:
    """One parameter tensor, as described by a configuration or a file header; no values."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    role: Role = "other"
    """`linear`: a matrix `(d_out, d_in)` that can be adapted; `head`: the same, of the output layer."""
    layer: int | None = None
    """Index of the block that holds the weight; None outside the blocks."""
    stored: str = ""
    """Its name in the files, where that differs."""
    also: tuple[str, ...] = ()
    """Its other names in the module, where layers share the tensor (tied weights)."""
    also_stored: tuple[str, ...] = ()
    """Its other names in the files, where they hold copies; a merge updates all of them."""
    transposed: bool = False
    """Whether `shape` and file are `(d_in, d_out)`, as in Hugging Face's `Conv1D`."""
    summed: bool = False
    """Whether a layer does more with it than `x W^T + b`, so that training takes the dense sum `W + dW`. Only the memory forecast reads it."""

    @property
    def matrix(self) -> tuple[int, int]:
        """`(d_out, d_in)` of a linear weight."""
        rows, columns = self.shape
        return (columns, rows) if self.transposed else (rows, columns)

    @property
    def size(self) -> int:
        """Number of values."""
        size = 1
        for n in self.shape:
            size *= n
        return size


@attrs.frozen(kw_only=True)
class Blueprint:
    """A model without its weights: enough to plan a run."""

    architecture: str
    """The architecture's name for backends, such as `mlp` or `causal-lm/qwen2`."""
    config: Mapping[str, Any]
    """The architecture's configuration, as JSON types."""
    weights: tuple[WeightInfo, ...]


@attrs.frozen(kw_only=True)
class ModelSource:
    """A model with weights in safetensors files. Backends read it and never write to it."""

    blueprint: Blueprint
    files: tuple[Path, ...]
    sha256: str
    """Hash of the weight files' bytes, in order."""
    fitted: tuple[str, ...] = ()
    """Names of weights that were fitted to the run's own data, such as a classifier's head."""
    build: Callable[[Blueprint, Any], Any] | None = None
    """`build(blueprint, dtype)` returns the torch module with loaded weights, for architectures that a backend does not
    implement. Its parameters have the blueprint's names, and its configuration is the blueprint's, which may have fewer
    layers than the files. A `classifier/…` is called with `input_ids`, `attention_mask` and, for pairs, `token_type_ids`, and
    returns logits `(n, classes)`; a `causal-lm/…` is a Hugging Face causal language model, a `sequence-classifier/…` a Hugging Face model for
    sequence classification whose output `order[k]` in the blueprint's `config` belongs to class k; a `torch-module` is called with
    the numeric inputs `(n, d)`."""


@attrs.frozen(kw_only=True)
class Site:
    """One adapted weight matrix `W` of shape `(d_out, d_in)`, named by its parameter path."""

    name: str
    shape: tuple[int, int]
    layer: int | None = None

    @property
    def width(self) -> int:
        """Number of singular directions, `min(d_out, d_in)`."""
        return min(self.shape)

    @property
    def kind(self) -> str:
        """The module's own name, such as `q_proj`: the last non-numeric part of the path, without `weight`."""
        parts = [part for part in self.name.removesuffix(".weight").split(".") if not part.isdigit()]
        return parts[-1] if parts else self.name
