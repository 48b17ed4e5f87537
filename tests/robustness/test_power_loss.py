"""Power loss at any point of a command: acknowledged data are kept, and a retry completes as without it."""

from __future__ import annotations

import random
import shutil
import traceback
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
from safetensors.numpy import load_file

from boostlora.engine.contracts.records import RoundRecord
from boostlora.engine.foundation.atomic import ASIDE, check_file, file_sha256
from boostlora.engine.foundation.cache import arrays_sha256
from boostlora.engine.records.run_result import ROUNDS
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.runs.lookup import SET_ASIDE

from ..support.commands import boostlora
from ..support.power import Disk, Moment
from .whole import ALL, Whole, times

COUNT = times("BOOSTLORA_POWER_LOSSES", 33)
"""How many states of a disk are tried."""

START = ("--set", "rounds=2", "--set", "optimizer.steps=2", "-q")
BOOST = "y.boost.safetensors"


@attrs.frozen
class Scenario:
    """A command in the midst of which the power goes."""

    words: Callable[[Whole], tuple[str, ...]]
    without: tuple[str, ...] = ()
    """What is not there before, beside exports."""
    before: tuple[str, ...] = ()
    """A command that comes first, and ends."""
    makes: str = ""
    """An export, which is not made again where it is there."""
    again: bool = True
    """Whether the same command mends what is left; otherwise playing the run does."""


SCENARIOS = {
    "run": Scenario(lambda _: Whole.RUN, ("quickstart",)),
    "cold": Scenario(lambda _: Whole.RUN, ("quickstart", "cache")),
    "fresh": Scenario(lambda _: (*Whole.RUN, "--fresh"), again=False),
    "resume": Scenario(
        lambda w: ("resume", str(w.run), "-q"), before=("rollback", "quickstart", "--to", "1")
    ),
    "start": Scenario(lambda w: ("run", "quickstart", "--from", f"{w.run}@1", *START)),
    "export": Scenario(lambda _: Whole.EXPORT, makes="ex"),
    "boost": Scenario(
        lambda _: ("export", "quickstart", "--to", "boost", *ALL, "--out", BOOST, "-q"), makes=BOOST
    ),
    "apply": Scenario(
        lambda w: ("apply", str(w.base), "x.boost.safetensors", "--out", "merged", "-q"), makes="merged"
    ),
    "rollback": Scenario(lambda w: ("rollback", str(w.run), "--to", "1"), again=False),
    "ablate": Scenario(lambda _: Whole.ABLATE, ("tiny",)),
}


@attrs.frozen(kw_only=True)
class Recorded:
    """A command that was looked at, and what it left in the end."""

    moments: list[Moment]
    words: tuple[str, ...]
    exports: dict[str, dict[str, str]]
    tensors: dict[str, str]
    digests: dict[str, str]
    """Of all runs, when the command was followed by those that follow a loss of power."""


def expect(whole: Whole, *words: str) -> str:
    done = boostlora(*words, cwd=whole.folder)
    assert done.returncode == 0, (words, done)
    assert "Traceback" not in done.stderr + done.stdout, (words, done)
    return done.stdout


def record(kind: str, whole: Whole, place: Path) -> Recorded:
    """Look on while a command works in a copy."""
    scenario = SCENARIOS[kind]
    copy = whole.copy(place, without=("ex", *scenario.without))
    if "cache" not in scenario.without:
        shutil.copytree(whole.cache, copy.cache)
    with working_in(copy):
        if scenario.before:
            expect(copy, *scenario.before)
        disk, words = Disk(place), scenario.words(copy)
        with disk.looking(), pytest.MonkeyPatch.context() as noting:
            noting.setattr(RunDirectory, "commit", noted(disk, RunDirectory.commit))
            expect(copy, *words)
        disk.note("end")
        made = exports(copy)
        follow(kind, copy, words)
        return Recorded(
            moments=disk.moments, words=words, exports=made, tensors=tensors(copy), digests=runs_of(copy)
        )


@contextmanager
def working_in(whole: Whole) -> Generator[None]:
    """Let commands find its cache, and paths be relative to its folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(whole.folder)
        patch.setenv("BOOSTLORA_CACHE", "cache")
        yield


def noted(disk: Disk, commit: Callable[..., RoundRecord]) -> Callable[..., RoundRecord]:
    """`commit`, after which a round counts as acknowledged."""

    def committed(directory: RunDirectory, *arguments: object, **options: object) -> RoundRecord:
        done = commit(directory, *arguments, **options)
        disk.note(f"{directory.path}:{done.round}:{done.digest}")
        return done

    return committed


def exports(whole: Whole) -> dict[str, dict[str, str]]:
    """Hashes of the files of all exports that have their name."""
    found = dict[str, dict[str, str]]()
    for name in ("ex", "merged", BOOST, "x.boost.safetensors"):
        path = whole.folder / name
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        if path.exists():
            found[name] = {p.name: file_sha256(p) for p in files}
    return found


def tensors(whole: Whole) -> dict[str, str]:
    """Hashes of what the weights of all exports hold; the bytes of a file differ by the order of its metadata."""
    return {
        f"{name}/{file}": arrays_sha256(load_file(place / file if place.is_dir() else place))
        for name, files in exports(whole).items()
        for file in files
        for place in [whole.folder / name]
        if file.endswith(".safetensors")
    }


def runs_of(whole: Whole) -> dict[str, str]:
    """Digests of runs that are whole and have ended, without those that were set aside."""
    found = {path: digest for path, digest in whole.digests().items() if SET_ASIDE not in path}
    for path in found:
        directory = RunDirectory.open(whole.folder / path)
        directory.check_files()
        assert (directory.result() or {}).get("status") == "completed", path
    return found


def follow(kind: str, whole: Whole, words: tuple[str, ...]) -> None:
    """What users do when the power is back."""
    scenario = SCENARIOS[kind]
    if scenario.again and not (scenario.makes and (whole.folder / scenario.makes).exists()):
        expect(whole, *words)
    expect(whole, *Whole.RUN)
    if not scenario.again:  # what was left in the run's folder goes when somebody writes there
        expect(whole, "rollback", "quickstart", "--to", "2")
        expect(whole, *Whole.RUN)
    told = expect(whole, "runs")
    listed = [path.partition("/")[2] for path in whole.digests() if SET_ASIDE not in path]
    assert all(path in told for path in listed), told
    if (whole.folder / "runs" / "tiny").exists():
        expect(whole, "collect", "tiny")


def check(kind: str, recorded: Recorded, moment: Moment, state: Whole, whole: Whole) -> None:
    """Nothing is lost that was acknowledged, nothing is there in part, and the next try ends as if nothing had happened."""
    ended, there = "end" in moment.notes, state.digests()
    for note in moment.notes - {"end"}:
        path, number, digest = note.split(":")
        assert RunDirectory.open(Path(path)).records[int(number)].digest == digest, note
    for path in there:
        RunDirectory.open(Path(path)).check_files()
        expect(state, "show", path)
    for name, files in exports(state).items():
        assert files == recorded.exports[name], f"{name} is not whole"
    if kind == "fresh":
        assert next(iter(whole.digests())) in {p.partition(SET_ASIDE)[0] for p in there}, (
            "the old run is lost"
        )
    if kind == "rollback":
        rolled_back(state, ended=ended)
    if ended:
        assert exports(state).keys() == recorded.exports.keys()
        assert kind == "rollback" or runs_of(state) == recorded.digests
    follow(kind, state, recorded.words)
    assert runs_of(state) == recorded.digests
    assert tensors(state) == recorded.tensors
    assert state.unfinished() == []


def rolled_back(state: Whole, *, ended: bool) -> None:
    """A run has all its rounds, or those after the second are set aside whole."""
    count = len(RunDirectory.open(state.run).records)
    assert count in ({2} if ended else {2, 4})
    if count == 2:
        (aside,) = (p for p in (state.run / ASIDE).iterdir() if not p.name.startswith("."))
        lines = (aside / ROUNDS).read_text().splitlines()
        assert len(lines) == 4
        for line in lines[2:]:
            for name, sha256 in RoundRecord.from_line(line).files.items():
                check_file(aside / name, sha256)


def attack(kind: str, whole: Whole, folder: Path, count: int) -> list[str]:
    """What was wrong after so many losses of power."""
    recorded, failures = record(kind, whole, folder / "recorded"), list[str]()
    for seed in range(count):
        rng = random.Random(f"{kind} {seed}")  # noqa: S311 - moments, not secrets
        late = rng.random() < 0.2
        moment = recorded.moments[-1] if late else rng.choice(recorded.moments)
        state = Whole(folder / str(seed))
        moment.left(state.folder, rng)
        try:
            with working_in(state):
                check(kind, recorded, moment, state, whole)
        except (Exception, pytest.fail.Exception):
            failures.append(f"{kind} {seed}: after {moment.after}:\n{traceback.format_exc()[-1500:]}")
        else:
            shutil.rmtree(state.folder)
    return failures


def _try(whole: Whole, folder: Path, count: int, kinds: Iterable[str]) -> None:
    failures = [told for kind in kinds for told in attack(kind, whole, folder / kind, count)]
    assert not failures, f"{len(failures)} failures:\n" + "\n".join(failures)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.slow(reason="makes the model too") if kind == "cold" else ())
        for kind in SCENARIOS
    ],
)
def test_power_loss_at_a_few_points_keeps_acknowledged_data(kind, whole, tmp_path):
    _try(whole, tmp_path, 1 if kind == "cold" else 2, [kind])  # which trains a model first


@pytest.mark.slow(reason="a copy and some commands for each state of a disk")
def test_power_loss_at_any_point_keeps_acknowledged_data(whole, tmp_path):
    _try(whole, tmp_path, -(-COUNT // len(SCENARIOS)), SCENARIOS)
