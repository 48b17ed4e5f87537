"""The corpus of hostile programs, and what they leave behind where they succeed."""

from __future__ import annotations

import ast
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import attrs

from boostlora.plugins.tasks._code import sandbox
from boostlora.plugins.tasks._code.sandbox import Program, Verdict

TEMPORARY = "/tmp"  # noqa: S108 - what the programs write to

PREAMBLE = """
import ctypes, os, signal, socket, stat, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)

def exists(fd):
    try: os.fstat(fd)
    except OSError: return False
    return True

def call(x86, arm, *arguments):
    number = {"x86_64": x86, "aarch64": arm}[os.uname().machine]
    return libc.syscall(ctypes.c_long(number), *arguments)

def map_memory(protection):
    libc.mmap.restype = ctypes.c_void_p
    where = libc.mmap(None, ctypes.c_size_t(4096), protection, 0x22, -1, ctypes.c_long(0))
    return None if where in (None, ctypes.c_void_p(-1).value) else where

"""

# The victim writes down the signal it was sent, and says so by its exit code.
_VICTIM = "import signal, sys; signal.signal(signal.SIGUSR1, lambda *a: sys.exit(77)); print(flush=True); signal.pause()"


def sources(text: str) -> dict[str, str]:
    """The functions of a corpus by name."""
    return {
        node.name: ast.get_source_segment(text, node) or ""
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef)
    }


@attrs.define
class Surroundings:
    """Everything a hostile program may be after, and whether it got at it."""

    folder: Path
    token: str
    secret: str
    listener: socket.socket
    datagrams: socket.socket
    local: socket.socket
    abstract: socket.socket
    victim: subprocess.Popen[str]
    before: list[tuple[str, int, int, bytes]] = attrs.field(factory=list)

    @classmethod
    @contextmanager
    def build(cls, folder: Path) -> Generator[Surroundings]:
        """A folder open to everybody with a secret in it, listeners on every kind of address, a process to be killed."""
        token, secret = "hostile-" + secrets.token_hex(4), secrets.token_hex(16)
        (folder / "empty").mkdir()
        (folder / "secret").write_text(secret)
        (folder / "planted.py").write_text("here = True")
        for path in (folder, folder / "empty", folder / "secret", folder / "planted.py"):
            path.chmod(0o777)
        with ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            datagrams.bind(("127.0.0.1", 0))
            local, abstract = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
            local.bind(f"{TEMPORARY}/{token}.socket")
            stack.callback(os.unlink, f"{TEMPORARY}/{token}.socket")
            abstract.bind("\0" + token)
            for waiting in (local, abstract):
                waiting.listen()
            for each in (listener, datagrams, local, abstract):
                each.setblocking(False)
            victim = subprocess.Popen(
                [sys.executable, "-S", "-c", _VICTIM], stdout=subprocess.PIPE, text=True
            )
            stack.callback(_end, victim)
            assert victim.stdout is not None
            victim.stdout.readline()
            made = cls(folder, token, secret, listener, datagrams, local, abstract, victim)
            made.before = made.snapshot()
            try:
                yield made
            finally:
                for path in made.strays():
                    path.unlink()

    def program(self, source: str, name: str) -> Program:
        """One attack; its claim, if it makes one, is in the verdict's message."""
        return Program(
            source=self.values() + PREAMBLE + source,
            tests=f"claim = {name}()\nassert not claim, claim",
            entry_point=name,
        )

    def values(self) -> str:
        """What the programs are told of their surroundings."""
        import attr

        values = {
            "FOLDER": str(self.folder),
            "CANARY": str(self.folder / "secret"),
            "SECRET": "known",
            "TOKEN": self.token,
            "HOME": str(Path.home()),
            "PORT": self.listener.getsockname()[1],
            "UDP": self.datagrams.getsockname()[1],
            "UNIX": self.local.getsockname(),
            "VICTIM": self.victim.pid,
            "PACKAGES": str(Path(attr.__file__).parent.parent),
            "REPOSITORY": str(Path(sandbox.__file__).parent),
        }
        return "".join(f"{name} = {value!r}\n" for name, value in values.items())

    def snapshot(self) -> list[tuple[str, int, int, bytes]]:
        """Names, modes, times and contents of the folder."""
        paths = [self.folder, *sorted(self.folder.rglob("*"))]
        return [
            (str(p), (s := p.lstat()).st_mode, s.st_mtime_ns, p.read_bytes() if p.is_file() else b"")
            for p in paths
        ]

    def strays(self) -> list[Path]:
        """Files with the token in their name in places that programs like to write to."""
        places = {Path(p) for p in (TEMPORARY, "/dev/shm", "/var/tmp", "/", Path.home(), Path.cwd())}  # noqa: S108 - looked at only
        found = [path for place in places if place.is_dir() for path in place.glob(f"*{self.token}*")]
        return [path for path in found if path != Path(f"{TEMPORARY}/{self.token}.socket")]

    def oracle(self, verdict: Verdict) -> list[str]:
        """What shows that an attack succeeded."""
        found = ["it claims so: " + verdict.message] if verdict.status in {"failed", "unsupported"} else []
        if self.secret in verdict.message:
            found.append("it knows the secret")
        if self.snapshot() != self.before:
            found.append("the folder is not what it was")
        found += [f"{path} is there" for path in self.strays()]
        for name, each in (("TCP", self.listener), ("local", self.local), ("abstract", self.abstract)):
            try:
                each.accept()[0].close()
                found.append(f"a {name} connection")
            except BlockingIOError:
                pass
        with suppress(BlockingIOError):
            found.append(f"a datagram: {self.datagrams.recv(100)!r}")
        if self.victim.poll() is not None:
            found.append("the victim is dead")
        return found


def _end(victim: subprocess.Popen[str]) -> None:
    victim.send_signal(signal.SIGKILL)
    victim.communicate()


def left_over() -> list[int]:
    """Processes of sandboxes that this process started and that are still there."""
    time.sleep(0.01)
    mine = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command, parent = (
                (entry / "cmdline").read_bytes(),
                (entry / "stat").read_text().rsplit(")", 1)[1].split()[1],
            )
        except OSError:
            continue
        if b"sandboxed" in command and int(parent) in {os.getpid(), 1}:
            mine.append(int(entry.name))
    return mine
