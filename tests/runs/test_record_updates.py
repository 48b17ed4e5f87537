"""Updates and outcomes come back from disk bit for bit."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from boostlora.engine.contracts import DenseUpdate, FactoredUpdate, Frame, Outcome, Training
from boostlora.engine.errors import RunError
from boostlora.engine.records.updates import read_outcomes, read_updates, write_outcomes, write_training

BITS = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
"""Any float64: subnormal, signed zero, NaN with a payload."""
SITES = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="._/"), min_size=1)


def matrices(*shape):
    return hnp.arrays(np.float64, shape, elements=BITS)


@st.composite
def factored(draw, *, orthonormal):
    d_out, d_in, r = (draw(st.integers(1, 5)) for _ in range(3))
    frame = Frame(U=draw(matrices(d_out, r)), S=draw(matrices(r)), V=draw(matrices(d_in, r)))
    exponents = (draw(st.sampled_from([0.0, 0.5, 1.0])), draw(st.sampled_from([0.0, 0.5, 1.0])))
    return FactoredUpdate(
        frame=frame, core=draw(matrices(r, r)), exponents=exponents, orthonormal=orthonormal
    )


def dense():
    shape = st.tuples(st.integers(1, 5), st.integers(1, 5))
    return shape.flatmap(lambda s: matrices(*s)).map(lambda delta: DenseUpdate(delta=delta))


ANY = factored(orthonormal=True) | factored(orthonormal=False) | dense()


def trained(updates):
    return Training(updates=updates, values={"v": np.arange(3.0)}, losses=np.zeros(1))


def bits(array):
    return array.dtype, array.shape, array.tobytes()


def parts(update):
    if isinstance(update, DenseUpdate):
        return [bits(update.delta)]
    frame = update.frame
    arrays = [bits(array) for array in (frame.U, frame.S, frame.V, update.core)]
    return [*arrays, update.exponents, update.orthonormal]


@given(updates=st.dictionaries(SITES, ANY, max_size=4))
def test_updates_round_trip_bit_identically(updates, tmp_path_factory):
    path = tmp_path_factory.mktemp("updates") / "0001.safetensors"
    found = read_updates(path, write_training(path, trained(updates)))
    assert {site: parts(u) for site, u in found.items()} == {site: parts(u) for site, u in updates.items()}


@given(updates=st.dictionaries(SITES, ANY, min_size=1, max_size=4))
def test_updates_written_twice_have_the_same_hash_in_any_order(updates, tmp_path_factory):
    folder = tmp_path_factory.mktemp("updates")
    backwards = dict(reversed(updates.items()))
    first = write_training(folder / "a.safetensors", trained(updates))
    assert first == write_training(folder / "b.safetensors", trained(backwards))


def test_updates_in_column_order_are_read_as_the_same_matrix(tmp_path):
    U = np.asfortranarray(np.arange(12.0).reshape(4, 3))
    delta = np.arange(24.0).reshape(4, 6)[:, ::2]
    frame = Frame(U=U, S=np.ones(3), V=U)
    updates = {"f": FactoredUpdate(frame=frame, core=np.eye(3)), "d": DenseUpdate(delta=delta)}
    path = tmp_path / "u.safetensors"
    found = read_updates(path, write_training(path, trained(updates)))
    assert np.array_equal(found["f"].frame.U, U)
    assert np.array_equal(found["d"].delta, delta)


def test_updates_of_another_hash_are_refused(tmp_path):
    path = tmp_path / "u.safetensors"
    write_training(path, trained({"w": DenseUpdate(delta=np.zeros((2, 2)))}))
    with pytest.raises(RunError, match=r"u\.safetensors: damaged or altered"):
        read_updates(path, "0" * 64)


@given(data=st.data(), count=st.integers(0, 6))
def test_outcomes_round_trip_bit_identically(data, count, tmp_path_factory):
    def column(dtype, elements=None):
        return data.draw(hnp.arrays(dtype, count, elements=elements))

    outcomes = {
        split: Outcome(
            ids=column(np.int64),
            prediction=column(np.int64),
            loss=column(np.float64, BITS),
            correct=column(np.bool_),
            reward=column(np.float64, BITS),
        )
        for split in ("train", "validation")
    }
    path = tmp_path_factory.mktemp("outcomes") / "0001.safetensors"
    found = read_outcomes(path, write_outcomes(path, outcomes))
    assert found.keys() == outcomes.keys()
    for split, outcome in outcomes.items():
        for field in ("ids", "prediction", "loss", "correct", "reward"):
            assert bits(getattr(found[split], field)) == bits(getattr(outcome, field))
