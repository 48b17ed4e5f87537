"""A study whose cells take a fraction of a second."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

TINY = """
extends = "paper/digits"
name = "tiny"
rounds = 3

[model]
hidden = [16, 12]
epochs = 5

[adapter]
rank = 2

[optimizer]
steps = 5

[ablate]
grid."basis.use" = ["rotate", "random", "fixed"]
baseline."basis.use" = "fixed"
seeds = 2
"""


def write(folder: Path, text: str = TINY, name: str = "tiny.toml") -> Path:
    """The study as a file."""
    path = folder / name
    path.write_text(text)
    return path


def start(*arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """The command line in a session of its own, as a terminal would have it."""
    script = Path(sys.executable).with_name("boostlora")
    command = [str(script), *(str(a) for a in arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=cwd, text=True, start_new_session=True, **pipes)


def rounds_on_disk(runs: Path) -> int:
    """Lines of all rounds of all runs."""
    return sum(path.read_bytes().count(b"\n") for path in runs.glob("*/*/rounds.jsonl"))


def wait_for_rounds(runs: Path, count: int, process: subprocess.Popen[str], timeout: float = 60) -> None:
    """Until so many rounds are on disk."""
    until = time.monotonic() + timeout
    while rounds_on_disk(runs) < count and process.poll() is None:
        assert time.monotonic() < until, "no progress"
        time.sleep(0.01)


def processes_of(folder: Path) -> list[int]:
    """Processes that work in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def table_of(printed: str) -> str:
    """All that is printed of a study's outcome but for the time it took, the last column of the table of cost."""
    outcomes, title, costs = printed[printed.index("\narm") :].partition("\n\narm ")
    assert "time (s)" in costs.splitlines()[0]
    return outcomes + title + "\n".join(re.sub(r"  +[\d.,]+$", "", line) for line in costs.splitlines())


def digests(runs: Path) -> dict[str, str]:
    """The last digest of every run, by its hash: equal for equal results."""
    return {
        path.parent.name: json.loads(path.read_text().splitlines()[-1])["digest"]
        for path in runs.glob("*/*/rounds.jsonl")
    }
