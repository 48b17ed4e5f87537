"""Tell runs to TensorBoard, through tensorboardX: neither PyTorch nor TensorFlow is needed."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs

from ...engine.contracts.records import RoundRecord
from ...engine.contracts.run_info import RunInfo, RunResult
from ...engine.errors import UsageError
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl
from ._facts import flat, metrics_of, provenance_of

FOLDER = "tensorboard"
"""Folder of the events within a run's own."""
SUFFIX = ".boostlora"
"""What the names of our event files end with: those are replaced, and no others."""
GOALS = ("test/accuracy", "test/loss", "validation/accuracy", "validation/loss")
"""What the page of hyperparameters compares runs by."""


@attrs.frozen(kw_only=True)
class Tensorboard:
    """A curve for every number of a round, the settings for comparison, the whole spec as text.

    A resumed run is told from its first round, and takes the place of the events so far: nothing is shown twice. Look with
    `tensorboard --logdir runs`.
    """

    folder: str = option(
        "", "where runs are kept, each in FOLDER/NAME/HASH; default: tensorboard in each run's own folder"
    )

    def check(self) -> None:
        """The library is there."""
        if find_spec("tensorboardX") is None:
            raise UsageError(
                "tracker tensorboard: tensorboardX is not installed; pip install 'boostlora[tensorboard]'"
            )

    def follow(self, run: RunInfo) -> TensorboardRun:
        """Begin the run's events."""
        path = run.path.absolute()
        if self.folder:
            folder = Path(self.folder).expanduser() / path.parent.name / path.name
        else:
            folder = path / FOLDER
        return TensorboardRun(folder, run)


class TensorboardRun:
    """One run, followed. Events are written as they come, in the thread that tells them, so that a full disk is an error at once."""

    def __init__(self, folder: Path, run: RunInfo) -> None:
        from tensorboardX import summary  # noqa: PLC0415 - not every run has a tracker
        from tensorboardX.event_file_writer import EventsWriter  # noqa: PLC0415
        from tensorboardX.proto import event_pb2  # noqa: PLC0415

        proto: Any = event_pb2  # made at run time: no checker can see into it
        self._summary, self._event = summary, proto.Event
        folder.mkdir(parents=True, exist_ok=True)
        _make_room(folder)
        self._writer = EventsWriter(str(folder / "events"), SUFFIX)
        # A TensorBoard that has read the file before: the start of a session makes it forget all steps from 0 on.
        self._write(0, session_log=proto.SessionLog(status=proto.SessionLog.START))
        self._told = set[int]()
        self._begin(run)

    def _begin(self, run: RunInfo) -> None:
        """Settings, spec and origin."""
        for part in self._summary.hparams(flat(run.settings), dict.fromkeys(GOALS, 0.0)):
            self._write(0, summary=part)
        # As Markdown: four spaces make a block that is shown as it is.
        spec = "\n".join(f"    {line}" for line in run.spec_toml.splitlines())
        origin = "\n".join(f"- {key}: `{value}`" for key, value in provenance_of(run.path).items())
        for name, text in (("spec", spec), ("provenance", origin)):
            self._write(0, summary=self._summary.text(name, text))
        self._writer.flush()

    def round_finished(self, record: RoundRecord) -> None:
        """Every number of the round, at the round as its step."""
        if record.round in self._told:
            return
        for name, value in metrics_of(record).items():
            self._write(record.round, summary=self._summary.scalar(name, value))
        self._writer.flush()
        self._told.add(record.round)

    def run_finished(self, result: RunResult) -> None:
        """How it ended, as text."""
        text = "\n".join(f"- {key}: `{value}`" for key, value in flat(result.as_json()).items())
        self._write(result.rounds, summary=self._summary.text("result", text))
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _write(self, step: int, **content: Any) -> None:
        self._writer.write_event(self._event(wall_time=time.time(), step=step, **content))


def _make_room(folder: Path) -> None:
    """Remove our event files but the last, and wait until a new one's name would come after it.

    A TensorBoard that is open goes on from the file that it reads to the next by name, and stays where it is if its own is gone.
    """
    ours = sorted(folder.glob(f"*{SUFFIX}"))
    for old in ours[:-1]:
        old.unlink()
    while any(f".{int(time.time())}." in last.name for last in ours[-1:]):  # names have the second in them
        time.sleep(0.05)


@hookimpl
def register_trackers(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `tensorboard`."""
    register("tensorboard", Tensorboard)
