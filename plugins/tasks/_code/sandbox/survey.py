"""Files that a confined interpreter must be able to read: its standard library and the shared objects it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from .....engine.errors import UsageError

FLAGS = ("-S", "-s", "-P", "-X", "utf8")
"""No site-packages, and no modules from the working directory."""

ENVIRONMENT: Mapping[str, str] = {"PYTHONHASHSEED": "0"}
"""The whole environment. A fixed hash seed makes the order of sets, and so a verdict that depends on it, reproducible."""

_NOT_NEEDED = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "ensurepip",
    "turtledemo",
    "lib2to3",
}

# Prints the search path, then the shared objects in memory after every extension module of the library is loaded.
_SURVEY = """
import ctypes, os, sys
for folder in sys.path:
    print(folder)
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name.endswith(".so") and "tkinter" not in name and "_test" not in name:
            try:
                ctypes.CDLL(os.path.join(folder, name))
            except OSError:
                pass
print()
for line in open("/proc/self/maps"):
    path = line.split(maxsplit=5)[-1].strip()
    if ".so" in os.path.basename(path):
        print(path)
"""


def command(module: str, *arguments: object) -> list[str]:
    """The command that runs `main` of a module of this package in a fresh interpreter, without the rest of the distribution."""
    start = (
        "import sys, types; package = types.ModuleType('sandboxed'); package.__path__ = [sys.argv.pop(1)]; "
        f"sys.modules['sandboxed'] = package; from sandboxed.{module} import main; main()"
    )
    return [sys.executable, *FLAGS, "-c", start, str(Path(__file__).parent), *map(str, arguments)]


@cache
def readable() -> tuple[Sequence[str], Sequence[str]]:
    """Files and folders that may be read, and folders that may be listed. Raises `UsageError`."""
    found = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, *FLAGS, "-c", _SURVEY],
        env=dict(ENVIRONMENT),
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode != 0:
        cause = (found.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UsageError(f"sandbox: {sys.executable} does not start in an empty environment: {cause}")
    path, _, libraries = found.stdout.partition("\n\n")
    files, folders = list[str](), list[str]()
    for place in filter(None, path.splitlines()):
        if not Path(place).is_dir():
            files.append(place)
            continue
        folders.append(place)
        files += (os.path.join(place, name) for name in sorted(os.listdir(place)) if name not in _NOT_NEEDED)  # noqa: PTH118, PTH208
    files += [*dict.fromkeys(libraries.splitlines()), "/etc/ld.so.cache"]
    return tuple(files), tuple(folders)
