"""A finished toy run, an unfinished one, and the command line in this process."""

from pathlib import Path

import attrs
import pytest

from boostlora.engine.contracts.records import RoundRecord
from boostlora.engine.hookspecs import hookimpl

from ..support.commands import Answer, Command
from ..support.record_toys import PLUGIN, Toy, clone, listening, write_spec
from ..support.shared import Shared


class StopAfter:
    """Ctrl-C at the end of a round."""

    def __init__(self, number: int) -> None:
        self.number = number

    @hookimpl
    def round_finished(self, record: RoundRecord) -> None:
        if record.round == self.number:
            raise KeyboardInterrupt


@pytest.fixture(scope="session")
def toy(shared: Shared) -> Toy:
    """A spec, run to its end in `path("whole")`, and to the end of round 2 in `path("half")`."""
    return Toy.make(shared.made("record-toy", _play))


def _play(folder: Path) -> None:
    toy = Toy.make(folder)
    toy.go("whole")
    with listening(toy.registry, StopAfter(2)), pytest.raises(KeyboardInterrupt):
        toy.go("half")


@attrs.frozen
class Desk:
    """A folder with the toy's spec, and the command line."""

    folder: Path
    path: Path
    """Where `boostlora run` keeps the run."""
    command: Command

    def run(self, *extra: str) -> Answer:
        return self.command(
            "run", "toy.toml", "--runs", str(self.folder / "runs"), "--plugin", str(PLUGIN), *extra
        )

    def resume(self, *extra: str) -> Answer:
        return self.command("resume", str(self.path), "--plugin", str(PLUGIN), *extra)

    def place(self, source: Path) -> None:
        """Put a copy of a run where `boostlora run` looks for it."""
        clone(source, self.path)


@pytest.fixture
def desk(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boostlora: Command) -> Desk:
    """A folder of the test's own, with the shared cache."""
    write_spec(tmp_path)
    monkeypatch.setenv("BOOSTLORA_CACHE", str(toy.cache))
    return Desk(tmp_path, tmp_path / "runs" / "toy" / toy.spec.short_hash, boostlora)
