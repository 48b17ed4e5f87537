"""Precisions and devices of the torch backend: bytes of a number, and kernels that repeat."""

import contextlib
import types

import numpy as np
import pytest

pytest.importorskip("torch", reason="the torch backend needs PyTorch")

import torch

from boostlora.backends.torch.backend import Torch
from boostlora.backends.torch.devices import deterministic, resolve


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_itemsize_is_that_of_the_dtype(dtype):
    assert Torch(device="cpu", dtype=dtype).itemsize == getattr(torch, dtype).itemsize


def test_threads_are_set_as_requested_and_restored():
    before = torch.get_num_threads()
    with deterministic(resolve("cpu", "float32"), 1):
        assert torch.get_num_threads() == 1
        assert not torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == before


def test_deterministic_accelerator_kernels_are_set_and_restored(
    monkeypatch,
):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    place = types.SimpleNamespace(
        device=types.SimpleNamespace(type="cuda"), float64_mode=contextlib.nullcontext
    )
    with deterministic(place, 0):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()


def test_master_parameters_are_at_least_float32():
    assert [
        np.dtype(str(resolve("cpu", d).master_dtype).removeprefix("torch.")).itemsize
        for d in ("float64", "float32", "bfloat16")
    ] == [8, 4, 4]
