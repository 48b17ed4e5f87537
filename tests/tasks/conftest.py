from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

Write = Callable[..., str]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a frame, or a text, as a file of the given name and returns its path."""

    def write_file(content: pd.DataFrame | str | bytes, name: str = "rows.csv") -> str:
        path = tmp_path / name
        if isinstance(content, str):
            # Line ends, too, as they are given.
            content = content.encode()
            path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        elif name.endswith(".parquet"):
            content.to_parquet(path)
        else:
            content.to_csv(path, index=False, sep="\t" if name.endswith(".tsv") else ",")
        return str(path)

    return write_file


@pytest.fixture
def frame() -> pd.DataFrame:
    """Sixty rows: two columns of numbers, one of words, two classes."""
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 90, 60),
            "income": rng.normal(30.0, 9.0, 60),
            "town": rng.choice(["Rome", "Oslo", "Bonn"], 60),
            "bought": np.where(np.arange(60) % 3 == 0, "yes", "no"),
        }
    )
