"""The specs that come with the package: listed, printed, and valid."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from boostlora.engine.boosting.workload import ACCELERATORS, Workload
from boostlora.engine.cli.workloads import CLASSES, seconds_by_class
from boostlora.engine.registry import Registry
from boostlora.engine.study.scheduler import plans_of
from boostlora.engine.study.study_loader import load_study

from ..support.commands import Command
from ..support.places import ROOT
from ..support.real_files import real_data
from ..support.shared import Shared
from ..support.stand_ins import HUB, PAPER, model_of, settings, write_data, write_model

Hollow = Mapping[str, "Path | None"]

SPECS = ROOT / "specs"
SHIPPED = [
    str(p.relative_to(SPECS).with_suffix(""))
    for p in (*sorted(SPECS.glob("*.toml")), *sorted(SPECS.glob("*/*.toml")))
    if not p.name.startswith("_")
]
SINGLE = [spec for spec in SHIPPED if spec not in HUB]
ARMS = (
    "boosted",
    "TinyLoRA, one shot, a round's parameters",
    "TinyLoRA, one shot, as many parameters in all",
    "LoRA-XS, one shot",
    "LoRA of rank 16, one shot",
    "full fine-tuning",
    "chain of LoRA",
    "ReLoRA",
)
"""What every experiment of the paper compares, beside the untrained model."""
QWEN_NUMBERS = 3_085_938_688
"""Numbers in Qwen2.5-3B-Instruct, as its model card has them: 3.09 billion."""


@pytest.fixture(scope="session")
def tiny(shared: Shared) -> Path:
    """Made-up data in the real files' form."""
    return shared.made("tiny-data", write_data)


@pytest.fixture(scope="session")
def hollow(shared: Shared, shared_cache: Path) -> Hollow:
    """Models of the real shapes without a number in them, by kind."""
    pytest.importorskip("torch", reason="needs PyTorch")
    pytest.importorskip("transformers", reason="needs transformers")
    found = {
        kind: shared.made(f"hollow-{kind}", lambda folder, kind=kind: write_model(kind, folder, shared_cache))
        for kind in ("qwen", "smol", "esm")
    }
    return found | {"": None}


@pytest.mark.parametrize("spec", SINGLE)
def test_every_shipped_spec_passes_check(boostlora: Command, spec: str) -> None:
    done = boostlora("check", spec)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("spec", PAPER)
def test_every_spec_of_the_paper_passes_check(
    boostlora: Command, tiny: Path, hollow: Hollow, spec: str
) -> None:
    given = settings(spec, tiny, hollow[model_of(spec)])
    code, out, err = boostlora("check", spec, *given)
    assert (code, err) == (0, "")
    assert f"{spec.replace('/', '-')} · study" in out
    assert all(arm in out for arm in (*ARMS, "linear probe" if "protein" in spec else "zero-shot"))
    assert "9 arms" in out


def test_spec_of_smollm2_passes_check(boostlora: Command, tiny: Path, hollow: Hollow) -> None:
    code, out, err = boostlora("check", "smollm2", *settings("smollm2", tiny, hollow[model_of("smollm2")]))
    assert (code, err) == (0, "")
    assert "70 sites" in out


@pytest.mark.slow(reason="reads the real data of every experiment")
@pytest.mark.parametrize("spec", PAPER)
def test_every_spec_of_the_paper_passes_check_with_the_real_data(
    boostlora: Command, hollow: Hollow, tmp_path: Path, spec: str
) -> None:
    (tmp_path / "data").mkdir()
    data = real_data(tmp_path / "data")
    if data is None:
        pytest.skip("the paper's data are not beside the checkout (shared/data)")
    given = settings(spec, data, hollow[model_of(spec)])
    code, _, err = boostlora("check", spec, *given)
    assert (code, err) == (0, "")


def test_paper_gsm8k_trains_twelve_parameters_a_round_at_all_252_matrices(
    boostlora: Command, tiny: Path, hollow: Hollow, tmp_path: Path
) -> None:
    given = settings("paper/gsm8k", tiny, hollow["qwen"])
    study = load_study("paper/gsm8k", Registry.load(), tmp_path, given[1::2])
    boosted = next(cell.record.key for cell in study.cells if cell.record.arm == "boosted")
    ((place, plan),) = plans_of(study, {boosted}).items()
    assert place == ("", "boosted")
    assert (len(plan.sites), plan.parameters, plan.rounds) == (252, 12, 16)
    assert plan.weight_bytes == 2 * QWEN_NUMBERS
    assert plan.workload is not None
    assert plan.workload.trained > plan.workload.generated > 0
    code, out, err = boostlora("check", "paper/gsm8k", "--json", *given)
    assert (code, err) == (0, "")
    content = json.loads(out)
    numbers = {arm["arm"]: (arm["parameters"], arm["rounds"]) for arm in content["arms"]}
    assert numbers["boosted"] == (12, 16)
    assert numbers["zero-shot"] == (12, 0)
    assert numbers["TinyLoRA, one shot, as many parameters in all"] == (12 * 16, 1)
    seconds = content["cost"]["gpu_seconds"]
    assert set(seconds) == set(ACCELERATORS)
    assert min(seconds.values()) == seconds["h100"] > plan.workload.seconds_of("h100") > 0.0


def test_paper_protein_binding_adapts_every_matrix_of_the_encoder(
    tiny: Path, hollow: Hollow, tmp_path: Path
) -> None:
    given = settings("paper/protein-binding", tiny, hollow["esm"])
    study = load_study("paper/protein-binding", Registry.load(), tmp_path, given[1::2])
    boosted = next(cell.record.key for cell in study.cells if cell.record.arm == "boosted")
    (plan,) = plans_of(study, {boosted}).values()
    assert (len(plan.sites), plan.parameters) == (33 * 6, 33 * 6 * 4)
    assert plan.workload is not None
    assert plan.workload.generated == 0


def test_check_json_estimates_seconds_by_accelerator_class() -> None:
    work = Workload(
        read=1, generated=1, trained=1, calibrated=1, operations=1e15, moved_bytes=1e12, activation_bytes=1
    )
    assert tuple(ACCELERATORS) == CLASSES
    assert seconds_by_class(work) == {gpu: work.seconds_of(gpu) for gpu in ACCELERATORS}


def test_every_shipped_spec_with_a_hub_id_is_tested() -> None:
    """A spec that names an `owner/name` needs settings here, else no test can check it without a network."""
    hub = re.compile(r'^(path|dataset) = "[\w.-]+/[\w.-]+"', re.MULTILINE)
    named = {spec for spec in SHIPPED if hub.search((SPECS / f"{spec}.toml").read_text())}
    assert {"paper/mbpp", "paper/protein-binding"} <= named  # the search finds what it should
    assert named <= set(HUB) <= set(SHIPPED)


def test_specs_json_lists_all_shipped_specs(boostlora: Command) -> None:
    assert [spec["name"] for spec in json.loads(boostlora("specs", "--json").stdout)] == SHIPPED


def test_specs_lists_and_prints_shipped_specs(boostlora: Command) -> None:
    lines = boostlora("specs").stdout.splitlines()
    assert [line.split()[0] for line in lines] == SHIPPED
    assert all(len(line.split()) > 1 for line in lines)  # each says what it is
    assert 'use = "gradient"' in boostlora("specs", "quickstart").stdout
