"""A run, its boost file, an export and a study, to be damaged or killed in copies."""

import os
import shutil
from pathlib import Path
from typing import ClassVar

import attrs

from boostlora.engine.foundation.atomic import file_sha256
from boostlora.engine.runs.directory import RunDirectory

SMALL = ("--set", "rounds=3", "--set", "optimizer.steps=3", "--set", "boosting.refit_every=0")
ALL = ("--rounds", "all")
"""For exports: so few steps need not beat the base."""
STUDY = """\
extends = "quickstart"
name = "tiny"
rounds = 2
optimizer.steps = 2
boosting.refit_every = 0
backend.threads = 1
[ablate]
at = "best"
seeds = 1
grid."basis.use" = ["rotate", "random"]
executor.use = "local"
executor.workers = 1
"""


def times(variable: str, default: int) -> int:
    """How many: from the environment, for those who want more than the suite does."""
    return int(os.environ.get(variable, default))


@attrs.frozen
class Whole:
    """A folder with `runs`, `x.boost.safetensors`, the export `ex`, and the study `tiny`."""

    folder: Path

    RUN: ClassVar = ("run", "quickstart", *SMALL, "-q")
    BOOST: ClassVar = ("export", "quickstart", "--to", "boost", *ALL, "--out", "x.boost.safetensors", "-q")
    EXPORT: ClassVar = ("export", "quickstart", "--to", "safetensors", *ALL, "--out", "ex", "-q")
    ABLATE: ClassVar = ("ablate", "tiny.toml", "-q")

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def run(self) -> Path:
        """The run's folder, relative to the whole's."""
        (path,) = (self.folder / "runs" / "quickstart").glob("*/spec.toml")
        return path.parent.relative_to(self.folder)

    @property
    def base(self) -> Path:
        """The base weights, which the run has put into its cache."""
        return next((self.cache / "models").glob("*.safetensors"))

    def copy(self, place: Path, *, without: tuple[str, ...] = ()) -> "Whole":
        """The same elsewhere, the cache and what a command is to make left out."""
        shutil.copytree(self.folder, place, ignore=lambda _, __: {"cache", *without}, dirs_exist_ok=True)
        return Whole(place)

    def digests(self) -> dict[str, str]:
        """Of all runs, by folder."""
        found = sorted((self.folder / "runs").glob("*/*/spec.toml"))
        return {str(p.parent.relative_to(self.folder)): RunDirectory.open(p.parent).digest for p in found}

    def unfinished(self) -> list[str]:
        """Names of what writers have left."""
        names = (p.name for p in self.folder.rglob(".*"))
        return sorted(name for name in names if ".making-" in name or name.endswith(".tmp"))

    def model(self, name: str) -> str:
        """Hash of an export's weights; empty where there is no export."""
        path = self.folder / name
        return file_sha256(path / "model.safetensors") if path.exists() else ""
