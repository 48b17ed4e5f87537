"""A boost file restores the weights of its run bit for bit, for every kind of spec."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boostlora.backends.reference.store import ReferenceStore
from boostlora.backends.torch.store import TorchStore
from boostlora.engine.api import save
from boostlora.engine.boosting.views import DirectionCache
from boostlora.engine.ensemble.recipe import same_update
from boostlora.engine.errors import UsageError
from boostlora.engine.export import boost_parser
from boostlora.engine.export.boost_file import BoostFile
from boostlora.engine.export.boost_writer import pack
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.spec.faults import SpecError

from ..support.boost_runs import PLUGIN, ToyRun, adapter_text, origin_of, toy_run, weights_sha256
from ..support.places import SUPPORT

BACKENDS = ("reference", "torch")
BASES = ("rotate", "fixed", "random", "tail", "refresh")
WANDERING = SUPPORT / "wandering_basis.py"
CASES = [
    *((b, a, basis, "full") for b in BACKENDS for a in ("tinylora", "lora-xs") for basis in BASES),
    *((b, a, "rotate", "full") for b in BACKENDS for a in ("tinylora-tied", "lora", "full")),
    *((b, a, "refresh", m) for b in BACKENDS for a, m in (("lora-xs", "line-search"), ("tinylora", "shrinkage"))),
    *((b, a, "rotate", "gate") for b in BACKENDS for a in ("lora", "full")),
]  # fmt: skip


def _packed(run: ToyRun, place: Path, **options: bool) -> BoostFile:
    ensemble = run.ensemble()
    pack(ensemble, place, ensemble.choose(), **options)
    return boost_parser.read(place)


@pytest.mark.parametrize(("backend", "adapter", "basis", "merge"), CASES)
def test_boost_file_restores_the_weights_of_a_run_bit_for_bit(
    backend: str, adapter: str, basis: str, merge: str, tmp_path: Path
) -> None:
    run = toy_run(
        tmp_path / "toy",
        f"backend.use={backend}",
        "backend.threads=1",
        f"basis.use={basis}",
        f"merge.use={merge}",
        text=adapter_text(adapter),
    )
    own, place = run.ensemble(), tmp_path / "toy.boost.safetensors"
    packed = pack(own, place, own.choose())
    assert packed.factors == {}
    assert not any("factors" in name for name in boost_parser.read(place).arrays)
    found = run.load(place, tmp_path / "cache")
    assert weights_sha256(found) == weights_sha256(own) == boost_parser.read(place).merged.sha256
    for number, recorded in own.origin.merged.items():
        made = found.origin.merged[number]
        assert made.scale == recorded.scale
        assert made.updates.keys() == recorded.updates.keys()
        assert all(same_update(made.updates[site], update) for site, update in recorded.updates.items())
    assert origin_of(found).rebuilt.departure == 0.0
    measured = [(r.round, r.status, r.scale, r.train, r.validation, r.test, r.digest) for r in own.records]
    assert [
        (r.round, r.status, r.scale, r.train, r.validation, r.test, r.digest) for r in found.records
    ] == measured
    ranks = [max(record.rank.values()) for record in own.records]
    assert [max(record.rank.values()) for record in found.records] == ranks
    assert found.best == own.best


def test_boost_file_omits_refused_rounds_without_renumbering(tmp_path: Path) -> None:
    run = toy_run(tmp_path / "toy", "backend.threads=1", "merge.use=gate", text=adapter_text("lora"))
    own = run.ensemble()
    refused = [record.round for record in own.records[1:] if record.scale == 0.0]
    assert refused, "the gate is to refuse a round here, or nothing is tested"
    assert refused[0] < len(own)
    file = _packed(run, tmp_path / "x.safetensors")
    assert [facts.number for facts in file.rounds] == sorted({1, 2, 3, 4} - set(refused))
    found = run.load(tmp_path / "x.safetensors", tmp_path / "cache")
    assert len(found) == len(own) == 4
    assert weights_sha256(found, refused[0]) == weights_sha256(own, refused[0] - 1)


def test_boost_file_keeps_scales_other_than_one(tmp_path: Path) -> None:
    run = toy_run(tmp_path / "toy", "backend.threads=1", "merge.use=shrinkage")
    scales = [record.scale for record in run.ensemble().records[1:]]
    assert all(0.0 < scale < 1.0 for scale in scales)
    assert [facts.scale for facts in _packed(run, tmp_path / "x.safetensors").rounds] == scales


@pytest.mark.parametrize("backend", BACKENDS)
def test_boost_file_of_a_history_dependent_basis_needs_no_factors(backend: str, tmp_path: Path) -> None:
    settings = (f"backend.use={backend}", "backend.threads=1", "basis.use=following", "merge.use=gate")
    text = adapter_text("lora-xs").replace("lr = 0.05", "lr = 0.5")
    run = toy_run(tmp_path / "toy", *settings, plugins=(PLUGIN, WANDERING), text=text)
    own = run.ensemble()
    assert any(record.scale == 0.0 for record in own.records[1:-1]), "a refused round in between is wanted"
    packed = pack(own, tmp_path / "x.safetensors", own.choose())
    assert packed.factors == {}
    found = run.load(tmp_path / "x.safetensors", tmp_path / "cache")
    assert weights_sha256(found) == weights_sha256(own)


@pytest.fixture(scope="module")
def wandering(tmp_path_factory: pytest.TempPathFactory) -> ToyRun:
    """A run in frames that nobody can make again."""
    folder = tmp_path_factory.mktemp("wandering")
    return toy_run(folder, "backend.threads=1", "basis.use=wandering", plugins=(PLUGIN, WANDERING))


def test_boost_file_stores_factors_of_non_reproducible_frames_by_default(
    wandering: ToyRun, tmp_path: Path
) -> None:
    own = wandering.ensemble()
    packed = pack(own, tmp_path / "x.safetensors", own.choose())
    reason = "its trained values do not reproduce its update bit by bit"
    assert packed.factors == dict.fromkeys(range(1, 5), reason)
    found = wandering.load(tmp_path / "x.safetensors", tmp_path / "cache")
    assert weights_sha256(found) == weights_sha256(own)


def test_boost_file_with_all_factors_needs_no_basis_or_adapter_plugin(
    wandering: ToyRun, tmp_path: Path
) -> None:
    save(wandering.ensemble(), tmp_path / "x.safetensors")
    without = ToyRun(path=wandering.path, cache=wandering.cache, plugins=(PLUGIN,))
    found = without.load(tmp_path / "x.safetensors", tmp_path / "cache", wandering.base)
    assert weights_sha256(found) == weights_sha256(wandering.ensemble())


def test_boost_file_without_factors_names_the_missing_basis_plugin(tmp_path: Path) -> None:
    plugins = (PLUGIN, WANDERING)
    run = toy_run(tmp_path / "toy", "backend.threads=1", "basis.use=following", plugins=plugins)
    save(run.ensemble(), tmp_path / "x.safetensors")
    base, without = run.base, ToyRun(path=run.path, cache=run.cache)
    with pytest.raises(SpecError, match='unknown basis plugin "following"'):
        without.load(tmp_path / "x.safetensors", tmp_path / "cache", base)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("adapter", ["tinylora", "full", "lora"])
def test_boost_file_with_factors_is_applied_without_an_svd(
    backend: str, adapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = adapter_text(adapter)
    run = toy_run(tmp_path / "toy", f"backend.use={backend}", "backend.threads=1", text=text)
    own, base = run.ensemble(), run.base
    packed = pack(own, tmp_path / "x.safetensors", own.choose(), with_factors=True)
    assert packed.factors == dict.fromkeys(range(1, 5), "on request")
    expected = weights_sha256(own)

    def none(*_: object, **__: object) -> None:
        raise AssertionError("an SVD was asked for")

    for place, name in (
        (ReferenceStore, "directions"),
        (TorchStore, "directions"),
        (DirectionCache, "leading"),
    ):
        monkeypatch.setattr(place, name, none)
    found = run.load(tmp_path / "x.safetensors", tmp_path / "cache", base)
    assert weights_sha256(found) == expected
    for number, recorded in own.origin.merged.items():
        made = found.origin.merged[number].updates
        assert all(same_update(made[site], update) for site, update in recorded.updates.items())


def test_boost_file_without_factors_computes_directions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = toy_run(tmp_path / "toy", "backend.threads=1")
    save(run.ensemble(), tmp_path / "x.safetensors")

    def none(*_: object, **__: object) -> None:
        raise AssertionError("an SVD was asked for")

    base = run.base
    monkeypatch.setattr(ReferenceStore, "directions", none)
    found = run.load(tmp_path / "x.safetensors", tmp_path / "cache", base)
    with pytest.raises(Exception, match="an SVD was asked for"):
        weights_sha256(found)


@pytest.mark.parametrize(
    ("rounds", "kept"), [(0, []), (2, [1, 2]), ("2..3", [1, 2, 3]), ("1,4", [1, 2, 3, 4])]
)
def test_boost_file_of_a_selection_keeps_all_rounds_up_to_its_last(
    rounds: int | str, kept: list[int], tmp_path: Path
) -> None:
    run = toy_run(tmp_path / "toy", "backend.threads=1", "basis.use=refresh")
    own = run.ensemble()
    save(own, tmp_path / "x.safetensors", rounds)
    file = boost_parser.read(tmp_path / "x.safetensors")
    assert [facts.number for facts in file.rounds] == kept
    assert dict(file.merged.weights) == dict(own.choose(rounds).weights)
    found = run.load(tmp_path / "x.safetensors", tmp_path / "cache")
    assert weights_sha256(found, dict(file.merged.weights)) == weights_sha256(own, rounds)
    assert len(found) == max(kept, default=0)


def test_boost_file_of_weighted_rounds_restores_the_weighted_model(tmp_path: Path) -> None:
    run = toy_run(tmp_path / "toy", "backend.threads=1")
    own, weights = run.ensemble(), {1: 0.5, 3: -2.0}
    save(own, tmp_path / "x.safetensors", weights)
    file = boost_parser.read(tmp_path / "x.safetensors")
    assert file.merged.weights == weights
    found = run.load(tmp_path / "x.safetensors", tmp_path / "cache")
    assert weights_sha256(found, weights) == weights_sha256(own, weights) == file.merged.sha256
    assert weights_sha256(found, 3) == weights_sha256(own, 3)


def test_boost_file_round_trips(tmp_path: Path) -> None:
    run = toy_run(tmp_path / "toy", "backend.threads=1")
    file = _packed(run, tmp_path / "x.safetensors")
    file.write(tmp_path / "y.safetensors")
    again = boost_parser.read(tmp_path / "y.safetensors")
    assert again == file
    assert all(np.array_equal(again.arrays[name], value) for name, value in file.arrays.items())


def test_boost_file_stores_parameters_sorted_by_name(tmp_path: Path) -> None:
    run = toy_run(tmp_path / "toy", "backend.threads=1", text=adapter_text("lora"))
    file = _packed(run, tmp_path / "x.safetensors")
    for facts in file.rounds:
        assert list(facts.groups) == sorted(facts.groups)
        recorded = run.ensemble().origin.merged[facts.number].values
        assert file.values(facts).keys() == recorded.keys()
        for name, value in file.values(facts).items():
            np.testing.assert_array_equal(value, np.ravel(recorded[name]))


def test_boost_file_has_no_local_folder_names(tmp_path: Path) -> None:
    run = toy_run(tmp_path / "toy", "backend.threads=1")
    file = _packed(run, tmp_path / "x.safetensors")
    told = f"{file.spec}{file.provenance}{file.base}{file.records}"
    assert str(tmp_path) not in told
    assert "toy_plugin.py" not in told


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("there.safetensors", "exists already, and is not overwritten; choose another path (--out)"),
        ("x.boost", "a boost file's name ends with .safetensors, best with .boost.safetensors"),
    ],
)
def test_boost_file_at_an_invalid_path_is_refused_before_any_work(
    name: str, message: str, wandering: ToyRun, tmp_path: Path
) -> None:
    (tmp_path / "there.safetensors").write_text("mine")
    with pytest.raises(UsageError) as caught:
        save(wandering.ensemble(), tmp_path / name)
    assert str(caught.value) == f"{tmp_path / name}: {message}"
    assert (tmp_path / "there.safetensors").read_text() == "mine"


def test_boost_file_writer_reports_progress(tmp_path: Path) -> None:
    run, heard = toy_run(tmp_path / "toy", "backend.threads=1"), list[tuple[str, int, int]]()
    ensemble = run.ensemble()
    own = ensemble.origin.context

    def report(what: str, done: int, total: int) -> None:
        heard.append((what, done, total))

    object.__setattr__(ensemble.origin, "context", RunContext(cache=own.cache, report=report))
    save(ensemble, tmp_path / "x.safetensors")
    assert {what for what, _, _ in heard} >= {"rebuilding", "packing", "hashing the base", "merging"}
    assert all(0 <= done <= total for _, done, total in heard)
