"""Products in several processes: the single process's numbers, the same bits in each, and one fate."""

from pathlib import Path

import numpy as np
import pytest

from ..support.hf_modules import texts
from .test_products_transformers import BATCHES, DOUBLE, asked, assert_agree
from .test_torch_parallel import together
from .training_transformers import opened

SCRIPT = Path(__file__).parent / "crew_products.py"


@pytest.mark.slow(reason="three processes, each of which imports torch and transformers")
def test_products_in_three_processes_are_the_single_processs(tmp_path):
    """A batch of two among three: one process has nothing of it."""
    count = 3
    process = together(count, [SCRIPT, tmp_path], tmp_path)
    _, err = process.communicate(timeout=110)
    assert process.returncode == 0, err
    for kind in ("qwen2", "bert"):
        alone = asked(*opened(kind, tmp_path, DOUBLE), texts(kind), BATCHES)
        found = [dict(np.load(tmp_path / str(rank) / f"{kind}.npz")) for rank in range(count)]
        assert_agree(found[0], alone, 1e-13)
        for other in found[1:]:
            for name, product in found[0].items():
                np.testing.assert_array_equal(other[name], product)
    told = [(tmp_path / str(rank) / "error").read_text() for rank in range(count)]
    assert told == ["gradient products: the loss of a batch is nan"] * count
