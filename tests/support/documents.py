"""Code blocks of the documents: files are written, commands run, in the order in which a reader meets them."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Container
from pathlib import Path

import attrs

from . import commands
from .places import ROOT

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"^# file: (\S+)\n")
IN_A_CLONE = ("make ", ".ci/run")
"""Commands that CI itself runs, in a clone."""


@attrs.frozen
class Block:
    """One fenced block of a document."""

    document: str
    number: int
    kind: str
    text: str

    @property
    def lines(self) -> list[str]:
        """The commands that a test can run; none in blocks that are not for a shell."""
        lines = self.text.strip().splitlines() if self.kind == "bash" else []
        return [line for line in lines if not line.startswith(IN_A_CLONE)]

    def write(self, folder: Path) -> None:
        """Write the file that this block shows, if it is one."""
        if self.kind in {"toml", "python"} and (name := NAMED.match(self.text)):
            (folder / name[1]).write_text(self.text)

    def run(self, folder: Path) -> None:
        """Run every command; raises `AssertionError` where one ends otherwise than it says (`# exit code 2`)."""
        for line in self.lines:
            said = re.search(r"exit code (\d+)", line)
            done = run_line(line, folder)
            assert done.returncode == (int(said[1]) if said else 0), f"{line}\n{done.stdout}\n{done.stderr}"


@functools.cache
def blocks(document: str) -> tuple[Block, ...]:
    """All blocks of a document, in order."""
    found = BLOCK.findall((ROOT / document).read_text())
    return tuple(Block(document, number, kind, text) for number, (kind, text) in enumerate(found))


def run_line(line: str, folder: Path) -> commands.Answer:
    """Run a line of a shell: our own command and scripts in this process, everything else in a process of its own."""
    words = shlex.split(line, comments=True)
    if words[0] == "boostlora":
        return commands.boostlora(*words[1:], cwd=folder)
    if words[0] == "python" and words[1].endswith(".py"):
        return commands.script(*words[1:], cwd=folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=commands.PATIENCE,
        check=False,
    )
    return commands.Answer(done.returncode, done.stdout, done.stderr)


@attrs.define
class Reading:
    """A document that is read from its beginning: a block finds in the folder what the blocks before it have left."""

    document: str
    folder: Path
    position: int = 0

    def reach(self, number: int, leave_out: Container[str] = ()) -> Block:
        """Read what comes before a block and has not been read yet, but for blocks with a command to leave out."""
        for block in blocks(self.document)[self.position : number]:
            self.position += 1
            block.write(self.folder)
            if not any(line in leave_out for line in block.lines):
                block.run(self.folder)
        self.position = max(self.position, number + 1)
        return blocks(self.document)[number]
