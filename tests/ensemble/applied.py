"""What `boostlora apply` is to write, and what is in a folder afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from ..support.boost_runs import PLUGIN, ToyRun

PLUG = ("--plugin", PLUGIN)
"""What the toy's commands need to know its plugin."""


def left(folder: Path) -> list[str]:
    """All that is in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def merged(run: ToyRun, rounds: Any = None) -> dict[str, Any]:
    """The base's tensors with the rounds merged, as the store gives them."""
    ensemble = run.ensemble()
    exportable = ensemble.exportable(rounds)
    tensors = load_file(run.base)
    for site in exportable.sites:
        tensors[site.name] = exportable.merged(site.name).astype(np.float32)
    return tensors


def same(folder: Path, expected: dict[str, Any]) -> None:
    found = load_file(folder / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)
