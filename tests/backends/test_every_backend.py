"""The contract suite over every backend, precision and way of computing."""

import pytest

from boostlora.backends.reference.backend import Reference
from boostlora.backends.torch.backend import Torch
from boostlora.engine.testing import BackendContract

pytest.importorskip("torch", reason="the torch backend needs PyTorch")

BACKENDS = {
    "reference": Reference(),
    "reference-two-threads": Reference(threads=2),
    "torch-float64": Torch(device="cpu", dtype="float64"),
    "torch-float32": Torch(device="cpu"),
    "torch-bfloat16": Torch(device="cpu", dtype="bfloat16"),
    "torch-float16": Torch(device="cpu", dtype="float16"),
    "torch-micro-batches": Torch(device="cpu", dtype="float64", micro_batch=4, eval_tokens=3),
}


class TestEveryBackend(BackendContract):
    @pytest.fixture(params=BACKENDS.values(), ids=BACKENDS.keys())
    def backend(self, request):
        return request.param
