"""A suite that cannot fail proves nothing: trackers that break the contract, each in one way, are caught."""

import json

import pytest

from boostlora.engine.testing.trackers import TrackerContract, make_run


class Lines:
    """Keeps the test accuracy as lines of a file, all that are told."""

    def __init__(self, folder):
        self.folder = folder

    def check(self):
        """Nothing is needed."""

    def follow(self, run):
        self.folder.mkdir(exist_ok=True)
        return Followed(self.path(run))

    def path(self, run):
        return self.folder / f"{run.path.name}.jsonl"


class Followed:
    def __init__(self, path):
        self.path = path

    def round_finished(self, record):
        with self.path.open("a") as lines:
            lines.write(json.dumps([record.round, record.test.accuracy]) + "\n")

    def run_finished(self, result):
        """Nothing is kept of it."""

    def close(self):
        """Nothing is open."""


class OneFile(Lines):
    """Mixes all runs."""

    def path(self, run):
        return self.folder / "all.jsonl"


class Late(Lines):
    """Keeps everything back until the end."""

    def follow(self, run):
        followed, late = super().follow(run), []

        class Hoarder(Followed):
            def round_finished(self, record):
                late.append(record)

            def close(self):
                for record in late:
                    followed.round_finished(record)

        return Hoarder(followed.path)


def suite(tracker):
    class Suite(TrackerContract):
        def make(self, folder):
            return tracker(folder / "kept")

        def recorded(self, folder, run):
            path = tracker(folder / "kept").path(run)
            return {self.accuracy: [tuple(json.loads(line)) for line in path.read_text().splitlines()]}

    return Suite()


def test_suite_passes_a_conforming_tracker(tmp_path):
    suite(Lines).test_rounds_are_kept_at_their_step_with_their_value(tmp_path, make_run(tmp_path))


@pytest.mark.parametrize(
    ("tracker", "test"),
    [
        (Lines, "test_resumed_run_is_one_run_and_nothing_is_kept_twice"),
        (Lines, "test_run_that_was_never_closed_resumes"),
        (OneFile, "test_runs_at_the_same_time_are_kept_apart"),
        (Late, "test_rounds_are_kept_before_the_run_ends"),
    ],
)
def test_suite_catches_a_tracker_that_breaks_the_contract(tmp_path, tracker, test):
    with pytest.raises((AssertionError, FileNotFoundError)):
        getattr(suite(tracker), test)(tmp_path, make_run(tmp_path))
