"""GGUF's tensor names and row order for Hugging Face weights."""

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
"""GGUF architectures whose matrices equal Hugging Face's up to the order of some rows."""


@attrs.frozen(kw_only=True, eq=False)
class Names:
    """Tensor names of one model."""

    architecture: str
    """GGUF's name."""
    config: Mapping[str, Any]
    """Hugging Face's configuration."""
    table: Any

    @classmethod
    def of(cls, architecture: str, blueprint: Blueprint) -> Names:
        """Raise `UsageError` for an unsupported architecture."""
        arch = next((key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture), None)
        if architecture not in KNOWN or arch is None:
            raise UsageError(
                f"exporter gguf: the architecture {architecture} is not supported ({', '.join(KNOWN)}); "
                "write --to hf, and convert that with llama.cpp's convert_hf_to_gguf.py"
            )
        config = blueprint.config["hf"]
        table = gguf.get_tensor_name_map(arch, config["num_hidden_layers"])
        return cls(architecture=architecture, config=config, table=table)

    def tensor(self, weight: str) -> str:
        """GGUF's name of a weight. Raises `UsageError` if there is none."""
        found = self.table.get_name(weight, try_suffixes=SUFFIXES)
        if found is None:
            raise UsageError(
                f"exporter gguf: GGUF has no name for {weight} in the architecture {self.architecture}"
            )
        return found

    def rows(self, weight: str, values: NDArray[Any]) -> NDArray[Any]:
        """A matrix `(d_out, d_in)` or a bias with its rows in GGUF's order.

        For Llama's queries and keys, llama.cpp rotates neighbouring rows, Hugging Face rows `i` and `i + d/2` of a head; so rows
        `(head, half, i)` become `(head, i, half)`, as in llama.cpp's converter.
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


def rounds_note(ensemble: Exportable, weights: int, kind: Type) -> str:
    """A sentence for the metadata on which rounds were merged."""
    numbers = [r.number for r in ensemble.rounds]
    run = numbers == list(range(numbers[0], numbers[-1] + 1))
    which = f"{numbers[0]} to {numbers[-1]}" if run and len(numbers) > 1 else ", ".join(map(str, numbers))
    rounds = "Round" if len(numbers) == 1 else "Rounds"
    return f"{rounds} {which} of the BoostLoRA run {ensemble.name} merged into {weights} weights, kept as {kind.name}."
