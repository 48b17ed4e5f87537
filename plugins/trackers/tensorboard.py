"""Logging to TensorBoard through tensorboardX, without PyTorch or TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from ...engine.contracts.records import RoundRecord
from ...engine.contracts.run_info import RunInfo, RunResult
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.libraries import require_libraries
from ._metrics import flat, metrics_of, provenance_of

FOLDER = "tensorboard"
"""Folder of event files in a run's folder."""
SUFFIX = ".boostlora"
"""Suffix of our event files; only these are replaced."""
GOALS = ("test/accuracy", "test/loss", "validation/accuracy", "validation/loss")
"""Metrics in TensorBoard's hyperparameter view."""


@attrs.frozen(kw_only=True)
class Tensorboard:
    """A curve for every metric, the settings as hyperparameters, and the spec as text.

    A resumed run is logged again from its first round and replaces the previous events, so nothing is shown twice. View it with
    `tensorboard --logdir runs`.
    """

    folder: str = option(
        "", "folder of event files, each run in FOLDER/NAME/HASH; default: tensorboard in each run's folder"
    )

    def check(self) -> None:
        """Raise `UsageError` if tensorboardX is missing."""
        require_libraries("tracker tensorboard", "tensorboard", "tensorboardX")

    def follow(self, run: RunInfo) -> TensorboardRun:
        """Start the run's event file."""
        path = run.path.absolute()
        if self.folder:
            folder = Path(self.folder).expanduser() / path.parent.name / path.name
        else:
            folder = path / FOLDER
        return TensorboardRun(folder, run)


class TensorboardRun:
    """The event file of one run. Events are written synchronously, so that a full disk raises at once."""

    def __init__(self, folder: Path, run: RunInfo) -> None:
        from tensorboardX import summary  # noqa: PLC0415 - not every run has a tracker
        from tensorboardX.event_file_writer import EventsWriter  # noqa: PLC0415
        from tensorboardX.proto import event_pb2  # noqa: PLC0415

        proto: Any = event_pb2  # generated at run time, without type information
        self._summary, self._event = summary, proto.Event
        folder.mkdir(parents=True, exist_ok=True)
        _make_room(folder)
        self._writer = EventsWriter(str(folder / "events"), SUFFIX)
        # A session start makes a running TensorBoard discard all earlier steps.
        self._write(0, session_log=proto.SessionLog(status=proto.SessionLog.START))
        self._logged = set[int]()
        self._begin(run)

    def _begin(self, run: RunInfo) -> None:
        """Log settings, spec and provenance."""
        for part in self._summary.hparams(flat(run.settings), dict.fromkeys(GOALS, 0.0)):
            self._write(0, summary=part)
        # TensorBoard renders Markdown: four spaces make a code block.
        spec = "\n".join(f"    {line}" for line in run.spec_toml.splitlines())
        origin = "\n".join(f"- {key}: `{value}`" for key, value in provenance_of(run.path).items())
        for name, text in (("spec", spec), ("provenance", origin)):
            self._write(0, summary=self._summary.text(name, text))
        self._writer.flush()

    def round_finished(self, record: RoundRecord) -> None:
        """Log the round's metrics with the round as step."""
        if record.round in self._logged:
            return
        for name, value in metrics_of(record).items():
            self._write(record.round, summary=self._summary.scalar(name, value))
        self._writer.flush()
        self._logged.add(record.round)

    def run_finished(self, result: RunResult) -> None:
        """Log the result as text."""
        text = "\n".join(f"- {key}: `{value}`" for key, value in flat(result.as_json()).items())
        self._write(result.rounds, summary=self._summary.text("result", text))
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _write(self, step: int, **content: Any) -> None:
        self._writer.write_event(self._event(wall_time=time.time(), step=step, **content))


def _make_room(folder: Path) -> None:
    """Remove our event files except the last, and wait until a new file's name would sort after it.

    A running TensorBoard moves from its current file to the next one by name, and stalls if its current file is gone.
    """
    ours = sorted(folder.glob(f"*{SUFFIX}"))
    for old in ours[:-1]:
        old.unlink()
    while any(
        f".{int(time.time())}." in last.name for last in ours[-1:]
    ):  # names contain the time in seconds
        time.sleep(0.05)


@hookimpl
def register_trackers(register: Callable[[str, type[Any]], None]) -> None:
    """Register `tensorboard`."""
    register("tensorboard", Tensorboard)
