"""What processes do that `test_products_parallel` starts together; each writes the products it was told into a file of its own."""

import sys
from pathlib import Path

import attrs
import numpy as np

from boostlora.backends.torch.backend import Torch

processes = Torch(device="cpu").join()  # before anything else

from boostlora.engine.errors import NonFiniteError  # noqa: E402
from tests.backends.test_products_transformers import BATCHES, asked  # noqa: E402
from tests.backends.training_transformers import opened  # noqa: E402
from tests.support.hf_modules import texts  # noqa: E402

folder = Path(sys.argv[1]) / str(processes.index)
folder.mkdir()
for kind in ("qwen2", "bert"):
    model, sites = opened(kind, folder, Torch(device="cpu", dtype="float64", micro_batch=2))
    np.savez(folder / f"{kind}.npz", **asked(model, sites, texts(kind), BATCHES))

# The second batch's part of one process alone is not a number: all are told.
poisoned = attrs.evolve(BATCHES[2], weights=np.array([np.nan, 1.0]))
right = {sites[0].name: np.ones((sites[0].shape[1], 1))}
try:
    model.gradient_products(texts("bert"), [poisoned], right=right, left={})
except NonFiniteError as error:
    (folder / "error").write_text(str(error))
