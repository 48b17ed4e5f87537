"""What a command is working on, as text: phases, rates and times left, with a clock of the test's own."""

import io
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stderr
from types import SimpleNamespace
from typing import Any

import pytest

from boostlora.engine.cli import progress_display
from boostlora.engine.cli.progress import RunWork, Work
from boostlora.engine.cli.progress_display import EVERY, FIRST, PlainLines, moving_text, shown
from boostlora.engine.cli.time_left import RoundTimes

from ..support.record_toys import Toy


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _report(work: Work, clock: Clock, what: str, total: int, *, seconds: float, dones: range) -> None:
    for done in dones:
        work.report(what, done, total)
        clock.now += seconds


def test_work_without_a_report_is_being_prepared(clock):
    work = Work(clock)
    clock.now += 12.0
    assert work.line() == "12 s · preparing"


def test_phase_has_counts_rate_and_time_left(clock):
    work = Work(clock)
    _report(work, clock, "evaluating", 1000, seconds=2.0, dones=range(0, 401, 100))
    assert work.line() == "10 s · evaluating 400/1,000 · about 10 s left in this phase · 50 examples/s"


def test_first_report_has_neither_rate_nor_time_left(clock):
    work = Work(clock)
    work.report("evaluating", 300, 1000)
    clock.now += 30.0
    assert work.parts() == ["evaluating 300/1,000"]


def test_work_that_was_cached_does_not_count_towards_the_rate(clock):
    work = Work(clock)
    _report(work, clock, "factorising", 100, seconds=4.0, dones=range(90, 93))
    assert work.parts() == ["factorising 92/100", "about 28 s left in this phase", "0.2 sites/s"]


def test_too_short_a_time_gives_no_rate(clock):
    work = Work(clock)
    _report(work, clock, "factorising", 2, seconds=0.0001, dones=range(2))
    assert work.parts() == ["factorising 1/2"]


def test_phase_that_starts_again_is_measured_anew(clock):
    work = Work(clock)
    _report(work, clock, "evaluating", 100, seconds=1.0, dones=range(0, 100, 10))
    clock.now += 1000.0
    _report(work, clock, "evaluating", 100, seconds=1.0, dones=range(0, 50, 10))
    assert work.parts() == ["evaluating 40/100", "about 5 s left in this phase", "10 examples/s"]


def test_rate_of_the_last_phase_of_its_name_is_shown_until_it_has_its_own(clock):
    work = Work(clock)
    _report(work, clock, "evaluating", 60, seconds=6.0, dones=range(0, 61, 60))
    work.report("evaluating", 0, 30)
    assert work.parts() == ["evaluating 0/30", "10 examples/s"]


def test_overdue_phase_has_no_time_left(clock):
    work = Work(clock)
    _report(work, clock, "evaluating", 100, seconds=1.0, dones=range(0, 100, 10))
    clock.now += 60.0
    assert work.parts() == ["evaluating 90/100", "10 examples/s"]


def test_outer_work_hides_its_parts(clock):
    work = Work(clock)
    work.report("rows", 0, 0)
    work.report("evaluating", 10, 20)
    clock.now += 2.0
    work.report("rows", 5000, 0)
    assert work.parts() == ["predicting: rows 5,000", "2.5 k rows/s"]


# -- Rounds


def _rounds(refits: str) -> RoundTimes:
    """Rounds by letter, F for new directions and R for a refit, which has three times as many steps."""
    return RoundTimes([c == "R" for c in refits], [{"F": 10, "R": 30}[c] for c in refits])


def test_time_left_is_unknown_before_a_round_is_finished():
    times = _rounds("FFFF")
    assert times.left(0.0) is None
    times.finish(0, 50.0)
    assert times.left(60.0) is None, "the base trains nothing"


def test_time_left_follows_finished_rounds_and_the_time_in_the_current_one():
    times = _rounds("FFFF")
    for number, end in enumerate((50.0, 60.0)):
        times.finish(number, end)
    assert times.left(60.0) == pytest.approx(30.0)
    assert times.left(64.0) == pytest.approx(26.0)
    assert times.left(75.0) == pytest.approx(20.0), (
        "the current round is overdue, and later ones are not shorter"
    )


def test_first_round_counts_only_while_it_is_alone():
    times = _rounds("FFFF")
    for number, end in enumerate((0.0, 100.0, 110.0)):
        times.finish(number, end)
    assert times.left(110.0) == pytest.approx(20.0)


def test_refits_are_estimated_apart():
    times = _rounds("FFRFFR")
    for number, end in enumerate((0.0, 10.0, 20.0)):
        times.finish(number, end)
    assert times.left(20.0) == pytest.approx(30 + 10 + 10 + 30), "a refit has three times the steps"
    times.finish(3, 70.0)
    assert times.left(70.0) == pytest.approx(10 + 10 + 50), "as long as the last refit"


def test_no_time_is_left_after_the_last_round():
    times = _rounds("F")
    times.finish(0, 0.0)
    times.finish(1, 5.0)
    assert times.left(6.0) is None


# -- A run


def _record(number: int, seconds: float = 0.0) -> Any:
    return SimpleNamespace(round=number, seconds={"train": seconds})


@pytest.fixture
def started(tmp_path) -> Any:
    """A started run of four rounds of three steps of 16 examples."""
    spec = Toy.make(tmp_path).spec
    return SimpleNamespace(spec=spec, plan=SimpleNamespace(workload=None, rounds=4), resumed_from=0)


def test_run_shows_round_phase_rate_and_time_left_of_all_rounds(clock, started):
    work = RunWork(clock)
    work.run_started(started)
    work.round_finished(_record(0))
    work.report("training", 1, 3)
    assert work.line() == "0 s · round 1 of 4 · training 1/3"
    clock.now += 20.0
    work.round_finished(_record(1))
    assert work.line() == "20 s · round 2 of 4 · starting"
    _report(work, clock, "training", 3, seconds=2.0, dones=range(1, 3))
    assert work.line() == "24 s · round 2 of 4 · training 2/3 · about 56 s left · 8.0 examples/s"


def test_resumed_run_has_a_time_left_from_its_record(clock, started):
    started.resumed_from = 2
    work = RunWork(clock)
    work.run_started(started)
    for number in range(3):
        work.round_finished(_record(number, 30.0))
    work.report("training", 1, 3)
    assert work.parts() == ["round 3 of 4 · training 1/3", "about 1 min 0 s left"]


def test_run_after_its_last_round_is_finishing(clock, started):
    work = RunWork(clock)
    work.run_started(started)
    for number in range(5):
        work.round_finished(_record(number))
    assert work.parts() == ["finishing"]


def test_sampled_answers_name_their_batch(clock):
    work = RunWork(clock)
    work.report("sampling answers", 2, 8)
    work.report("answering", 0, 256)
    assert work.parts() == ["batch 3 of 8 · generating answers 0/256"]


# -- Displays


def test_log_has_a_plain_line_at_intervals(clock):
    work, written = Work(clock), list[str]()
    lines = PlainLines(work.line, written.append, clock)
    _report(work, clock, "training", 60, seconds=1.0, dones=range(1))
    for _ in range(59):
        lines.tick()
        clock.now += 1.0
    assert [line.split(" · ")[0] for line in written] == [f"{FIRST + EVERY * n:.0f} s" for n in range(7)]
    assert EVERY < 10
    assert all(line.isprintable() for line in written)


def test_quick_command_prints_no_line(clock):
    written = list[str]()
    lines = PlainLines(Work(clock).line, written.append, clock)
    clock.now += FIRST - 0.5
    lines.tick()
    assert not written


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O operation on closed file")])
def test_closed_log_ends_the_lines_and_not_the_work(clock, error):
    attempts = list[str]()

    def write(text: str) -> None:
        attempts.append(text)
        raise error

    lines = PlainLines(Work(clock).line, write, clock)
    for _ in range(3):
        clock.now += EVERY
        lines.tick()
    assert lines.closed
    assert len(attempts) == 1


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_moving_line_fits_the_terminal(clock, width):
    work = Work(clock)
    _report(work, clock, "evaluating", 1000, seconds=2.0, dones=range(0, 401, 100))
    text = moving_text(work, width)
    assert text.cell_len < max(width, len("⠋ evaluating 400/1,000") + 1)
    if width == 120:
        assert text.plain.endswith(
            "evaluating 400/1,000 ━━━━────── · about 10 s left in this phase · 50 examples/s · 10 s so far"
        )


def test_phase_from_a_plugin_is_shown_without_control_characters(clock):
    work = Work(clock)
    work.report("\x1b[2Jwork\r", 1, 2)
    assert "\x1b" not in moving_text(work, 80).plain


class Stream(io.StringIO):
    """A stream that is a terminal or a file."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self.terminal


def _shown(monkeypatch: pytest.MonkeyPatch, stream: Stream, patience: float = 0.0) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    with shown(Work(Clock()), patience=patience) as report:
        report("training", 1, 2)
    return stream.getvalue()


def test_terminal_has_a_moving_line_that_is_removed(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    written = _shown(monkeypatch, Stream(terminal=True))
    assert "training 1/2" in written
    assert written.endswith(("\x1b[2K", "\x1b[?25h"))


def test_quick_command_shows_nothing_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert _shown(monkeypatch, Stream(terminal=True), patience=2.0) == ""


@pytest.mark.parametrize(("terminal", "term"), [(False, "xterm"), (True, "dumb")])
def test_no_control_character_where_the_cursor_cannot_move(monkeypatch, terminal, term):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert _shown(monkeypatch, Stream(terminal=terminal)) == ""


def test_terminal_that_is_closed_meanwhile_ends_the_display_and_not_the_work(monkeypatch):
    class Closed(Stream):
        def write(self, text: str, /) -> int:
            raise OSError(5, "Input/output error")

    monkeypatch.setenv("TERM", "xterm")
    assert _shown(monkeypatch, Closed(terminal=True)) == ""


@pytest.mark.parametrize(("terminal", "term"), [(False, "xterm"), (True, "dumb")])
def test_log_lines_reach_the_log_while_a_library_is_silenced(monkeypatch, clock, terminal, term):
    monkeypatch.setenv("TERM", term)
    ticks = list[Callable[[], None]]()

    @contextmanager
    def collected(act: Callable[[], None], seconds: float) -> Generator[None]:
        ticks.append(act)
        yield

    log = Stream(terminal=terminal)
    monkeypatch.setattr(progress_display, "_repeated", collected)
    monkeypatch.setattr(sys, "stderr", log)
    with shown(Work(clock)) as report, redirect_stderr(io.StringIO()):
        report("dequantising", 0, 0)
        clock.now += EVERY
        ticks[0]()
    assert log.getvalue() == "8 s · dequantising\n"
