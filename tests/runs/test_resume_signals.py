"""Processes that are killed, terminated or interrupted."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from boostlora.engine.cli.interrupts import interruptible

from ..support.commands import PATIENCE
from ..support.record_toys import (
    PLUGIN,
    ROUNDS,
    Toy,
    call,
    check_valid,
    environment,
    only_run,
    run_arguments,
    sealed,
    start,
    write_spec,
)

LONG = ("--set", "rounds=40", "--set", "basis.exhausted=wrap")
TOLD = "interrupted; every finished round is kept. Resume with: "


def command_in(message: str) -> str:
    """The command that a message ends with."""
    assert TOLD in message, message
    return message.partition(TOLD)[2].strip()


def kill_at(arguments: list[str], folder: Path, delay: float) -> bool:
    """Kill a command after a while; False if it had ended before."""
    process = start(arguments, folder)
    try:
        process.communicate(timeout=delay)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    assert process.returncode in {0, -signal.SIGKILL}
    return process.returncode != 0


def kill_in_its_rounds(home: Path, whole: list[str]) -> int:
    """Kill a run as soon as it has rounds on disk; how many it had."""
    write_spec(home)
    process = start(run_arguments(home, *LONG), home)
    until = time.monotonic() + PATIENCE
    while sum(p.read_bytes().count(b"\n") for p in home.glob("runs/*/*/rounds.jsonl")) < 2:
        assert process.poll() is None, "it had ended before"
        assert time.monotonic() < until, "no progress"
        time.sleep(0.005)
    process.kill()
    process.communicate()
    return check_valid(only_run(home), whole)


def check_kills(folder: Path, kills: int) -> None:
    """Kill runs at moments spread over a run's life, one in each stretch of it, until there were enough."""
    reference = folder / "reference"
    write_spec(reference)
    begin = time.monotonic()
    assert call(run_arguments(reference, *LONG), reference).returncode == 0
    life = time.monotonic() - begin
    whole = sealed(only_run(reference))
    rng = random.Random(0)  # noqa: S311 - moments, not secrets
    moments = [life * (k + rng.random()) / kills for k in range(kills)]
    rng.shuffle(moments)
    done, number, most = 0, 0, 0
    while done < kills:
        number += 1
        assert number <= 4 * kills, "runs keep ending before they are killed"
        home = folder / str(number)
        write_spec(home)
        ended = False
        while not ended and done < kills:
            if kill_at(run_arguments(home, *LONG), home, moments[done]):
                done += 1
            else:
                ended = True
                moments[done] *= 0.9
            for path in (p.parent for p in (home / "runs").glob("*/*/spec.toml")):
                most = max(most, check_valid(path, whole))
        answer = call(run_arguments(home, *LONG), home)
        assert answer.returncode == 0, answer.stderr
        assert sealed(only_run(home)) == whole
    if most <= 1:  # on a machine that got busier meanwhile, no moment was late enough
        most = kill_in_its_rounds(folder / "rounds", whole)
    assert most > 1  # some kill hit a run that had rounds


@pytest.mark.slow(
    reason="three or more processes of forty rounds; kills of shorter runs are in the default suite"
)
def test_run_killed_in_a_round_resumes_to_the_same_result(tmp_path):
    whole = Toy.make(tmp_path / "whole", "rounds=40", "basis.exhausted=wrap")
    whole.go("run")
    expected = sealed(whole.path("run"))
    home = tmp_path / "killed"
    assert kill_in_its_rounds(home, expected) > 1
    answer = call(run_arguments(home, *LONG), home)
    assert answer.returncode == 0, answer.stderr
    assert sealed(only_run(home)) == expected


@pytest.mark.slow(reason="some twenty processes")
def test_run_killed_ten_times_resumes_to_the_same_result(tmp_path):
    check_kills(tmp_path, 10)


SIGNALS = [
    signal.SIGINT,
    pytest.param(signal.SIGTERM, marks=pytest.mark.slow(reason="as SIGINT, in a process of its own")),
    pytest.param(
        signal.SIGHUP, marks=pytest.mark.slow(reason="as SIGINT; a closed terminal is another test")
    ),
]


@pytest.mark.parametrize("number", SIGNALS)
def test_interrupted_run_prints_the_resume_command(number, toy, tmp_path):
    write_spec(tmp_path)
    process = start(run_arguments(tmp_path, "--quiet"), tmp_path, "round 2")
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "Traceback" not in err
    whole = sealed(toy.path("whole"))
    assert check_valid(only_run(tmp_path), whole) == 3
    command = command_in(err)
    assert command == f"boostlora resume {only_run(tmp_path)} --plugin {PLUGIN}"
    answer = call(command, tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "resuming after round 2" in answer.stdout
    assert check_valid(only_run(tmp_path), whole) == ROUNDS + 1


@pytest.mark.parametrize("number", SIGNALS)
def test_run_interrupted_before_its_start_leaves_nothing(number, tmp_path):
    write_spec(tmp_path)
    process = start(run_arguments(tmp_path, "--quiet"), tmp_path, "load")
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (130, "interrupted; nothing was started\n")
    assert not (tmp_path / "runs").exists()


def test_printed_resume_command_quotes_folder_names(toy, tmp_path):
    folder = tmp_path / "it's here; $HOME"
    write_spec(folder)
    process = start(run_arguments(folder, "--quiet"), folder, "round 0")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert call(command_in(err), folder).returncode == 0
    assert sealed(only_run(folder)) == sealed(toy.path("whole"))


def test_ignored_hangup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible(lambda: "never"):
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_second_hangup_does_not_interrupt_the_shutdown():
    ended = list[bool]()

    @interruptible(lambda: "nothing was started")
    def command():
        try:
            os.kill(os.getpid(), signal.SIGHUP)
        finally:
            os.kill(os.getpid(), signal.SIGHUP)
            ended.append(True)

    with pytest.raises(SystemExit):
        command()
    assert ended


def test_signal_handlers_are_restored_after_a_command():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    with interruptible(lambda: "never"):
        assert signal.getsignal(signal.SIGHUP) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="terminals are POSIX")
def test_run_whose_terminal_is_closed_stops_and_can_be_resumed(toy, tmp_path):
    write_spec(tmp_path)
    master, terminal = os.openpty()
    code = (
        "import fcntl, os, sys, termios; "
        "fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    )
    seen = environment(tmp_path, TOY_PAUSE="round 2")
    process = subprocess.Popen(
        [sys.executable, "-c", code, *run_arguments(tmp_path)],
        cwd=tmp_path, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True, env=seen,
    )  # fmt: skip
    os.close(terminal)
    until = time.monotonic() + PATIENCE
    while sum(p.read_bytes().count(b"\n") for p in tmp_path.glob("runs/*/*/rounds.jsonl")) < 2:
        assert process.poll() is None, os.read(master, 1 << 16)
        assert time.monotonic() < until, "no progress"
        time.sleep(0.005)
    os.close(master)
    assert process.wait(PATIENCE) == 130
    answer = call(run_arguments(tmp_path), tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert sealed(only_run(tmp_path)) == sealed(toy.path("whole"))
