"""The sandbox proves that it holds before it is used, and is not talked out of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from boostlora.engine.errors import RunError, UsageError
from boostlora.plugins.tasks._code.sandbox import (
    OVERRIDE,
    Program,
    Sandbox,
    confinement,
    probes,
    processes,
    sandbox,
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="programs are confined on Linux only")
PROGRAM = Program(source="import os\ndef f(): return os.getpid()", tests="assert f() > 1", entry_point="f")


@pytest.fixture
def unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_PROVEN", {})


@linux
def test_description_has_the_confinement_in_json_types() -> None:
    described = Sandbox().describe()
    assert json.loads(json.dumps(described)) == described
    assert described["confined"] is described["seccomp"] is True
    assert described["landlock"] >= 1
    assert described["unconfined"] is False
    assert described["limits"]["seconds"] == 3.0


@linux
def test_check_is_made_once_a_process(unproven: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[int]()
    real = probes.attempt
    monkeypatch.setattr(probes, "attempt", lambda judge: made.append(1) or real(judge))
    for _ in range(3):
        Sandbox().check()
    assert made == [1]


@linux
def test_check_refuses_and_names_probes_that_succeed(unproven: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the confinement off behind its back: the probes themselves must notice."""
    real = processes.judge

    def open_door(program: Program, limits: object, plan: dict[str, object], *rest: object) -> object:
        return real(program, limits, {**plan, "unconfined": True}, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(sandbox, "judge", open_door)
    with pytest.raises(
        UsageError, match="the confinement is not effective here: got through: write_file"
    ) as told:
        Sandbox().check()
    message = str(told.value)
    for probe in (
        "change_permissions",
        "read_file",
        "connect",
        "make_socket",
        "fork",
        "run_program",
        "start_thread",
        "signal_parent",
        "replace_process",
    ):
        assert probe in message
    assert "a file was written or removed" in message
    assert "a connection arrived" in message
    assert f"{OVERRIDE}=1" in message


@linux
def test_check_without_landlock_refuses_and_names_the_remedy(
    unproven: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> object:
        raise RunError("sandbox: Landlock: Function not implemented")

    monkeypatch.setattr(sandbox, "judge", none)
    with pytest.raises(UsageError, match=r"Landlock: Function not implemented.*Linux 5\.13 or later"):
        Sandbox().judge(PROGRAM)


@linux
def test_program_is_not_run_without_confinement(tmp_path: Path) -> None:
    """Inside a filter that forbids Landlock's system calls, as a container's may."""
    script = tmp_path / "inside_a_filter.py"
    script.write_text(
        """
import ctypes, struct
from boostlora.engine.errors import UsageError
from boostlora.plugins.tasks._code.sandbox import Program, Sandbox, kernel
# Landlock's system calls, 444 to 446, answer "not implemented"; the others are allowed.
code = [(0x20, 0, 0, 0), *((0x15, 0, 1, n) if i else (0x06, 0, 0, 0x50026) for n in (444, 445, 446) for i in (1, 0)), (0x06, 0, 0, 0x7FFF0000)]
data = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.c_void_p)]
kernel.prctl(38, 1)
kernel.prctl(22, 2, ctypes.byref(Filter(len(code), ctypes.addressof(data))))
try:
    Sandbox().check()
except UsageError as error:
    print(error)
"""
    )
    told = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True).stdout
    assert told.startswith("sandbox: Landlock: Function not implemented; generated programs are not run here")


def test_override_needs_both_the_option_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OVERRIDE, raising=False)
    with pytest.raises(UsageError, match=f"also set {OVERRIDE}=1 in the environment"):
        Sandbox(unconfined=True).judge(PROGRAM)
    monkeypatch.setenv(OVERRIDE, "1")
    assert Sandbox(unconfined=True).judge(PROGRAM).passed
    assert Sandbox(unconfined=True).describe()["confined"] is False


@linux
def test_environment_variable_alone_does_not_disable_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OVERRIDE, "1")
    reads = Program(source="def f(): return open('/etc/passwd').read()", tests="f()", entry_point="f")
    assert Sandbox().judge(reads).message.startswith("PermissionError")
    assert Sandbox(unconfined=True).judge(reads).passed


def test_other_operating_systems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="run only on Linux, not on darwin"):
        Sandbox().check()


def test_limits_are_never_raised() -> None:
    import resource

    code = (
        "import resource; from boostlora.plugins.tasks._code.sandbox.confinement import limit_all; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (50, 60)); limit_all({'NOFILE': (70, 80)}); "
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "(60, 60)"
    assert set(confinement.NOTHING) <= {name.removeprefix("RLIMIT_") for name in dir(resource)}


@linux
@pytest.mark.skipif(os.geteuid() != 0 or not os.access("/usr", os.R_OK), reason="only root can become nobody")
def test_sandbox_is_effective_for_the_user_nobody(tmp_path: Path) -> None:
    """The whole check, and a program, in a process that gave up root first."""
    code = (
        "import os; from boostlora.plugins.tasks._code.sandbox import *; from boostlora.engine.errors import UsageError\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"print(Sandbox().judge(Program(source={PROGRAM.source!r}, tests={PROGRAM.tests!r}, entry_point='f')).status)"
    )
    readable = (
        subprocess.run([sys.executable, "-c", "pass"], user=65534, group=65534, check=False, cwd="/")
        if _anybody()
        else None
    )
    if readable is None or readable.returncode != 0:
        pytest.skip(f"nobody may not run {sys.executable}")
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "passed"


def _anybody() -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in Path(sys.executable).resolve().parents)
