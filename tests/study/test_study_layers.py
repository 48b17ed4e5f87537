"""Studies under `--set`, over specs and studies that they extend, and handed to the wrong command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from boostlora.engine.errors import UsageError
from boostlora.engine.registry import Registry
from boostlora.engine.spec import SpecError
from boostlora.engine.study.study_loader import Study, load_study

Read = Callable[..., Study]
Command = Callable[..., "subprocess.CompletedProcess[str]"]

PLAIN = 'rounds = 2\nseed = 3\ntask.use = "digits"\nmodel.use = "mlp"\nmodel.hidden = [8]\n'
BASES = 'seeds = 1\ngrid."basis.use" = ["rotate"]\n'


def arms(study: Study) -> list[str]:
    return [arm.label for arm in study.record.arms]


def test_set_of_seeds_replaces_them(read_study: Read) -> None:
    assert read_study(BASES, "ablate.seeds=3").record.seeds == (0, 1, 2)


def test_set_of_the_seed_changes_the_first_seed(read_study: Read) -> None:
    assert read_study("seeds = 2\n", "seed=7").record.seeds == (7, 8)


@pytest.mark.parametrize("key", ['ablate.grid."basis.use"', "ablate.grid.basis.use"])
def test_set_of_a_grid_replaces_it_in_any_notation(read_study: Read, key: str) -> None:
    assert arms(read_study(BASES, f'{key}=["fixed", "random"]')) == ["fixed", "random"]


def test_set_of_a_wrong_value_is_a_fault_of_the_command_line(read_study: Read) -> None:
    with pytest.raises(SpecError) as caught:
        read_study(BASES, 'ablate.grid."basis.use"=["fixd"]')
    assert [(f.position(), f.message) for f in caught.value.faults] == [
        ("--set:1:26", 'unknown basis plugin "fixd"')
    ]


def test_set_of_a_key_that_varies_is_overridden_by_the_grid(read_study: Read) -> None:
    assert [c.spec.slots["basis"].use for c in read_study(BASES, "basis.use=fixed").cells] == ["rotate"]


def test_set_of_the_executor_drops_options_of_the_old_one(read_study: Read) -> None:
    text = BASES + 'executor.use = "local"\nexecutor.threads = 2\n'
    record = read_study(text, "ablate.executor.use=slurm").record
    assert record.executor == "slurm"
    assert "threads" not in record.executor_options


def test_set_of_the_executor_keeps_options_that_it_has_too(read_study: Read) -> None:
    record = read_study(BASES + "executor.workers = 2\n", "ablate.executor.use=ray").record
    assert record.executor_options["workers"] == 2


def test_option_of_another_executor_is_a_fault(read_study: Read) -> None:
    with pytest.raises(SpecError, match='unknown key "threads"'):
        read_study(BASES, "ablate.executor.use=slurm", "ablate.executor.threads=2")


@pytest.fixture
def family(tmp_path: Path) -> Path:
    """A plain spec, a study of it, a study of that study."""
    (tmp_path / "plain.toml").write_text(PLAIN)
    (tmp_path / "parent.toml").write_text('extends = "plain.toml"\n[ablate]\n' + BASES)
    child = 'extends = "parent.toml"\nrounds = 1\n[ablate]\nseeds = [8]\ngrid.basis.use = ["fixed"]\ngrid."adapter.rank" = [2]\n'
    (tmp_path / "child.toml").write_text(child)
    return tmp_path


def test_study_that_extends_a_plain_spec_varies_it(family: Path, registry: Registry, runs: Path) -> None:
    study = load_study(family / "parent.toml", registry, runs)
    assert [(c.record.label, c.spec.rounds) for c in study.cells] == [("rotate · seed 3", 2)]
    assert study.record.name == "parent"


def test_study_that_extends_a_study_joins_their_tables(family: Path, registry: Registry, runs: Path) -> None:
    study = load_study(family / "child.toml", registry, runs)
    assert [(c.record.label, c.spec.rounds) for c in study.cells] == [("fixed, rank=2 · seed 8", 1)]


def test_plain_spec_is_no_study(family: Path, registry: Registry, runs: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_study(family / "plain.toml", registry, runs)
    assert str(caught.value).endswith(
        f"plain.toml: not a study: it has no [ablate] table; run it with: boostlora run {family / 'plain.toml'}"
    )


def test_wrong_command_is_refused_and_names_the_right_one(family: Path, boostlora: Command) -> None:
    done = boostlora("ablate", "plain.toml", cwd=family)
    assert (done.returncode, done.stdout) == (2, "")
    assert "run it with: boostlora run plain.toml" in done.stderr
    done = boostlora("run", "child.toml", cwd=family)
    assert (done.returncode, done.stdout) == (2, "")
    assert "[ablate] makes this a study of many runs" in done.stderr
    assert "run it with: boostlora ablate child.toml" in done.stderr
    assert not (family / "runs").exists()


def test_check_of_a_study_lists_the_cells_of_the_record(family: Path, boostlora: Command) -> None:
    done = boostlora("check", "parent.toml", "--json", "--set", "ablate.seeds=2", cwd=family)
    assert done.returncode == 0, done.stderr
    assert [cell["seed"] for cell in json.loads(done.stdout)["cells"]] == [3, 4]
