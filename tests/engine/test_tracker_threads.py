"""Trackers hear of a run, and whatever they do, the run goes on."""

import threading
from types import SimpleNamespace

import attrs
import pytest

from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.boosting.tracker_threads import run_trackers
from boostlora.engine.errors import UsageError
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.hookspecs import hookimpl
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec import SpecError
from boostlora.engine.spec.resolve import load_spec

HEARD = []


@attrs.frozen(kw_only=True)
class Diary:
    """Writes down what it hears, and breaks where it is told to."""

    breaks: str = ""
    label: str = ""

    def check(self):
        self._step("check")

    def follow(self, run):
        self._step("follow", run.spec.head.name)
        return self

    def round_finished(self, record):
        self._step("round_finished", record.round)

    def run_finished(self, result):
        self._step("run_finished", result.status)

    def close(self):
        self._step("close")

    def _step(self, name, *facts):
        HEARD.append((name, *facts))
        if self.breaks == name:
            raise UsageError("no library") if name == "check" else OSError("disk on fire")


@hookimpl
def register_trackers(register):
    register("diary", Diary)


@pytest.fixture
def run(tmp_path, small):
    import sys

    registry = Registry.load()
    registry.add(sys.modules[__name__], "tests")
    HEARD.clear()

    def run_cell(*settings):
        spec = load_spec("paper/digits", registry, (*small, "rounds=2", *settings))
        directory = RunDirectory.create(tmp_path / spec.short_hash, spec)
        return spec, boost(prepare(spec), directory, registry, RunContext())

    run_cell.registry = registry
    return run_cell


def test_tracker_receives_every_round_once_and_is_closed_last(run):
    run("trackers.diary={}")
    rounds = [("round_finished", number) for number in range(3)]
    told = [("follow", "paper-digits"), *rounds, ("run_finished", "completed"), ("close",)]
    assert told == [heard for heard in HEARD if heard[0] != "check"]


@pytest.mark.parametrize("moment", ["follow", "round_finished", "run_finished", "close"])
def test_failing_tracker_thread_is_named_and_never_fails_the_run(run, moment):
    _, whole = run()
    with pytest.warns(RuntimeWarning, match="tracker diary raised OSError .*disk on fire"):
        _, result = run(f"trackers.diary.breaks={moment}", "stop.min_delta=0.0")
    assert (result.status, result.digest) == (whole.status, whole.digest)
    assert [heard[0] for heard in HEARD].count(moment) == 1, "it is told nothing more"


def test_tracker_receives_only_its_run_and_does_not_block_the_exit(run):
    """A thread that is a daemon ends with the process, whatever its tracker waits for."""
    threads = list[threading.Thread]()

    class Own:
        def follow(self, run):
            threads.append(threading.current_thread())
            return Diary()

    manager = run.registry.manager
    for name in ("one", "two"):
        with run_trackers({"own": Own()}, manager):
            manager.hook.run_started(run=name)
            manager.hook.round_finished(run=name, record=SimpleNamespace(round=name))
    manager.hook.round_finished(run="three", record=SimpleNamespace(round="three"))
    rounds = [("round_finished", name) for name in ("one", "two")]
    assert [rounds[0], ("close",), rounds[1], ("close",)] == HEARD
    assert all(thread.daemon for thread in threads)
    assert len(threads) == 2


def test_tracker_without_its_library_is_refused_before_the_run(run):
    with pytest.raises(UsageError, match="no library"):
        run("trackers.diary.breaks=check")
    assert HEARD == [("check",)]


def test_trackers_do_not_change_the_hash_but_are_in_the_spec(run):
    plain, _ = run()
    tracked, _ = run("trackers.diary.label=mine")
    assert plain.sha256 == tracked.sha256
    assert 'label = "mine"' in tracked.dump()
    assert "trackers" not in plain.dump()


def test_interrupted_run_closes_its_trackers(run):
    class Stop:
        @hookimpl
        def round_finished(self, record):
            if record.round == 1:
                raise KeyboardInterrupt

    run.registry.manager.register(Stop(), name="stop")
    with pytest.raises(KeyboardInterrupt):
        run("trackers.diary={}")
    assert HEARD[-1] == ("close",)
    assert "run_finished" not in [heard[0] for heard in HEARD]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("trackers.dairy={}", 'unknown tracker plugin "dairy"'),
        ("trackers.diary=3", "trackers.diary must be a table, got 3"),
        ("trackers=3", "trackers must be a table, got 3"),
        ("trackers.diary.labl=x", 'unknown key "labl"'),
        ("trackers.diary.label=3", "trackers.diary.label: expected a string, got 3"),
    ],
)
def test_wrong_tracker_tables_are_faults(run, setting, message):
    with pytest.raises(SpecError) as caught:
        run(setting)
    assert [fault.message for fault in caught.value.faults] == [message]
