"""A GGUF file as transformers loads it."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import attrs

from ....engine.contracts import Blueprint


@attrs.frozen(kw_only=True)
class FromFile:
    """Makes the torch module of the file `name` in `folder`, configuration and all."""

    folder: Path
    name: str

    def __call__(self, blueprint: Blueprint, dtype: Any) -> Any:
        """The module in evaluation mode, its weights dequantised to `dtype`. Raises `UsageError` with transformers' reason."""
        from transformers import AutoConfig  # noqa: PLC0415 - seconds

        from ...models._hf.library import told  # noqa: PLC0415
        from ...models._hf.nets import loaded  # noqa: PLC0415

        with told(f"{self.folder / self.name}: transformers cannot read it"):
            config = AutoConfig.from_pretrained(self.folder, gguf_file=self.name, local_files_only=True)
        with redirect_stderr(io.StringIO()):  # a progress bar that cannot be switched off
            return loaded(self.folder, config, "causal", dtype, gguf=self.name)
