"""Commands on a run, to type: with the plugin files that the run used, which only a command line can load."""

from __future__ import annotations

from pathlib import Path

from ..errors import RunError
from ..foundation.sealed import read_sealed
from ..foundation.shell import command_line

PROVENANCE = "provenance.json"
"""The file of a run's folder that names its plugin files."""


def plugin_options(folder: Path) -> list[str]:
    """The options `--plugin FILE` that a run's record names; none for another folder, or a damaged record."""
    try:
        found = (read_sealed(folder / PROVENANCE, ()) or {}).get("plugin_files", ())
    except RunError:
        return []
    files = found if isinstance(found, list) else []
    return [word for file in files for word in ("--plugin", str(file))]


def run_command(folder: Path, *words: str | Path) -> str:
    """The command `boostlora WORDS` with the plugin files of the run in `folder`."""
    return command_line("boostlora", *words, *plugin_options(folder))


def resume_command(folder: Path) -> str:
    """The command that resumes the run in `folder`."""
    return run_command(folder, "resume", folder)
