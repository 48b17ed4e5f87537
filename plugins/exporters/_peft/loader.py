"""The base with adapters on top, loaded by PEFT."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from ....engine.contracts import Blueprint
from ...models._hf.library import told


@attrs.frozen(kw_only=True)
class Adapted:
    """Makes the module of a blueprint as `build` does, with every adapter active and none merged."""

    build: Callable[[Blueprint, Any], Any]
    adapters: tuple[tuple[str, Path], ...]
    """Names, and the folders that they are in."""
    head: Path | None = None
    """A classifier's head, its safetensors file."""

    def __call__(self, blueprint: Blueprint, dtype: Any) -> Any:
        """The module in evaluation mode; the adapters are in its layers, so that it is called as the base is.

        Raises `UsageError` with PEFT's reason where it does not take them.
        """
        module: Any = self.build(blueprint, dtype)
        with told(f"{self.adapters[0][1]}: PEFT cannot load it"), _strictly():
            if self.head is None:
                return self._adapted(module).eval()
            module.model = self._adapted(module.model)
        from safetensors.torch import load_file  # noqa: PLC0415

        module.head.load_state_dict(
            {name.removeprefix("head."): x for name, x in load_file(self.head).items()}
        )
        return module.eval()

    def _adapted(self, module: Any) -> Any:
        """What PEFT made of the module. It put its layers into it; its own wrapper has another way to be called, and is left."""
        from peft import PeftModel  # noqa: PLC0415 - seconds

        (first, folder), *others = self.adapters
        wrapped: Any = PeftModel.from_pretrained(module, str(folder), adapter_name=first, torch_device="cpu")
        for name, place in others:
            answer = wrapped.load_adapter(str(place), adapter_name=name, torch_device="cpu")
            if answer.missing_keys:
                raise ValueError(f"{place} has no {answer.missing_keys[0]}")
        if others:
            wrapped.base_model.set_adapter([name for name, _ in self.adapters])
        return wrapped.base_model.model


@contextmanager
def _strictly() -> Generator[None]:
    """A weight that PEFT misses is an error; its words on `Conv1D` beside `Linear`, and on what transformers renamed, are not."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set")
        warnings.filterwarnings("error", message="Found missing adapter keys")
        try:
            yield
        except UserWarning as warning:
            raise ValueError(str(warning)) from warning
