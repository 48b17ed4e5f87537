"""The base with adapters loaded by PEFT."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from ....engine.contracts import Blueprint
from ...models._hf.library import as_usage_error


@attrs.frozen(kw_only=True)
class PeftBuilder:
    """Builds a blueprint's module with `build`, and activates all adapters without merging."""

    build: Callable[[Blueprint, Any], Any]
    adapters: tuple[tuple[str, Path], ...]
    """Adapter names and folders."""
    head: Path | None = None
    """The safetensors file of a classifier's head."""

    def __call__(self, blueprint: Blueprint, dtype: Any) -> Any:
        """The module in evaluation mode, with adapters in its layers and the base's calling convention.

        Raises `UsageError` with PEFT's reason if it cannot load an adapter.
        """
        module: Any = self.build(blueprint, dtype)
        with as_usage_error(f"{self.adapters[0][1]}: PEFT cannot load it"), _strict_loading():
            if self.head is None:
                return self._adapted(module).eval()
            module.model = self._adapted(module.model)
        from safetensors.torch import load_file  # noqa: PLC0415

        module.head.load_state_dict(
            {name.removeprefix("head."): x for name, x in load_file(self.head).items()}
        )
        return module.eval()

    def _adapted(self, module: Any) -> Any:
        """The module with PEFT's layers. PEFT's wrapper, whose forward differs, is discarded."""
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
def _strict_loading() -> Generator[None]:
    """A context that turns PEFT's warning of missing weights into an error, and ignores those on `Conv1D` and renamings."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set")
        warnings.filterwarnings("error", message="Found missing adapter keys")
        try:
            yield
        except UserWarning as warning:
            raise ValueError(str(warning)) from warning
