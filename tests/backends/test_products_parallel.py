"""Products in several processes: the single process's numbers, the same bits in each, and one fate."""

from pathlib import Path

import numpy as np

from ..support.forked import forked, run_script
from ..support.hf_modules import texts
from .test_products_transformers import BATCHES, DOUBLE, asked, assert_agree
from .training_transformers import opened

PRODUCTS = Path(__file__).with_name("process_group_products.py")


def test_products_in_three_processes_equal_those_of_one(tmp_path):
    """A batch of two among three: one process has nothing of it."""
    count = 3
    done = forked(count, lambda: run_script(PRODUCTS, tmp_path), tmp_path)
    assert done.returncode == 0, done.stderr
    for kind in ("qwen2", "bert"):
        alone = asked(*opened(kind, tmp_path, DOUBLE), texts(kind), BATCHES)
        found = [dict(np.load(tmp_path / str(rank) / f"{kind}.npz")) for rank in range(count)]
        assert_agree(found[0], alone, 1e-13)
        for other in found[1:]:
            for name, product in found[0].items():
                np.testing.assert_array_equal(other[name], product)
    told = [(tmp_path / str(rank) / "error").read_text() for rank in range(count)]
    assert told == ["gradient products: the loss of a batch is nan"] * count
