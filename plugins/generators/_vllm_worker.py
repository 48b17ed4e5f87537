"""The extension of vLLM's worker class (`worker_extension_cls`)."""

from __future__ import annotations

from typing import Any


class BoostloraWeights:
    """Loads weights from a file, by their names in the model's checkpoint."""

    model_runner: Any

    def boostlora_load(self, file: str) -> int:
        """Replace the model's weights by the file's tensors, cast to its dtype; returns the number of updated parameters.

        Every worker of a tensor-parallel engine reads the file and loads its shard.
        """
        from safetensors.torch import load_file  # noqa: PLC0415 - in the worker alone

        tensors = load_file(file)
        loaded = self.model_runner.model.load_weights(iter(tensors.items()))
        return len(tensors) if loaded is None else len(loaded)  # some models return None
