"""Trackers that do not answer: the run goes on, says so once, and waits at its end only so long."""

import socket
import sys
import threading
import time
import warnings
from types import SimpleNamespace

import attrs
import pytest

from boostlora.engine.boosting import tracker_threads
from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.hookspecs import hookimpl
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec.resolve import load_spec

RELEASE = threading.Event()
HEARD = list[tuple[object, ...]]()
ROUND = 2


@attrs.frozen(kw_only=True)
class Stuck:
    """Writes down what it hears, and stands still where it is told to until it is released."""

    at: str = "follow"

    def check(self):
        pass

    def follow(self, run):
        self._step("follow")
        return self

    def round_finished(self, record):
        self._step("round_finished", record.round)

    def run_finished(self, result):
        self._step("run_finished")

    def close(self):
        self._step("close")

    def _step(self, name, *facts):
        if self.at == name or (self.at == "round 1" and facts == (1,)):
            RELEASE.wait(60)
        HEARD.append((name, *facts, threading.current_thread() is threading.main_thread()))


@hookimpl
def register_trackers(register):
    register("stuck", Stuck)


@pytest.fixture
def run(tmp_path, small):
    registry = Registry.load()
    registry.add(sys.modules[__name__], "tests")
    HEARD.clear()
    RELEASE.clear()

    def run_cell(*settings):
        spec = load_spec("paper/digits", registry, (*small, f"rounds={ROUND}", *settings))
        directory = RunDirectory.create(tmp_path / spec.short_hash, spec)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = boost(prepare(spec), directory, registry, RunContext())
        return result, [str(w.message) for w in caught if "tracker" in str(w.message)]

    run_cell.registry = registry
    yield run_cell
    RELEASE.set()
    for thread in threading.enumerate():
        if thread.name.startswith("tracker "):
            thread.join(60)


LEFT = {
    "follow": "the start, rounds 0 to 2, the result",
    "round_finished": "rounds 0 to 2, the result",
    "round 1": "rounds 1 to 2, the result",
    "run_finished": "the result",
}


@pytest.mark.parametrize("at", LEFT)
def test_unresponsive_tracker_is_abandoned_and_lost_entries_are_reported(run, monkeypatch, at):
    monkeypatch.setattr(tracker_threads, "TIMEOUT", 0.3)
    result, told = run(f"trackers.stuck.at={at}")
    assert (result.status, result.rounds) == ("completed", ROUND)
    assert told[-1] == f"tracker stuck does not respond and is abandoned; not delivered: {LEFT[at]}"
    before = list(HEARD)
    RELEASE.set()
    next(t for t in threading.enumerate() if t.name == "tracker stuck").join(60)
    later = HEARD[len(before) :]
    assert len(later) <= 2, "what it was at, and its close: nothing that was left"
    assert later[-1][0] == "close"


def test_tracker_not_closed_in_time_gives_a_warning(run, monkeypatch):
    monkeypatch.setattr(tracker_threads, "TIMEOUT", 0.3)
    _, told = run("trackers.stuck.at=close")
    assert told == [
        "tracker stuck does not respond and is abandoned; all events were delivered, but it was not closed"
    ]


def test_slow_tracker_is_named_once_and_receives_the_rest(run, monkeypatch):
    monkeypatch.setattr(tracker_threads, "TIMEOUT", 0.0)
    patience = iter([0.0])

    class Wait:
        @hookimpl
        def run_finished(self):
            monkeypatch.setattr(tracker_threads, "TIMEOUT", 60.0)
            RELEASE.set()
            next(patience, None)

    run.registry.manager.register(Wait(), name="wait")
    _, told = run("trackers.stuck.at=follow")
    assert told == ["tracker stuck has not responded for 0 s; the run continues without waiting for it"]
    assert [heard[:-1] for heard in HEARD] == [
        ("follow",), ("round_finished", 0), ("round_finished", 1), ("round_finished", 2), ("run_finished",), ("close",),
    ]  # fmt: skip
    assert not any(heard[-1] for heard in HEARD), "never in the thread of the run"


def test_timeout_counts_from_the_event_that_waits_and_not_while_idle(monkeypatch):
    now, blocked = [0.0], threading.Event()
    monkeypatch.setattr(tracker_threads, "time", SimpleNamespace(monotonic=lambda: now[0]))

    class Blocking:
        def follow(self, run):
            return self

        def round_finished(self, record):
            if record.round == 1:
                blocked.set()
                RELEASE.wait(60)

        def close(self):
            pass

    def round_at(number, second):
        now[0] = second
        listener.round_finished(SimpleNamespace(round=number))

    def wait_until_idle():
        while listener._pending:
            time.sleep(0.001)

    RELEASE.clear()
    listener = tracker_threads.TrackerThread("tracker blocking", Blocking())
    listener.run_started(None)
    wait_until_idle()
    round_at(0, 100.0)  # after a long pause without events
    wait_until_idle()
    round_at(1, 200.0)
    assert blocked.wait(60)
    round_at(2, 206.0)
    with pytest.warns(RuntimeWarning, match="tracker blocking has not responded for 10 s"):
        round_at(3, 211.0)
    RELEASE.set()
    listener.finish(now[0])


def test_total_wait_for_trackers_at_the_end_is_bounded(monkeypatch):
    monkeypatch.setattr(tracker_threads, "MAX_WAIT", 0.5)

    class Slow:
        def follow(self, run):
            return self

        def round_finished(self, record):
            RELEASE.wait(0.2)

        def close(self):
            pass

    RELEASE.clear()
    listener = tracker_threads.TrackerThread("tracker slow", Slow())
    listener.run_started(None)
    for number in range(100):
        listener.round_finished(type("Record", (), {"round": number}))
    with pytest.warns(RuntimeWarning, match=r"not delivered: rounds \d to 99"):
        listener.finish(tracker_threads.time.monotonic())
    RELEASE.set()


def test_unresponsive_trackers_share_one_wait(monkeypatch):
    monkeypatch.setattr(tracker_threads, "TIMEOUT", 0.3)
    RELEASE.clear()
    listeners = [tracker_threads.TrackerThread(f"tracker {i}", Stuck()) for i in range(20)]
    looks = list[float]()
    join = threading.Thread.join
    monkeypatch.setattr(threading.Thread, "join", lambda t, s=None: (looks.append(s), join(t, s)))
    for listener in listeners:
        listener.run_started(None)
    ended = tracker_threads.time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for listener in listeners:
            listener.finish(ended)
    assert len(caught) == len(listeners)
    assert all("not delivered: the start" in str(w.message) for w in caught)
    assert sum(looks) < 2 * 0.3 + 0.1
    RELEASE.set()


@pytest.fixture
def silent_server():
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_unresponsive_mlflow_server_does_not_block_a_run(run, monkeypatch, silent_server):
    pytest.importorskip("mlflow")
    monkeypatch.setattr(tracker_threads, "TIMEOUT", 0.3)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    result, told = run(f"trackers.mlflow.uri={silent_server}")
    assert result.status == "completed"
    assert told[-1].startswith(
        "tracker mlflow does not respond and is abandoned; not delivered: the start, rounds 0 to 2"
    )
