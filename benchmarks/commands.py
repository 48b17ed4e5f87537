"""How long a user waits for a command that computes little: processes, taking turns with a bare interpreter.

`--help` should answer within 0.3 s and import nothing heavy; `check` reads data and plans, and `check` of a study plans every arm.
The model is pretrained before the clock starts, where a command needs one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from side_by_side import interleaved, milliseconds, show

BARE = "python -c pass"
COMMANDS = ("--help", "plugins", "specs", "check quickstart", "check boosting/digits")
REPEATS = 7


def run(command: list[str], folder: str) -> None:
    """Run a command to its end, in a folder and with a cache of its own."""
    environment = {**os.environ, "BOOSTLORA_CACHE": f"{folder}/cache"}
    subprocess.run(  # noqa: S603 - our own commands
        command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL
    )


def main() -> None:
    """Print what each takes, and how many times what the interpreter takes."""
    script = Path(sys.executable).with_name("boostlora")
    lines = {BARE: [sys.executable, "-c", "pass"]}
    lines |= {f"boostlora {words}": [str(script), *words.split()] for words in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        cases = {name: partial(run, line, folder) for name, line in lines.items()}
        found = interleaved(cases, REPEATS)
    rows = [(name, milliseconds(found[name]), f"{found[name] / found[BARE]:.1f}") for name in lines]
    show(("command", "ms", "command / interpreter"), rows)


if __name__ == "__main__":
    main()
