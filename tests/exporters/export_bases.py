"""Changes to a tiny model's folder before it is boosted: the forms that bases come in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from boostlora.engine.testing import ExportCase

torch = pytest.importorskip("torch", reason="needs PyTorch")
transformers = pytest.importorskip("transformers", reason="needs transformers")

from safetensors.torch import load_file, save_file  # noqa: E402

from ..support.export_runs import as_is  # noqa: E402, F401 - makes tests/plugins importable
from ..support.hf_toys import as_bin, config_of, shard  # noqa: E402, F401

Make = Callable[[Path, Path], ExportCase]


def as_bfloat16(folder: Path) -> None:
    """Weights as most models of today come."""
    file = folder / "model.safetensors"
    save_file({n: t.bfloat16() for n, t in load_file(file).items()}, file, metadata={"format": "pt"})
    config_of(folder, dtype="bfloat16")


def in_bfloat16_shards(folder: Path) -> None:
    """The same in two files."""
    as_bfloat16(folder)
    shard(folder)


def with_more_tensors(folder: Path) -> None:
    """Names with the family's prefix, a head of the pretraining, and a buffer of whole numbers."""
    file = folder / "model.safetensors"
    more = {"cls.predictions.bias": torch.arange(5.0), "embeddings.position_ids": torch.arange(40)[None]}
    named = {f"bert.{name}": tensor for name, tensor in load_file(file).items()}
    save_file(named | more, file, metadata={"format": "pt"})
