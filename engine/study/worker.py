"""A worker process: jobs come in as lines of JSON, what became of them goes out the same way.

When the line it reads from is closed, its master is gone, and it ends at once: every finished round is on disk.
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
    """Play jobs until there are no more."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not be taken for an answer
    jobs = queue.Queue[str]()
    threading.Thread(target=_listen, args=(sys.stdin, jobs), daemon=True).start()
    from .cell_runner import run_cell  # noqa: PLC0415 - heavy, and the master may be gone already

    while True:
        _answer(answers, run_cell(cattrs.structure(json.loads(jobs.get()), Job)))


def _listen(lines: IO[str], jobs: queue.Queue[str]) -> None:
    for line in lines:
        jobs.put(line)
    os._exit(0)  # in the middle of whatever is being computed


def _answer(answers: IO[str], ended: JobResult) -> None:
    answers.write(json.dumps(attrs.asdict(ended)) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
