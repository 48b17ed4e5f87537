"""Two processes per program, one confined and one that runs the tests, and the time limits of both."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

import attrs

from .....engine.errors import RunError
from .....engine.foundation.options import shortened
from .plain import MalformedError, decode, encode
from .programs import Limits, Program, Verdict
from .survey import ENVIRONMENT, command
from .wire import ClosedError, FloodedError, receive

_LOOK = 0.02
"""Seconds between two checks of the time limits."""

State = Mapping[str, Any]

MESSAGE = 400
"""Maximum characters of a verdict's message."""


class CancelledError(Exception):
    """The verdict is no longer needed."""


@attrs.define
class Child:
    """A child process in its own session."""

    process: subprocess.Popen[bytes]
    seconds: float = 0.0
    """CPU time at the last check."""

    @classmethod
    def start(cls, arguments: list[str], fds: tuple[int, ...], stdin: int) -> Child:
        """Start a process with the fixed environment and only these descriptors; its output is discarded."""
        return cls(
            subprocess.Popen(  # noqa: S603 - this interpreter
                arguments,
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=dict(ENVIRONMENT),
                cwd="/",
                pass_fds=fds,
                start_new_session=True,
            )
        )

    def look(self) -> float:
        """CPU seconds so far."""
        # clock_getcpuclockid(3): the CPU clock of another process
        with suppress(OSError):
            self.seconds = time.clock_gettime((~self.process.pid << 3) | 2)
        return self.seconds

    def end(self, patience: float = 0.0) -> int:
        """Wait `patience` seconds for it to end, then kill its process group. Returns the exit code, as in `subprocess`."""
        if self.process.returncode is None:
            until = time.monotonic() + patience
            while time.monotonic() < until and not self._ended():
                time.sleep(0.001)
            # Killed before it is reaped: until then, no other process can have its id.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def _ended(self) -> bool:
        """Whether it has ended; it stays a zombie."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def judge(
    program: Program, limits: Limits, plan: Mapping[str, Any], cancelled: Callable[[], bool] = lambda: False
) -> tuple[Verdict, State]:
    """The verdict, and the confinement in force. Raises `RunError` if the program cannot be confined or the tests do not compile."""
    started = time.monotonic()
    with ExitStack() as stack:
        (to_program, ask), (answers, from_program), (verdicts, say) = ends = [os.pipe() for _ in range(3)]
        held = {fd for pair in ends for fd in pair}
        stack.callback(lambda: [os.close(fd) for fd in held])
        inside = Child.start(
            command("inside", to_program, from_program, os.getpid()),
            (to_program, from_program),
            subprocess.DEVNULL,
        )
        stack.callback(inside.end)
        outside = Child.start(
            command("outside", answers, ask, say, os.getpid()), (answers, ask, say), subprocess.PIPE
        )
        stack.callback(outside.end)
        for fd in held - {verdicts}:
            os.close(fd)
        held.intersection_update({verdicts})
        _hand_over(outside, program, plan)
        late = _wait(verdicts, inside, outside, limits=limits, started=started, cancelled=cancelled)
        if late:
            return Verdict(status="timed-out", message=late, seconds=time.monotonic() - started), {}
        status, message, state = _read(verdicts, inside, outside, limits)
    if status in {"refused", "broken"}:
        raise RunError(f"sandbox: {message or 'the confined process ended before it was confined'}")
    # The message may come from the program, so control characters are escaped.
    verdict = Verdict(status=status, message=shortened(message, MESSAGE), seconds=time.monotonic() - started)
    return verdict, state or {}


def _hand_over(outside: Child, program: Program, plan: Mapping[str, Any]) -> None:
    job = {"plan": dict(plan), **attrs.asdict(program)}
    data = encode(job, _nothing, 1 << 28)
    pipe = outside.process.stdin
    assert pipe is not None
    # If the process has died already, its verdict is missing.
    with suppress(BrokenPipeError):
        pipe.write(len(data).to_bytes(4, "big") + data)
        pipe.flush()
    with suppress(BrokenPipeError):
        pipe.close()


def _wait(
    verdicts: int,
    inside: Child,
    outside: Child,
    *,
    limits: Limits,
    started: float,
    cancelled: Callable[[], bool],
) -> str:
    """Wait for the verdict or the end of its process (""), or for a time limit (its message)."""
    while not select.select([verdicts], [], [], _LOOK)[0]:
        if cancelled():
            raise CancelledError
        if inside.look() > limits.seconds:
            return f"the program ran for more than {limits.seconds:g} s"
        if outside.look() > limits.seconds:
            return f"the tests ran for more than {limits.seconds:g} s on its answers"
        if time.monotonic() - started > limits.wall_seconds:
            return f"no verdict after {limits.wall_seconds:g} s of wall-clock time"
    return ""


def _read(verdicts: int, inside: Child, outside: Child, limits: Limits) -> tuple[Any, str, Any]:
    try:
        status, message, state = decode(receive(verdicts, 1 << 21), _nothing)
    except (ClosedError, FloodedError, MalformedError):
        code = outside.end(patience=1.0)
        if code == -signal.SIGXCPU:
            return "timed-out", f"the tests ran for more than {limits.seconds:g} s on its answers", {}
        return "killed", f"the test process ended on its answers ({_how(code)})", {}
    if status != "ended":
        return status, message, state
    code = inside.end(patience=1.0)
    if state is None:
        return "refused", f"the confined process did not start ({_how(code)})", None
    if code == -signal.SIGXCPU or inside.seconds > limits.seconds:
        return "timed-out", f"the program ran for more than {limits.seconds:g} s", state
    return ("error" if code >= 0 else "killed"), f"the program ended its process ({_how(code)})", state


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _nothing(*_: Any) -> Any:
    raise MalformedError("only plain data here")
