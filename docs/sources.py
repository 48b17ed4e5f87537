"""Shows mkdocstrings the packages under the names they are imported by.

The folders `engine/`, `backends/` and `plugins/` are the packages `boostlora.engine` and so on; docstrings are read from the sources,
which are found by path, so the build lays out links that spell those names.
"""

from __future__ import annotations

import shutil
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority

ROOT = Path(__file__).resolve().parents[1]
LINKS = Path(tempfile.gettempdir())


@event_priority(100)  # before mkdocstrings reads its options
def on_config(config: Any) -> Any:
    """Link every package of `[tool.setuptools.package-dir]`, and let the Python handler search there."""
    global LINKS  # noqa: PLW0603 - MkDocs calls plain functions of a module
    LINKS = Path(tempfile.mkdtemp(prefix="boostlora-docs-"))
    with (ROOT / "pyproject.toml").open("rb") as file:
        places = tomllib.load(file)["tool"]["setuptools"]["package-dir"]
    for name, folder in places.items():
        link = LINKS.joinpath(*name.split("."))
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(ROOT / folder, target_is_directory=True)
    config.plugins["mkdocstrings"].config.handlers["python"]["paths"] = [str(LINKS)]
    return config


def on_shutdown() -> None:
    """Remove the links."""
    shutil.rmtree(LINKS, ignore_errors=True)
