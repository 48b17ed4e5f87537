"""A toy run of six rounds, and runs that go on from it."""

from pathlib import Path

import attrs

from boostlora.engine.foundation.atomic import file_sha256
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec.resolve import load_spec

from ..support.record_toys import PLUGIN, SPEC, Interrupter, Toy, check_valid, clone, sealed, write_spec

__all__ = [
    "PLUGIN",
    "SPEC",
    "Family",
    "Interrupter",
    "Toy",
    "check_valid",
    "clone",
    "sealed",
    "steps_until_round",
    "write_spec",
]

ROUNDS = 6
WIDE = (f"rounds={ROUNDS}", "task.columns=14", "model.hidden=[13, 12]")
"""Six rounds of two directions fit."""


@attrs.frozen
class Family:
    """A run of six rounds in `parent`, and its settings."""

    toy: Toy
    settings: tuple[str, ...]

    @classmethod
    def make(cls, folder: Path, *settings: str) -> "Family":
        family = cls.of(folder, *settings)
        family.toy.go("parent")
        return family

    @classmethod
    def of(cls, folder: Path, *settings: str) -> "Family":
        """What `make` has left in a folder."""
        return cls(Toy.make(folder, *WIDE, *settings), (*WIDE, *settings))

    @property
    def parent(self) -> Path:
        return self.toy.path("parent")

    def child(self, number: int, *settings: str, parent: Path | None = None) -> Toy:
        """The same spec, going on after a round of the parent."""
        start = (f'start.run="{parent or self.parent}"', f"start.round={number}")
        path = self.toy.folder / "toy.toml"
        spec = load_spec(path, self.toy.registry, (*self.settings, *start, *settings))
        return attrs.evolve(self.toy, spec=spec)


def contents(path: Path) -> dict[str, str]:
    """Hash of every file of a run, by its path; locks aside."""
    return {
        str(file.relative_to(path)): file_sha256(file)
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != "run.lock"
    }


def digests(path: Path) -> list[str]:
    return [record.digest for record in RunDirectory.open(path).records]


def steps_until_round(child: Toy, number: int) -> int:
    """Reports of progress before a round is on disk, by a run of its own."""
    counter, seen = Interrupter(), []

    def report(what, done, total):
        counter(what, done, total)
        path = child.path("watched") / "rounds.jsonl"
        if not seen and path.exists() and path.read_bytes().count(b"\n") > number:
            seen.append(counter.calls)

    child.go("watched", report)
    return seen[0]
