"""A weight store gives the same weights, directions and updates as the model, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

pytest.importorskip("torch", reason="the torch backend needs PyTorch")

import torch
from safetensors.torch import load_file, save_file

from boostlora.backends.reference.backend import Reference
from boostlora.backends.torch.backend import Torch
from boostlora.engine.contracts import (
    DenseUpdate,
    FactoredUpdate,
    Frame,
    ModelSource,
    Site,
    StoringBackend,
)
from boostlora.engine.ensemble.ensemble import Ensemble
from boostlora.engine.ensemble.recipe import same_update
from boostlora.engine.errors import NonFiniteError, UsageError
from boostlora.engine.foundation.atomic import file_sha256
from boostlora.engine.foundation.run_context import RunContext, no_report
from boostlora.engine.testing.strategies import sites_of, tiny_mlp

from ..support.boost_runs import PLUGIN, adapter_text, toy_run

BACKENDS: dict[str, Any] = {
    "reference": Reference(),
    "reference-float32": Reference(dtype="float32"),
    "torch": Torch(device="cpu", threads=1),
    "torch-float64": Torch(device="cpu", dtype="float64", threads=1),
    "torch-bfloat16": Torch(device="cpu", dtype="bfloat16", threads=1),
    "torch-float16": Torch(device="cpu", dtype="float16", threads=1),
}
MASTERS = {"reference": np.float64, "torch-float64": np.float64}
STORED = {"F32": torch.float32, "F64": torch.float64, "BF16": torch.bfloat16, "F16": torch.float16}


@attrs.frozen
class Case:
    """A base, its sites, and a backend that opens it."""

    name: str
    backend: Any
    source: ModelSource
    sites: tuple[Site, ...]

    def opened(self) -> tuple[Any, Any]:
        """A store and a model, each of its own."""
        assert isinstance(self.backend, StoringBackend)
        model = self.backend.open(self.source, self.sites)  # type: ignore[attr-defined]
        return self.backend.store(self.source, self.sites, no_report), model

    @property
    def master(self) -> Any:
        """The dtype in which it merges."""
        return MASTERS.get(self.name, np.float32)


def _stored_as(source: ModelSource, dtype: torch.dtype) -> ModelSource:
    """The same numbers, rounded to another dtype of the file."""
    (file,) = source.files
    place = file.with_name(f"{dtype}-{file.name}")
    save_file({name: x.to(dtype) for name, x in load_file(file).items()}, place)
    return attrs.evolve(source, files=(place,), sha256=file_sha256(place))


def _transposed(name: str, folder: Path) -> tuple[ModelSource, tuple[Site, ...]]:
    """Weights that files have as `(d_in, d_out)`: GPT-2's, or those of a Llama turned round for the reference."""
    if name.startswith("torch"):
        from ..support.hf_modules import make

        source = make("gpt2", folder)
        turned = [w for w in source.blueprint.weights if w.transposed]
        return source, tuple(Site(name=w.name, shape=w.matrix) for w in turned)
    from ..support.tiny_transformers import NETS, source_of
    from ..support.tiny_transformers import sites_of as matrices_of

    source = source_of(folder, *NETS["llama"])
    sites = tuple(matrices_of(source))
    names = {site.name for site in sites}
    tensors = {n: x.T.contiguous() if n in names else x for n, x in load_file(source.files[0]).items()}
    save_file(tensors, folder / "turned.safetensors")
    infos = tuple(
        attrs.evolve(w, transposed=True, shape=w.shape[::-1]) if w.name in names else w
        for w in source.blueprint.weights
    )
    blueprint = attrs.evolve(source.blueprint, weights=infos)
    return attrs.evolve(source, files=(folder / "turned.safetensors",), blueprint=blueprint), sites


CASES = [*((b, s) for b in BACKENDS for s in STORED), *((b, "transposed") for b in BACKENDS)]


@pytest.fixture(params=CASES, ids=["-".join(case) for case in CASES])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    """Every backend on a base of every stored dtype, and on one that is stored transposed."""
    name, stored = request.param
    if stored == "transposed":
        source, sites = _transposed(name, tmp_path)
    else:
        source = _stored_as(tiny_mlp(tmp_path), STORED[stored])
        sites = tuple(sites_of(source))
    return Case(name, BACKENDS[name], source, sites)


def _updates(site: Site, seed: int, *, like: float = 1.0) -> list[tuple[Any, float]]:
    """Two factored updates, one of free factors and a dense one, at different scales."""
    rng = np.random.default_rng([seed, *site.shape])
    found = list[tuple[Any, float]]()
    for exponents, scale, orthonormal in (((0.5, 0.5), 1.0, True), ((1.0, 0.0), -0.75, True), ((0.0, 0.0), 0.3, False)):  # fmt: skip
        sides = [rng.standard_normal((rows, 2)) for rows in site.shape]
        if orthonormal:
            sides = [np.linalg.qr(side)[0] for side in sides]
        frame = Frame(U=sides[0], S=np.array([1.7, 0.4]), V=sides[1])
        core = like * rng.standard_normal((2, 2))
        found.append(
            (FactoredUpdate(frame=frame, core=core, exponents=exponents, orthonormal=orthonormal), scale)
        )
    return [*found, (DenseUpdate(delta=like * rng.standard_normal(site.shape)), 0.125)]


def _cast(case: Case, merged: Any) -> Any:
    """A master weight as the model computes with it, in float64."""
    if not case.name.startswith("torch"):
        return merged.astype(np.float64)
    return torch.from_numpy(merged).to(getattr(torch, case.backend.dtype)).to(torch.float64).numpy()


def test_store_without_updates_has_the_base_weights_of_the_model(case: Case) -> None:
    store, model = case.opened()
    for site in case.sites:
        merged = store.merged(site.name)
        assert merged.shape == site.shape
        assert merged.dtype == case.master
        np.testing.assert_array_equal(_cast(case, merged), model.weight(site.name))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_store_merges_updates_bit_for_bit_like_the_model(case: Case, count: int) -> None:
    store, model = case.opened()
    given = {site.name: _updates(site, 3)[:count] for site in case.sites}
    rounds = [({name: updates[i][0] for name, updates in given.items()}, i) for i in range(count)]
    scales = [updates[1] for updates in next(iter(given.values()))]
    model.assemble([(updates, scales[i]) for updates, i in rounds])
    for site in case.sites:
        merged = store.merged(site.name, given[site.name])
        assert merged.dtype == case.master
        np.testing.assert_array_equal(_cast(case, merged), model.weight(site.name))


def test_store_weights_cannot_be_changed_by_callers(case: Case) -> None:
    store, _ = case.opened()
    site = case.sites[0]
    for updates in ((), _updates(site, 3)):
        first = store.merged(site.name, updates).copy()
        found = store.merged(site.name, updates)
        if found.flags.writeable:
            found[:] = 0.0
        np.testing.assert_array_equal(store.merged(site.name, updates), first)


def test_store_has_the_directions_of_the_models_base(case: Case) -> None:
    store, model = case.opened()
    for site in case.sites:
        for count in {1, min(site.shape)}:
            _same_frame(store.directions(site.name, count), model.directions(site.name, count))
        assert store.rms_singular_value(site.name) == model.rms_singular_value(site.name)


def test_store_has_the_directions_of_the_models_merged_weights(case: Case) -> None:
    store, model = case.opened()
    given = {site.name: _updates(site, 5) for site in case.sites}
    rounds = len(next(iter(given.values())))
    model.assemble(
        [
            ({name: u[i][0] for name, u in given.items()}, given[case.sites[0].name][i][1])
            for i in range(rounds)
        ]
    )
    for site in case.sites:
        found = store.directions(site.name, min(site.shape), given[site.name])
        _same_frame(found, model.directions(site.name, min(site.shape), merged=True))
        _same_frame(store.directions(site.name, 1), model.directions(site.name, 1))


def _same_frame(one: Frame, two: Frame) -> None:
    for part in ("U", "S", "V"):
        assert getattr(one, part).dtype == getattr(two, part).dtype == np.float64
        np.testing.assert_array_equal(getattr(one, part), getattr(two, part))


def test_store_refuses_non_finite_updates(case: Case) -> None:
    store, _ = case.opened()
    site = case.sites[0]
    with pytest.raises(NonFiniteError, match=f"{site.name}: the merged weight contains NaN or Inf"):
        store.merged(site.name, _updates(site, 3, like=np.inf))


@pytest.mark.parametrize("name", BACKENDS)
def test_store_of_a_truncated_base_file_is_refused(name: str, tmp_path: Path) -> None:
    source = tiny_mlp(tmp_path)
    (file,) = source.files
    file.write_bytes(file.read_bytes()[:-5])
    sites = sites_of(source)
    with pytest.raises(UsageError, match="not a readable safetensors file"):
        BACKENDS[name].store(source, sites, no_report).merged(sites[0].name)


@pytest.mark.parametrize("name", BACKENDS)
def test_store_of_a_non_finite_base_is_refused(name: str, tmp_path: Path) -> None:
    source = tiny_mlp(tmp_path)
    tensors = load_file(source.files[0])
    tensors["layers.0.weight"][0, 0] = torch.nan
    save_file(tensors, source.files[0])
    with pytest.raises(NonFiniteError, match=r"layers\.0\.weight: the base weight contains NaN or Inf"):
        BACKENDS[name].store(source, sites_of(source), no_report).merged("layers.0.weight")


RUNS = [
    (name, adapter)
    for name in ("reference", "reference-float32", "torch", "torch-float64", "torch-bfloat16")
    for adapter in ("tinylora", "tinylora-tied", "lora-xs", "lora", "full")
]


@pytest.mark.parametrize(("name", "adapter"), RUNS)
def test_store_restores_the_recorded_update_from_recorded_values(
    name: str, adapter: str, tmp_path: Path
) -> None:
    backend = BACKENDS[name]
    use = name.partition("-")[0]
    settings = [f"backend.use={use}", f"backend.dtype={backend.dtype}", "backend.threads=1", "rounds=2"]
    text = adapter_text(adapter)
    if adapter.startswith(("tinylora", "lora-xs")):
        text += 'adapter.spectrum = "balanced"\n'
    run = toy_run(tmp_path / "toy", *settings, text=text)
    ensemble = Ensemble.open(run.path, plugins=(PLUGIN,), context=RunContext(cache=run.cache))
    origin = ensemble.origin
    for merged in origin.merged.values():
        assert merged.parametrisations.keys() == merged.updates.keys()
        for site, recorded in merged.updates.items():
            values = dict(merged.values)
            frame = recorded.frame if isinstance(recorded, FactoredUpdate) else None
            if isinstance(recorded, DenseUpdate):
                values[site] = recorded.delta
            made = origin.store.update(site, merged.parametrisations[site], frame, values)
            assert same_update(made, recorded), site
