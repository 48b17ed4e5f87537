"""Casts, their rounding loss, and tensor files of the weight exporters."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from boostlora.engine.contracts import DenseUpdate, Exportable, MergedRound
from boostlora.engine.errors import RunError, UsageError
from boostlora.engine.testing import ExportCase, assert_close
from boostlora.engine.testing.strategies import sites_of, tiny_mlp
from boostlora.plugins.exporters._weights.dtype_loss import kept_share, precision_of
from boostlora.plugins.exporters._weights.layout import in_base_layout, planned_files, size_of
from boostlora.plugins.exporters._weights.tensor_writer import compare_files, header_of, write_files
from boostlora.plugins.exporters._weights.tensors import cast, read


class Plain:
    """A store in float64 that sums dense updates."""

    def __init__(self, weights):
        self.weights = weights

    def merged(self, site, updates=()):
        return self.weights[site].astype(np.float64) + sum(scale * u.delta for u, scale in updates)


def ensemble_of(folder, deltas, *, base=None):
    """A tiny perceptron with one dense round."""
    source = tiny_mlp(folder)
    weights = load_file(source.files[0]) if base is None else base
    updates = {name: DenseUpdate(delta=delta) for name, delta in deltas.items()}
    return Exportable(
        name="tiny",
        model=None,
        source=source,
        sites=tuple(sites_of(source)),
        rounds=(MergedRound(number=1, updates=updates, scale=1.0),),
        store=Plain(weights),
    )


def halves(folder):
    """Base weights that bfloat16 holds exactly."""
    found = load_file(tiny_mlp(folder).files[0])
    return {name: x.astype(ml_dtypes.bfloat16).astype(np.float32) for name, x in found.items()}


def test_kept_share_is_one_minus_relative_rounding_distance(tmp_path: Path) -> None:
    base, rng = halves(tmp_path), np.random.default_rng(0)
    names = ("layers.0.weight", "head.weight")
    deltas = {name: 0.02 * rng.standard_normal(base[name].shape) for name in names}
    ensemble = ensemble_of(tmp_path, deltas, base=base)
    lost = learned = 0.0
    for name in names:
        W = base[name].astype(np.float64) + deltas[name]
        lost += np.sum((W.astype(ml_dtypes.bfloat16).astype(np.float64) - W) ** 2)
        learned += np.sum(deltas[name] ** 2)
    share = 1 - np.sqrt(lost / learned)
    assert 0.5 < share < 0.99
    assert_close(kept_share(ensemble, "bfloat16"), share, atol=1e-12, what="kept in bfloat16")
    assert_close(
        kept_share(ensemble, lambda W: W.astype(ml_dtypes.bfloat16)),
        share,
        atol=1e-12,
        what="kept by a function",
    )


def test_kept_falls_with_the_size_of_the_update_and_rises_with_precision(tmp_path: Path) -> None:
    base, rng = halves(tmp_path), np.random.default_rng(0)
    delta = rng.standard_normal(base["head.weight"].shape)
    shares = [
        [
            kept_share(ensemble_of(tmp_path, {"head.weight": size * delta}, base=base), dtype)
            for size in (1, 1e-2, 1e-6)
        ]
        for dtype in ("bfloat16", "float16", "float32", "float64")
    ]
    for large, middle, small in shares:
        assert large >= middle >= small
    for coarse, fine in pairwise(shares):
        assert all(a <= b for a, b in zip(coarse, fine, strict=True))
    assert shares[0][2] == 0.0, "far below a unit in the last place, nothing is left"
    assert shares[3] == [1.0, 1.0, 1.0]


def test_kept_share_of_a_zero_update_is_one(tmp_path: Path) -> None:
    ensemble = ensemble_of(tmp_path, {})
    assert kept_share(ensemble, "bfloat16") == 1.0


def test_precision_is_that_of_the_adapted_weights(causal_case: ExportCase) -> None:
    assert precision_of(causal_case.ensemble, "stored") == "float32"
    assert precision_of(causal_case.ensemble, "bfloat16") == "bfloat16"


@pytest.mark.parametrize("code", ["F32", "F16", "BF16"])
def test_cast_rounds_to_nearest_even(code: str) -> None:
    torch = pytest.importorskip("torch", reason="another implementation to be held against")
    values = np.random.default_rng(0).standard_normal(10_000)
    values = np.concatenate([values, [1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-11, -0.0, 0.0]]).astype(np.float32)
    wanted = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[code]
    expected = torch.from_numpy(values).to(wanted).double().numpy()
    np.testing.assert_array_equal(cast(values, code, "x").astype(np.float64), expected)


def test_cast_refuses_overflow_and_keeps_infinities() -> None:
    with pytest.raises(RunError, match=r"x: 7e\+04 does not fit into float16"):
        cast(np.array([1.0, 7e4], dtype=np.float32), "F16", "x")
    assert np.isneginf(cast(np.array([-np.inf], dtype=np.float32), "F16", "x")).all()


@pytest.mark.parametrize(
    ("text", "size"), [("5GB", 5 * 10**9), ("2GiB", 2**31), ("17 kb", 17_000), ("9B", 9)]
)
def test_sizes_are_read_as_the_library_does(text: str, size: int) -> None:
    assert size_of(text) == size


def test_files_of_mixed_dtypes_are_copied_bit_for_bit_and_cast_in_aligned_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        "a": rng.standard_normal((3, 5)),
        "b": rng.standard_normal(7).astype(np.float32),
        "c": np.arange(3),
        "d": np.array(2.5, dtype=np.float16),
        "e": np.zeros((0, 4), dtype=np.float32),
        "f": np.array([True, False, True]),
        "g": rng.standard_normal((2, 2)).astype(ml_dtypes.bfloat16),
    }
    file = tmp_path / "base.safetensors"
    save_file(tensors, file, metadata={"format": "np", "note": "ä"})
    ensemble = ensemble_of(tmp_path, {})
    for dtype in ("stored", "float16", "float64"):
        ((found, plans),) = planned_files(ensemble, [file], dtype)
        out = in_base_layout(found, plans, f"{dtype}.safetensors")
        write_files(ensemble, tmp_path, [out])
        compare_files(ensemble, tmp_path, [out])
        with safe_open(tmp_path / out.name, framework="np") as opened:
            assert opened.metadata() == {"format": "np", "note": "ä"}
        written = load_file(tmp_path / out.name)
        for name, x in tensors.items():
            floating = x.dtype.kind == "f" or x.dtype == ml_dtypes.bfloat16
            exact = x if dtype == "stored" or not floating else x.astype(dtype)
            assert written[name].dtype == exact.dtype
            np.testing.assert_array_equal(written[name], exact)
    assert (tmp_path / "stored.safetensors").read_bytes() == file.read_bytes()
    for tensor in read(tmp_path / "float64.safetensors").tensors:
        assert tensor.start % tensor.itemsize == 0


def test_built_header_is_read_like_the_librarys_own(tmp_path: Path) -> None:
    file = tmp_path / "base.safetensors"
    save_file({"x": np.ones((2, 3), dtype=np.float32), "y": np.ones(1, dtype=np.float32)}, file)
    ((found, plans),) = planned_files(ensemble_of(tmp_path, {}), [file], "stored")
    assert header_of(in_base_layout(found, plans, "x")) == found.header


def test_invalid_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"\x10" * 40)
    with pytest.raises(UsageError, match="not a readable safetensors file"):
        read(tmp_path / "x.safetensors")
