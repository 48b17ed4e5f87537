"""Results of runs that were never played."""

from pathlib import Path

from boostlora.engine.foundation.sealed import write_sealed
from boostlora.engine.records.run_result import RESULT


def leave_result(folder: Path, status: str) -> None:
    """The sealed result of a run that ended so."""
    content = {"status": status, "reason": "", "rounds": 0, "best_round": 0, "digest": ""}
    write_sealed(folder / RESULT, content)
