"""Cores and accelerators of this machine, and the environment that limits a worker to its share."""

from __future__ import annotations

import os
import shutil
import subprocess

THREADS: tuple[str, ...] = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Variables for the thread counts of numerical libraries, which read them when they are loaded."""
VISIBLE = "CUDA_VISIBLE_DEVICES"


def cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def accelerators() -> list[str]:
    """NVIDIA GPUs that this process may use, by their names in `CUDA_VISIBLE_DEVICES`; loads no library."""
    given = os.environ.get(VISIBLE)
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() and name.strip() != "-1"]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        command = [tool, "--query-gpu=index", "--format=csv,noheader"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return []
    return found.split()


def pinned(threads: int, accelerator: str | None = None) -> dict[str, str]:
    """Environment of a worker with `threads` threads and one accelerator, or all of them."""
    environment = dict.fromkeys(THREADS, str(threads))
    return environment if accelerator is None else {**environment, VISIBLE: accelerator}
