"""Results of runs that were never played."""

from pathlib import Path

from boostlora.engine.record.ending import RESULT
from boostlora.engine.record.sealed import write_sealed


def leave_result(folder: Path, status: str) -> None:
    """The sealed result of a run that ended so."""
    content = {"status": status, "reason": "", "rounds": 0, "best_round": 0, "digest": ""}
    write_sealed(folder / RESULT, content)
