"""From the names and rows of Hugging Face's weights to those of GGUF's tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import gguf
import numpy as np
from numpy.typing import NDArray

from ....engine.contracts import Blueprint, Exportable
from ....engine.errors import UsageError
from .files import Type

SUFFIXES = (".weight", ".bias")
KNOWN = ("llama", "qwen2", "qwen3")
"""Architectures of GGUF's whose matrices are Hugging Face's, but for the order of some rows."""


@attrs.frozen(kw_only=True, eq=False)
class Names:
    """The tensors of one model."""

    architecture: str
    """In GGUF's words."""
    config: Mapping[str, Any]
    """Hugging Face's."""
    table: Any

    @classmethod
    def of(cls, architecture: str, blueprint: Blueprint) -> Names:
        """Raises `UsageError` for an architecture whose tensors are not known."""
        arch = next((key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture), None)
        if architecture not in KNOWN or arch is None:
            raise UsageError(
                f"exporter gguf: the architecture {architecture} is not one that it knows ({', '.join(KNOWN)}); "
                "write --to hf, and convert that with llama.cpp's convert_hf_to_gguf.py"
            )
        config = blueprint.config["hf"]
        table = gguf.get_tensor_name_map(arch, config["num_hidden_layers"])
        return cls(architecture=architecture, config=config, table=table)

    def tensor(self, weight: str) -> str:
        """Raises `UsageError` for a weight that GGUF has no name for."""
        found = self.table.get_name(weight, try_suffixes=SUFFIXES)
        if found is None:
            raise UsageError(
                f"exporter gguf: GGUF has no name for {weight} in the architecture {self.architecture}"
            )
        return found

    def rows(self, weight: str, values: NDArray[Any]) -> NDArray[Any]:
        """A matrix `(d_out, d_in)`, or a bias, with its rows in the order of the file.

        llama.cpp turns neighbouring rows of a Llama's queries and keys, Hugging Face's Llama row `i` of a head with row
        `i + d/2`; so rows `(head, half, i)` become `(head, i, half)`, as llama.cpp's converter has it.
        """
        if self.architecture != "llama":
            return values
        module = weight.rpartition(".")[0]
        if module.endswith("q_proj"):
            heads = self.config["num_attention_heads"]
        elif module.endswith("k_proj"):
            heads = self.config["num_key_value_heads"]
        else:
            return values
        halves = values.reshape(heads, 2, len(values) // heads // 2, *values.shape[1:])
        return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)


def told(ensemble: Exportable, weights: int, kind: Type) -> str:
    """A sentence on what was done to a model."""
    numbers = [r.number for r in ensemble.rounds]
    run = numbers == list(range(numbers[0], numbers[-1] + 1))
    which = f"{numbers[0]} to {numbers[-1]}" if run and len(numbers) > 1 else ", ".join(map(str, numbers))
    rounds = "Round" if len(numbers) == 1 else "Rounds"
    return f"{rounds} {which} of the BoostLoRA run {ensemble.name} merged into {weights} weights, kept as {kind.name}."
