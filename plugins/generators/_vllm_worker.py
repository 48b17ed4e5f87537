"""What runs inside vLLM's own workers: vLLM mixes the class into theirs (`worker_extension_cls`)."""

from __future__ import annotations

from typing import Any


class BoostloraWeights:
    """Lets a worker take weights from a file, each under the name that the model's own checkpoint has for it."""

    model_runner: Any

    def boostlora_load(self, file: str) -> int:
        """Put the file's tensors in place of the model's, cast to its precision; how many parameters they went into.

        Every worker of a tensor-parallel engine reads the file, and takes its part.
        """
        from safetensors.torch import load_file  # noqa: PLC0415 - in the worker alone

        tensors = load_file(file)
        loaded = self.model_runner.model.load_weights(iter(tensors.items()))
        return len(tensors) if loaded is None else len(loaded)  # some models do not say
