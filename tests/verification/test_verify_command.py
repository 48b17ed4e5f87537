"""`boostlora verify` as users call it: exit codes, what it prints, what it refuses."""

import json
from pathlib import Path

import pytest

REFERENCE = ("--backend", "reference")
FAULTY = '''
import attrs
from tests.verification.broken_backends import Candidate, NeverMerged
from boostlora.backends.reference.backend import Reference
from boostlora.engine.hookspecs import hookimpl

@attrs.frozen(kw_only=True)
class Faulty:
    """The reference, which forgets to merge."""
    dtype: str = "float64"
    architectures = Reference.architectures
    rules = Reference.rules
    itemsize = 8
    def check(self): pass
    def open(self, source, sites, *report):
        return Candidate(right=Reference(), fault=NeverMerged, dtype="float64").open(source, sites)

@hookimpl
def register_backends(register):
    register("faulty", Faulty)
'''


@pytest.fixture
def faulty(tmp_path):
    """Options that load a backend with a fault, and make it the candidate."""
    (tmp_path / "faulty.py").write_text(FAULTY)
    return ["--plugin", "faulty.py", "--backend", "faulty"]


@pytest.fixture
def run(boostlora, small):
    """The folder of a small run, made by the reference."""
    return boostlora("run", "paper/digits", *small, "--quiet").stdout.strip()


def test_verify_of_a_correct_backend_passes_with_a_row_per_quantity(boostlora, small):
    done = boostlora(
        "verify", "paper/digits", *small, *REFERENCE, "--set", "backend.dtype=float32", "--rounds", "1"
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "paper-digits · reference (float32) against the reference in float64"
    assert lines[1].startswith("float32: |c - t| <= 10 |y - t| + 16 u max|t|")
    assert lines[2] == "limit: at most 1 round"
    assert lines[4].split() == ["quantity", "ratio", "error", "allowed", "worst", "at", "verdict"]
    assert sum(" passed" in line for line in lines) == 15
    assert lines[-1] == "passed: no deviation in 1 round"


def test_verify_of_a_faulty_backend_exits_with_4_and_names_the_first_deviation(boostlora, small, faulty):
    done = boostlora("verify", "paper/digits", *small, *faulty)
    assert done.returncode == 4
    assert done.stderr == ""
    last = done.stdout.splitlines()[-1]
    assert last.startswith("first deviation in round 1, layers.0.weight: merged weight: off by ")
    assert ", allowed " in last
    assert "deviates in 2 of 2 rounds" in done.stdout


def test_verify_quiet_prints_only_the_deviation(boostlora, small, faulty):
    passed = boostlora("verify", "paper/digits", *small, *REFERENCE, "--quiet")
    assert (passed.returncode, passed.stdout, passed.stderr) == (0, "", "")
    departed = boostlora("verify", "paper/digits", *small, *faulty, "--quiet")
    assert (departed.returncode, departed.stdout) == (4, "")
    assert departed.stderr.startswith("error: first deviation in round 1, layers.0.weight: merged weight")


def test_verify_as_json_has_everything(boostlora, small, faulty):
    done = boostlora("verify", "paper/digits", *small, *faulty, "--json")
    assert done.returncode == 4
    content = json.loads(done.stdout)
    assert content["passed"] is False
    assert content["first_departure"]["quantity"] == "merged weight"
    assert content["first_departure"]["where"] == "layers.0.weight"
    assert content["first_departure"]["ratio"] > 1
    assert {"round", "where", "step", "error", "allowed", "ratio", "undefined", "excused"} <= set(
        content["findings"][0]
    )
    assert {f["round"] for f in content["findings"]} == {1, 2}


def test_verify_of_a_run_compares_what_was_recorded(boostlora, run):
    for name in (run, Path(run).name[:8]):
        done = boostlora("verify", name, *REFERENCE)
        assert (done.returncode, done.stderr) == (0, "")
        for quantity in ("recorded frames", "recorded update", "recorded loss", "recorded predictions"):
            assert f"\n{quantity} " in done.stdout
        assert done.stdout.splitlines()[-1] == "passed: no deviation in 2 rounds"


def test_verify_of_a_run_by_a_faulty_backend_finds_the_fault_in_the_record(boostlora, small, faulty):
    made = boostlora("run", "paper/digits", *small, *faulty[:2], "--set", "backend.use=faulty", "--quiet")
    done = boostlora("verify", made.stdout.strip(), *faulty[:2], *REFERENCE, "--json")
    assert done.returncode == 4
    first = json.loads(done.stdout)["first_departure"]
    assert (first["round"], first["quantity"]) == (1, "recorded loss")


def test_verify_of_a_run_refuses_settings_of_another_experiment(boostlora, run):
    done = boostlora("verify", run, "--steps", "2", "--set", "optimizer.lr=1.0")
    assert done.returncode == 2
    assert "error: --steps, --set optimizer.lr=1.0: a replay only takes --rounds" in done.stderr
    assert f"boostlora verify {run}/spec.toml" in done.stderr


def test_verify_of_a_run_whose_file_was_altered_is_refused(boostlora, run, tmp_path):
    file = tmp_path / run / "updates" / "0001.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    done = boostlora("verify", run, *REFERENCE)
    assert done.returncode == 3
    assert "updates/0001.safetensors" in done.stderr


def test_verify_of_neither_spec_nor_run_is_refused(boostlora):
    done = boostlora("verify", "quikstart")
    assert done.returncode == 2
    assert 'no spec "quikstart"' in done.stderr
    assert 'no run "quikstart"' in done.stderr


def test_verify_of_fewer_layers_of_a_model_without_any_is_refused(boostlora, small):
    done = boostlora("verify", "paper/digits", *small, *REFERENCE, "--layers", "1")
    assert done.returncode == 2
    assert done.stderr == (
        "error: cannot be verified: --layers: model mlp (mlp) cannot be truncated; that requires a Hugging Face configuration "
        "with num_hidden_layers\n"
    )


def test_verify_of_an_unknown_backend_is_refused(boostlora):
    done = boostlora("verify", "paper/digits", "--backend", "jax")
    assert done.returncode == 2
    assert 'unknown backend plugin "jax"' in done.stderr


def test_verify_takes_torch_where_the_spec_names_the_reference(boostlora, small):
    pytest.importorskip("torch", reason="the default candidate is the torch backend")
    for dtype in ("float64", "float32"):
        options = ("--set", f"backend.dtype={dtype}", "--set", "backend.device=cpu")
        done = boostlora("verify", "paper/digits", *small, *options)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"torch ({dtype}) against the reference" in done.stdout
