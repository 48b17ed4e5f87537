"""Models as the engine sees them: named weights, where their bytes are, which of them may be adapted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

Role = Literal["linear", "head", "other"]


@attrs.frozen(kw_only=True)
class WeightInfo:
    """One stored parameter, known from a configuration or a file header, without its values."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    role: Role = "other"
    """`linear`: a matrix `(d_out, d_in)` that may be adapted; `head`: the same, but the output layer."""
    layer: int | None = None
    """Depth of the block the weight belongs to; None outside the stack of layers."""
    stored: str = ""
    """Its name in the files, where that is another."""
    also: tuple[str, ...] = ()
    """Its other names in the module, where several layers share it."""
    also_stored: tuple[str, ...] = ()
    """Its other names in the files, where they have it more than once: what is merged is merged under all of them."""
    transposed: bool = False
    """Whether `shape` and the file have it as `(d_in, d_out)`, as Hugging Face's `Conv1D` does."""

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
    """What a model is, before any weight is trained or loaded: enough to plan a run."""

    architecture: str
    """The name under which backends know how to compute the model, such as `mlp` or `causal-lm/qwen2`."""
    config: Mapping[str, Any]
    """What the architecture needs to know, in JSON's types."""
    weights: tuple[WeightInfo, ...]


@attrs.frozen(kw_only=True)
class ModelSource:
    """A model whose weights lie in safetensors files; backends open it, and never write to it."""

    blueprint: Blueprint
    files: tuple[Path, ...]
    sha256: str
    """Hash of the weight files' bytes, in order."""
    fitted: tuple[str, ...] = ()
    """Weights that do not come with the base: they were fitted to the run's own data, as a classifier's head is."""
    build: Callable[[Blueprint, Any], Any] | None = None
    """`build(blueprint, dtype)` makes the torch module, its weights loaded, for architectures a backend does not know by
    itself. Its parameters have the blueprint's names, and its configuration is the blueprint's, which may have been cut to
    fewer layers. A `classifier/…` is called with `input_ids`, `attention_mask` and, for pairs, `token_type_ids`, and
    returns logits `(n, classes)`; a `causal-lm/…` is a Hugging Face causal language model; a `torch-module` is called with
    the rows of numbers."""


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
        """The module's own name: the last part of the path that is no number, `weight` left out."""
        parts = [part for part in self.name.removesuffix(".weight").split(".") if not part.isdigit()]
        return parts[-1] if parts else self.name
