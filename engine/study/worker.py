"""A worker process: reads jobs as lines of JSON, and writes results in the same form.

It exits at once when its input closes, which means that the parent is gone; every finished round is on disk.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from typing import IO

import attrs
import cattrs

from ..contracts import Job, JobResult


def main() -> None:
    """Run jobs until the input closes."""
    results = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # library output must not mix with results
    jobs = queue.Queue[str]()
    threading.Thread(target=_listen, args=(sys.stdin, jobs), daemon=True).start()
    from .cell_runner import run_cell  # noqa: PLC0415 - heavy, and the master may be gone already

    while True:
        _write_result(results, run_cell(cattrs.structure(json.loads(jobs.get()), Job)))


def _listen(lines: IO[str], jobs: queue.Queue[str]) -> None:
    for line in lines:
        jobs.put(line)
    os._exit(0)  # also in the middle of a computation


def _write_result(results: IO[str], result: JobResult) -> None:
    results.write(json.dumps(attrs.asdict(result)) + "\n")
    results.flush()


if __name__ == "__main__":
    main()
