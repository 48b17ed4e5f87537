"""Weights as files have them: other types, other names, the other way round, missing, damaged."""

import sys

import attrs
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from boostlora.backends.reference import weights as w
from boostlora.backends.reference.backend import Reference
from boostlora.engine.contracts import Blueprint, DenseUpdate, FactoredUpdate, Frame, ModelSource, WeightInfo
from boostlora.engine.errors import NonFiniteError, UsageError
from boostlora.engine.testing import assert_close
from boostlora.engine.testing.strategies import tiny_mlp

from ..support.tiny_transformers import NETS, examples_for, open_net, sites_of, source_of


def source_with(folder, tensors, **info):
    """One weight called `W` in a file of `tensors`."""
    file = folder / "model.safetensors"
    save_file(tensors, file)
    weight = WeightInfo(**{"name": "W", "shape": (3, 2), **info})
    blueprint = Blueprint(architecture="mlp", config={}, weights=(weight,))
    return ModelSource(blueprint=blueprint, files=(file,), sha256="")


VALUES = np.array([[1.0, -2.5], [0.125, 3.0], [0.0, -0.0078125]])
"""Numbers that every stored type can hold."""


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
@pytest.mark.parametrize("kept", ["float32", "float64"])
def test_weight_of_any_stored_type_is_read_exactly(tmp_path, dtype, kept):
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="NumPy writes bfloat16 with it alone")
    stored = VALUES.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    found = w.load(source_with(tmp_path, {"W": stored}), ["W"], np.dtype(kept))["W"]
    assert found.dtype == np.dtype(kept)
    np.testing.assert_array_equal(found, VALUES)


def test_bfloat16_weight_without_ml_dtypes_says_what_to_install(tmp_path, monkeypatch):
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="NumPy writes bfloat16 with it alone")
    source = source_with(tmp_path, {"W": VALUES.astype(ml_dtypes.bfloat16)})
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(UsageError, match="pip install ml-dtypes"):
        w.load(source, ["W"])


def test_weight_of_integers_is_refused_with_the_types_that_are_read(tmp_path):
    source = source_with(tmp_path, {"W": VALUES.astype(np.int8)})
    with pytest.raises(
        UsageError, match="W is stored as I8; the reference backend reads BF16, F16, F32, F64"
    ):
        w.load(source, ["W"])


def test_weight_stored_transposed_under_another_name_is_read_as_a_matrix(tmp_path):
    source = source_with(tmp_path, {"h.W": VALUES.T.copy()}, shape=(2, 3), stored="h.W", transposed=True)
    found = w.load(source, ["W"])["W"]
    assert source.blueprint.weights[0].matrix == found.shape == (3, 2)
    np.testing.assert_array_equal(found, VALUES)
    assert found.flags.c_contiguous


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_model_from_transposed_and_renamed_files_is_the_same_model(kind, tmp_path):
    source, examples = source_of(tmp_path, *NETS[kind]), examples_for(kind)
    tensors = load_file(source.files[0])
    flipped = {site.name for site in sites_of(source)}
    other = {f"x.{n}": np.ascontiguousarray(t.T) if n in flipped else t for n, t in tensors.items()}
    halves = [dict(list(other.items())[i::2]) for i in (0, 1)]
    files = tuple(tmp_path / f"model-{i}.safetensors" for i in (1, 2))
    for file, half in zip(files, halves, strict=True):
        save_file(half, file)
    infos = tuple(
        attrs.evolve(i, stored=f"x.{i.name}", transposed=True, shape=i.shape[::-1])
        if i.name in flipped
        else attrs.evolve(i, stored=f"x.{i.name}")
        for i in source.blueprint.weights
    )
    changed = attrs.evolve(source, files=files, blueprint=attrs.evolve(source.blueprint, weights=infos))
    one, two = (Reference().open(s, sites_of(s)) for s in (source, changed))
    np.testing.assert_array_equal(one.logits(examples), two.logits(examples))
    site = sites_of(source)[0]
    assert two.weight(site.name).shape == site.shape
    np.testing.assert_array_equal(one.weight(site.name), two.weight(site.name))


def test_unneeded_weights_are_not_read(tmp_path):
    found = w.load(source_with(tmp_path, {"W": VALUES, "other": np.full(3, np.nan)}), ["W"])
    assert list(found) == ["W"]


@pytest.mark.parametrize(
    ("tensors", "info", "error", "message"),
    [
        ({"V": VALUES}, {}, UsageError, 'files have no weight "W"'),
        ({"W": VALUES}, {"stored": "a.W"}, UsageError, 'files have no weight "a.W"'),
        ({"W": VALUES}, {"shape": (2, 3)}, UsageError, r"W: shape \(3, 2\), expected \(2, 3\)"),
        ({"W": VALUES}, {"name": "V"}, UsageError, 'blueprint has no weight "W", which mlp needs'),
        ({"W": VALUES * np.nan}, {}, NonFiniteError, "W: the base weight contains NaN or Inf"),
    ],
)
def test_missing_misshapen_or_non_finite_weight_is_named(tmp_path, tensors, info, error, message):
    with pytest.raises(error, match=message):
        w.load(source_with(tmp_path, tensors, **info), ["W"])


@pytest.mark.parametrize("content", [None, b"", b"not a safetensors file at all"])
def test_missing_or_invalid_file_is_named(tmp_path, content):
    source = source_with(tmp_path, {"W": VALUES})
    source.files[0].unlink()
    if content is not None:
        source.files[0].write_bytes(content)
    with pytest.raises(UsageError, match=r"model\.safetensors: not a readable safetensors file"):
        w.load(source, ["W"])


def test_model_without_one_of_the_weights_it_needs_is_refused_before_reading(tmp_path):
    source = source_of(tmp_path, *NETS["bert"])
    name = "model.encoder.layer.1.output.LayerNorm.bias"
    kept = tuple(info for info in source.blueprint.weights if info.name != name)
    less = attrs.evolve(source, blueprint=attrs.evolve(source.blueprint, weights=kept))
    with pytest.raises(UsageError, match=f'no weight "{name}", which classifier/bert needs'):
        Reference().open(less, ())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_base_is_read_only_and_unchanged_by_merges(tmp_path, dtype):
    model, examples = open_net(tmp_path, "llama", Reference(dtype=dtype)), examples_for("llama")
    site, before = "model.layers.1.self_attn.q_proj.weight", model.logits(examples)
    assert not any(array.flags.writeable for array in model._base.values())
    outside = model.weight(site)
    outside[...] = 0.0
    np.testing.assert_array_equal(model.logits(examples), before)
    model.assemble([({site: DenseUpdate(delta=np.ones_like(outside))}, 0.5)])
    assert np.abs(model.logits(examples) - before).max() > 1e-3
    model.assemble([])
    np.testing.assert_array_equal(model.logits(examples), before)


def test_merging_in_float32_rounds_once_and_stays_in_float32():
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((n, 2)))[0] for n in (5, 4))
    update = FactoredUpdate(
        frame=Frame(U=U, S=np.array([2.0, 1.0]), V=V), core=rng.standard_normal((2, 2)), exponents=(0.5, 1.0)
    )
    W = rng.standard_normal((5, 4))
    single = w.merged(W.astype(np.float32), [(update, np.float64(0.7))], "W")
    assert single.dtype == np.float32
    L, M = update.factors()
    assert_close(
        single, W + 0.7 * L @ M.T, atol=2e-6, what="W + s dW"
    )  # a dozen roundings of 6e-8, sizes to 4


def test_float32_perceptron_is_close_to_float64(tmp_path):
    from boostlora.engine.testing.strategies import tiny_examples

    source = tiny_mlp(tmp_path)
    exact, rounded = (
        Reference(dtype=d).open(source, ()).logits(tiny_examples()) for d in ("float64", "float32")
    )
    assert_close(rounded, exact, atol=1e-5, what="logits")  # of size 1 to 10 through three sums
    assert np.abs(rounded - exact).max() > 1e-9
