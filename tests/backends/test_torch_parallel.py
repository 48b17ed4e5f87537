"""A run in several processes: collectives, equality with the single process, and failures."""

import json
import os
import signal
from pathlib import Path

import pytest

from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.foundation.process_group import ProcessInfo, process_info
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec.resolve import load_spec
from boostlora.engine.testing import assert_close

from ..support.commands import PATIENCE, SCRIPT
from ..support.forked import forked, run_script
from ..support.torchrun_runs import (
    GRPO,
    IDLE,
    PLUGIN,
    SPEC,
    arguments,
    assert_same_way,
    only_run,
    run_alone,
    run_forked,
    run_together,
    together,
)

pytest.importorskip("torch", reason="the torch backend needs PyTorch")
pytest.importorskip("transformers", reason="the model is Hugging Face's")

MEETING = Path(__file__).with_name("process_group_script.py")


def test_process_group_is_read_only_from_torchruns_environment():
    torchrun = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    assert process_info(torchrun) == ProcessInfo(index=3, size=4, local_index=1, local_size=2)
    assert (
        process_info({"RANK": "3"})
        == process_info({**torchrun, "RANK": "first"})
        == process_info({})
        == ProcessInfo()
    )
    assert process_info({}).leads
    assert not process_info({}).shared


def test_three_processes_sum_in_order_and_share_errors(tmp_path):
    done = forked(3, lambda: run_script(MEETING, tmp_path), tmp_path)
    assert done.returncode == 0, done.stderr
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(3)]
    assert [one.pop("index") for one in found] == [0, 1, 2]
    assert [one.pop("rows") for one in found] == [[1], [0], []], "a process may have nothing to do"
    for rank, name in ((1, "all-reduce fails"), (2, "gather fails"), (0, "agree fails"), (1, "usage")):
        assert [one[name].pop() for one in found] == [r == rank for r in range(3)], name
    own = [one.pop("gather fails") for one in found]
    assert own[2] == ["RuntimeError", "odd"]
    assert own[0] == own[1] == ["RunError", "process 2: RuntimeError: odd"]
    assert found[0] == found[1] == found[2]
    expected = [(1e16 + 1.0) - 1e16, (1.0 + 1e-3) + 7.0]
    assert found[0]["sum"] == [x.hex() for x in expected]
    assert found[0]["half"] == [[[0.75, 0.75]], "torch.float32"]
    assert found[0]["gathered"] == [0, 1, 2]
    assert found[0]["agreed"] == "by 0"
    assert found[0]["map_groups"] == [[[0, 1], 0], [[2, 3], 1], [[4, 5], 2], [[6, 7], 0]]
    assert found[0]["none"] == []
    assert found[0]["all-reduce fails"] == ["NonFiniteError", "NaN in 1"]
    assert found[0]["agree fails"] == ["PluginError", 'task plugin "t": no']
    assert found[0]["after"] == ["still here"] * 3


def test_grpo_in_two_processes_equals_one_and_only_the_leader_judges(tmp_path):
    alone = run_alone(tmp_path, *GRPO)
    log, scratch = tmp_path / "judges", tmp_path / "scratch"
    scratch.mkdir()
    code, out, err = run_forked(tmp_path, *GRPO, CREW_LOG=str(log), TMPDIR=str(scratch))
    assert code == 0, err
    found = only_run(tmp_path / "runs")
    assert_same_way(alone, found)
    rounds = [r.rollouts for r in found.records[1:]]
    assert all(r.zero_variance < r.groups for r in rounds), "rewards that say nothing train nothing"
    assert set(log.read_text().split()) == {"0"}
    assert out.count("completed: all 2 rounds done") == 1
    assert out.count("2 processes share this run") == 1
    assert "warning" not in err
    assert found.provenance()["processes"] == 2
    assert alone.provenance()["processes"] == 1
    assert not [p for p in scratch.iterdir() if p.name.startswith("boostlora-")], "left behind"


MORE = pytest.mark.slow(reason="two processes more")


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param((), marks=MORE),
        pytest.param(IDLE, marks=MORE),
        ("backend.micro_batch=2", "merge.use=line-search"),
    ],
)
def test_supervised_run_in_two_processes_equals_the_single_process_run(settings, tmp_path):
    alone = run_alone(tmp_path, *settings)
    code, _, err = run_forked(tmp_path, *settings)
    assert code == 0, err
    assert_same_way(alone, only_run(tmp_path / "runs"))


@pytest.mark.parametrize(
    "adapter", [("adapter.use=lora", "adapter.rank=2"), pytest.param(("adapter.use=full",), marks=MORE)]
)
def test_free_factors_and_dense_updates_agree_between_processes(adapter, tmp_path):
    text = SPEC.replace("rank = 2\nu = 4\n", "")
    (tmp_path / "alone.toml").write_text(text)
    settings = (*adapter, "optimizer.lr=0.01")
    registry = Registry.load((PLUGIN,))
    spec = load_spec(str(tmp_path / "alone.toml"), registry, settings)
    alone = RunDirectory.create(tmp_path / "alone", spec)
    boost(prepare(spec), alone, registry, RunContext())
    code, _, err = run_forked(tmp_path, verb=["run", "alone.toml", "--runs", "runs", *arguments(settings)])
    assert code == 0, err
    found = only_run(tmp_path / "runs")
    for record in alone.records[1:]:
        for site, update in alone.updates(record.round).items():
            other = found.updates(record.round)[site]
            if adapter[0].endswith("full"):
                assert_close(other.delta, update.delta, atol=1e-10, what=site)
            else:  # a saddle at the start, B = 0, makes roundings grow
                (L, M), (L2, M2) = update.factors(), other.factors()
                assert_close(L2 @ M2.T, L @ M.T, atol=1e-8, what=site)


@pytest.mark.slow(reason="several processes, each of which imports torch and transformers")
def test_same_process_count_gives_the_same_bits_after_an_interruption(tmp_path):
    for name in ("whole", "half"):
        (tmp_path / name).mkdir()
    assert run_forked(tmp_path / "whole", *GRPO).returncode == 0
    whole = only_run(tmp_path / "whole" / "runs")
    half = tmp_path / "half"
    (half / "sums.toml").write_text(SPEC)
    words = ["--no-python", SCRIPT, "run", "sums.toml", "--runs", "runs", "--plugin", PLUGIN, "-q"]
    process = together(2, [*words, *arguments(GRPO)], half, CREW_FAULT="pause")
    assert process.stdout.readline() == "paused\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert (
        err.count("interrupted; every finished round is kept. Resume with: boostlora resume runs/sums/") == 1
    )
    path = only_run(half / "runs").path
    assert len(only_run(half / "runs").records) == 2
    code, _, err = run_together(half, verb=["resume", path.relative_to(half)])
    assert code == 0, err
    assert only_run(half / "runs").digest == whole.digest
    code, out, err = run_forked(half, *GRPO)
    assert (code, out.count("nothing to do")) == (0, 1), err
    code, _, err = run_forked(half, *GRPO, verb=["run", "sums.toml", "--runs", "runs", "--fresh"])
    assert code == 0, err
    assert len(list((half / "runs" / "sums").iterdir())) == 2


@pytest.mark.slow(reason="several processes, each of which imports torch and transformers")
def test_diverged_processes_are_reported_and_the_round_is_discarded(tmp_path):
    code, _, err = run_together(tmp_path, "sampler.use=wayward", CREW_FAULT="wayward")
    assert code == 1
    told = err.count("error: process 1 diverged in round 2: selected is 9, but 8 in process 0")
    assert told in {1, 2}, err  # once, unless torchrun takes longer than a process waits before it prints too
    assert "exitcode  : 3" in err
    assert "Resume with: boostlora resume" in err
    assert len(only_run(tmp_path / "runs").records) == 2


@pytest.mark.slow(reason="several processes, each of which imports torch and transformers")
def test_error_in_one_process_ends_all_and_is_reported_once(tmp_path):
    code, _, err = run_together(tmp_path, "objective.use=frail", CREW_FAULT="frail")
    message = 'process 1: error: objective plugin "frail": raised OSError: my disk is gone'
    assert (code, err.count(message)) == (1, 1), err
    assert "exitcode  : 3" in err
    assert err.count("Traceback") == 1, "torchrun's own"


@MORE
def test_error_in_the_judging_process_ends_all(tmp_path):
    code, _, err = run_forked(tmp_path, "objective.use=frail", CREW_FAULT="judge")
    message = (
        'error: task plugin "weighed": raised ZeroDivisionError: no verdict (torchrun_plugin.py:28, in judge)'
    )
    assert (code, err.splitlines()) == (3, [message, f"process 1: {message}"])


@pytest.mark.slow(reason="several processes, each of which imports torch and transformers")
def test_killed_process_is_reported_with_how_to_resume(tmp_path):
    (tmp_path / "sums.toml").write_text(SPEC)
    words = ["--no-python", SCRIPT, "run", "sums.toml", "--runs", "runs", "--plugin", PLUGIN, "-q"]
    process = together(2, words, tmp_path, CREW_FAULT="pause")
    assert process.stdout.readline() == "paused\n"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ranks = {
        child: dict(
            x.split(b"=", 1) for x in Path(f"/proc/{child}/environ").read_bytes().split(b"\0") if b"=" in x
        )
        for child in children
    }
    (second,) = (int(child) for child, env in ranks.items() if env.get(b"RANK") == b"1")
    os.kill(second, signal.SIGKILL)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "every finished round is kept. Resume with: boostlora resume" in err


@pytest.mark.slow(reason="several processes, each of which imports torch and transformers")
def test_unsupported_work_in_many_processes_is_refused_or_left_to_the_leader(tmp_path):
    code, _, err = run_together(tmp_path, "backend.use=reference")
    assert (code, err.count("backend reference computes in one")) == (1, 1), err
    assert "exitcode  : 2" in err
    for settings, verb, message in (
        ((), ["ablate", "sums.toml"], "boostlora ablate does not run under torchrun"),
        ((), ["verify", "sums.toml"], "boostlora verify does not run under torchrun"),
        (("rounds=none",), None, "expected a whole number"),
    ):
        code, _, err = run_forked(tmp_path, *settings, verb=verb)
        assert (code, err.count(message)) == (2, 2), err  # torchrun ends the others before they tell
    code, out, err = run_forked(tmp_path, verb=["check", "sums.toml"])
    assert (code, out.count(": valid\n")) == (0, 1), err
