"""Rollouts on disk: the batches come back bit for bit, a run that was interrupted gives the same, old records keep their digests."""

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.contracts import Batch, Metrics, Rollouts, Tokens
from boostlora.engine.contracts.records import RolloutMetrics, RoundRecord
from boostlora.engine.errors import RunError
from boostlora.engine.records.updates import read_rollouts, write_rollouts
from boostlora.engine.testing.strategies import seeds

from ..support.record_toys import Interrupter, check_valid, sealed
from ..support.rollout_toys import BACKENDS, RolloutToy, write_folder

EMPTY = Batch(indices=np.empty(0, dtype=np.int64), weights=np.empty(0))


@st.composite
def batches(draw):
    """Up to five batches; some of them empty, some for several steps in a row."""
    rng, found = np.random.default_rng(draw(seeds)), list[Batch]()
    for _ in range(draw(st.integers(1, 4))):
        kind, times = (
            draw(st.sampled_from(["empty", "bare", "old", "start", "both"])),
            draw(st.integers(1, 3)),
        )
        found += [_batch(rng, kind)] * times
    return found


def _batch(rng, kind):
    if kind == "empty":
        return Batch(indices=np.empty(0, dtype=np.int64), weights=np.empty(0))
    lengths = rng.integers(1, 5, rng.integers(1, 4))
    rows = [rng.integers(0, 2**31 - 1, 2 + n).tolist() for n in lengths]
    count = int(lengths.sum())
    rollouts = Rollouts(
        tokens=Tokens.join(rows, [2] * len(rows)),
        shares=rng.uniform(0, 1, count),
        temperature=float(rng.uniform(0.1, 2)),
        old=-rng.exponential(1, count) if kind in {"old", "both"} else None,
        start=-rng.exponential(1, count) if kind in {"start", "both"} else None,
        clip=(float(rng.uniform(0, 1)), float(rng.uniform(0, 5))),
        beta=float(rng.uniform(0, 1)),
    )
    return Batch(
        indices=rng.integers(0, 99, len(rows)), weights=rng.standard_normal(len(rows)), rollouts=rollouts
    )


def bits(array):
    return None if array is None else (array.dtype, array.shape, array.tobytes())


def content(batch):
    r = batch.rollouts
    if r is None:
        return bits(batch.indices), bits(batch.weights)
    arrays = (
        batch.indices,
        batch.weights,
        r.tokens.ids,
        r.tokens.offsets,
        r.tokens.starts,
        r.shares,
        r.old,
        r.start,
    )
    return [*map(bits, arrays), r.temperature, r.clip, r.beta]


@given(written=batches())
def test_rollouts_round_trip_bit_identically(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("rollouts") / "0001.safetensors"
    found = read_rollouts(path, write_rollouts(path, written))
    assert [content(b) for b in found] == [content(b) for b in written]
    same = [a is b for a, b in pairwise(written)]
    assert [a is b for a, b in pairwise(found)] == same, "steps that shared a batch still do"


@given(written=batches())
def test_rollouts_written_twice_have_the_same_hash(tmp_path_factory, written):
    folder = tmp_path_factory.mktemp("rollouts")
    first = write_rollouts(folder / "a.safetensors", written)
    assert first == write_rollouts(folder / "b.safetensors", written)


def test_rollouts_of_another_hash_are_refused(tmp_path):
    path = tmp_path / "0001.safetensors"
    write_rollouts(path, [EMPTY])
    with pytest.raises(RunError, match=r"0001\.safetensors: damaged or altered"):
        read_rollouts(path, "0" * 64)


# -- In a run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs")
    write_folder(path)
    return path


@pytest.fixture(scope="module")
def whole(folder):
    """A run to its end."""
    return RolloutToy.make(folder, *BACKENDS["torch"]).go("whole")


def test_round_files_contain_and_hash_their_rollouts(whole):
    for record in whole.records[1:]:
        name = f"rollouts/{record.round:04d}.safetensors"
        assert name in record.files
        assert (whole.path / name).is_file()
        assert len(whole.rollouts(record.round)) == 5
    assert whole.rollouts(0) is None
    whole.check_files()


def test_altered_rollouts_are_detected(whole, tmp_path):
    copy = shutil.copytree(whole.path, tmp_path / "copy")
    file = copy / "rollouts/0001.safetensors"
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(RunError, match=r"rollouts/0001\.safetensors: damaged or altered"):
        type(whole).open(copy).check_files()


def test_same_seed_gives_the_same_digest_and_another_seed_another(whole, folder):
    again = RolloutToy.make(folder, *BACKENDS["torch"]).go("again")
    assert again.digest == whole.digest
    other = RolloutToy.make(folder, *BACKENDS["torch"], "seed=1").go("other")
    assert other.records[1].rollouts != whole.records[1].rollouts
    assert other.digest != whole.digest


def test_rollouts_that_are_not_stored_do_not_change_the_run(whole, folder):
    bare = RolloutToy.make(folder, *BACKENDS["torch"], "objective.keeps=false").go("bare")
    assert not (bare.path / "rollouts").exists()
    for a, b in zip(bare.records, whole.records, strict=True):
        assert (a.rollouts, a.train, a.loss_last) == (b.rollouts, b.train, b.loss_last)


@pytest.mark.parametrize(
    "name",
    ["reference", pytest.param("torch", marks=pytest.mark.slow(reason="five runs; the loop is the same"))],
)
def test_resume_interrupted_while_answering_and_training_gives_the_same_rounds(name, folder):
    writer = RolloutToy.make(folder, *BACKENDS[name])
    reference = writer.go(f"{name}-uncut")
    counter = Interrupter()
    writer.go(f"{name}-counted", counter)
    cuts = np.linspace(0, counter.calls - 1, 3).astype(int).tolist()
    assert counter.calls > 20
    for cut in cuts:
        run = f"{name}-cut-{cut}"
        with pytest.raises(KeyboardInterrupt):
            writer.go(run, Interrupter(cut))
        check_valid(writer.path(run), sealed(reference.path))
        assert writer.go(run).digest == reference.digest
        assert sealed(writer.path(run)) == sealed(reference.path)
        for record in reference.records[1:]:
            file = f"rollouts/{record.round:04d}.safetensors"
            assert (writer.path(run) / file).read_bytes() == (reference.path / file).read_bytes()


# -- Records

METRICS = Metrics(accuracy=0.5, loss=1.25, count=4)
BEFORE = {
    "round": 1, "status": "merged", "reason": "", "scale": 1.0, "failures": 3, "selected": 6, "trained_on": 5,
    "train": {"accuracy": 0.5, "loss": 1.25, "count": 4}, "validation": {"accuracy": 0.5, "loss": 1.25, "count": 4},
    "test": {"accuracy": 0.5, "loss": 1.25, "count": 4}, "lost": 1, "gained": 2, "parameters": 16, "loss_first": 2.5,
    "loss_last": 1.5, "rank": {"w": 2}, "effective_rank": {"w": 1.5}, "overlap": 0.0,
    "files": {"updates/0001.safetensors": "ab"}, "seconds": {"train": 0.5}, "memory_bytes": 7,
    "digest": "fc30bcdf28ba4899158ac337cb696927e508d3d94c54ae27b6444ac65a83b1dc",
}  # fmt: skip
"""A line as it was written when there were no rollouts, with the digest that it had then, after the digest `before`."""
FACTS = RolloutMetrics(
    answers=48,
    tokens=288,
    reward=0.25,
    reward_first=0.125,
    reward_last=0.5,
    groups=12,
    zero_variance=6,
    skipped=1,
    unended=7,
)


def test_record_without_rollouts_keeps_its_digest():
    record = RoundRecord.from_line(json.dumps(BEFORE))
    assert record.rollouts is None
    assert record.is_sealed("before")
    assert record.sealed("before").digest == BEFORE["digest"]


def test_record_with_rollouts_round_trips_and_its_digest_covers_them():
    fields = {name: BEFORE[name] for name in ("round", "status", "failures")}
    metrics = dict.fromkeys(("train", "validation", "test"), METRICS)
    record = RoundRecord(**fields, **metrics, rollouts=FACTS).sealed("")
    found = RoundRecord.from_line(record.to_line())
    assert found == record
    assert found.is_sealed("")
    line = json.loads(record.to_line())
    line["rollouts"]["zero_variance"] = 5
    assert not RoundRecord.from_line(json.dumps(line)).is_sealed("")
    without = RoundRecord(**fields, **metrics).sealed("")
    assert without.digest != record.digest
