"""Probes that try to break the confinement before any program is run; if one succeeds, no program is run.

A probe that succeeds must do no harm, since it succeeds only on a machine without an effective confinement.
"""

from __future__ import annotations

import secrets
import socket
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from .programs import Program, Verdict

SOURCE = """
import ctypes, os, signal, socket, subprocess, threading
libc = ctypes.CDLL(None, use_errno=True)

def write_file():
    os.close(os.open(FOLDER + "/written", os.O_WRONLY | os.O_CREAT, 0o600)); return True
def write_shared_memory():
    open("/dev/shm/boostlora-probe", "w").close(); os.unlink("/dev/shm/boostlora-probe"); return True
def change_permissions():
    os.chmod(FOLDER, 0o777); return True
def remove_file():
    os.unlink(FOLDER + "/secret"); return True
def read_file():
    return bool(open(FOLDER + "/secret").read())
def list_home():
    return bool(os.listdir(os.path.expanduser("~")) or os.listdir("/"))
def read_processes():
    return bool(open("/proc/self/environ", "rb").read() or open(f"/proc/{os.getppid()}/cmdline", "rb").read())
def connect():
    socket.create_connection(("127.0.0.1", PORT), 1).close(); return True
def make_socket():
    socket.socket(socket.AF_UNIX).close(); return True
def fork():
    if os.fork() == 0: os._exit(0)
    return True
def run_program():
    return subprocess.run(["/bin/true"]).returncode == 0
def replace_process():
    try:
        os.execv("/nowhere", ["nowhere"])
    except FileNotFoundError:  # the path was looked up, so the call itself is allowed
        return True
def start_thread():
    threading.Thread(target=int).start(); return True
def signal_parent():
    os.kill(os.getppid(), 0); return True
def signal_others():
    os.kill(-1, 0); return True
def make_memory_file():
    return libc.memfd_create(b"probe", 0) >= 0
def trace_parent():
    return libc.ptrace(0x4206, os.getppid(), 0, 0) == 0  # PTRACE_SEIZE does not stop the parent
def mount_files():
    # The missing path is looked up first: any error but EPERM and ENOSYS means that the call itself is allowed.
    return libc.mount(b"none", b"/nowhere/at/all", b"tmpfs", 0, None) == 0 or ctypes.get_errno() not in (1, 38)
def set_limits():
    import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 1)); return True
def run_written_memory():
    libc.mmap.restype = ctypes.c_void_p
    return libc.mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, ctypes.c_long(0)) not in (None, ctypes.c_void_p(-1).value)

PROBES = (write_file, write_shared_memory, change_permissions, read_file, remove_file, list_home, read_processes, connect,
          make_socket, fork, run_program, replace_process, start_thread, signal_parent, signal_others, make_memory_file, trace_parent,
          mount_files, set_limits, run_written_memory)

def got_through():
    found = []
    for probe in PROBES:
        try:
            if probe():
                found.append(probe.__name__)
        except Exception:
            pass
    return ", ".join(found)
"""


def attempt(judge: Callable[[Program], tuple[Verdict, Any]]) -> tuple[str, Any]:
    """Run the probes. Returns a description of those that succeeded (empty: none), and the confinement in force."""
    with (
        tempfile.TemporaryDirectory(prefix="boostlora-") as folder,
        closing(socket.create_server(("127.0.0.1", 0))) as listener,
    ):
        secret = Path(folder) / "secret"
        secret.write_text(secrets.token_hex())
        values = f"FOLDER, PORT = {folder!r}, {listener.getsockname()[1]}\n"
        verdict, state = judge(Program(source=values + SOURCE, tests=_TESTS, entry_point="got_through"))
        listener.setblocking(False)
        oracle = [] if list(Path(folder).iterdir()) == [secret] else ["a file was written or removed"]
        try:
            listener.accept()[0].close()
            oracle.append("a connection arrived")
        except BlockingIOError:
            pass
    if verdict.status != "passed":
        oracle.insert(0, verdict.message.replace("assert not found, found: ", "got through: "))
    return "; ".join(oracle), state


_TESTS = "found = got_through()\nassert not found, found"
