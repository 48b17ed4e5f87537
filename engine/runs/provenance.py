"""Provenance of a result: versions, hardware, commit, hashes."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from ..foundation.redaction import command_without_credentials

PACKAGES = (
    "boostlora",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "safetensors",
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "huggingface_hub",
    "gguf",
)


def versions() -> dict[str, str]:
    """Versions of Python and of packages that can change a result."""
    found = {package: _version(package) for package in PACKAGES}
    return {"python": platform.python_version()} | {
        name: version for name, version in found.items() if version
    }


@cache
def _version(package: str) -> str:
    """Cached, since a package installed later is not the imported one. Empty if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


@cache
def hardware() -> Mapping[str, Any]:
    """The machine."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "blas": _blas(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _blas() -> list[str]:
    from threadpoolctl import threadpool_info  # noqa: PLC0415

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return sorted({f"{p['internal_api']} {p.get('version')} ({p.get('architecture')})" for p in pools})


def git_commit(folder: Path) -> str | None:
    """Commit of the folder the run was started from, with `+` if it has uncommitted changes."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()  # noqa: S603


def provenance(hashes: dict[str, str], seed: int, processes: int = 1) -> dict[str, Any]:
    """Everything needed to reproduce a run; `hashes` are of the spec, the data and the weights.

    `processes` is the number of processes: with another number, sums are added in another order.
    """
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "processes": processes,
        "hashes": hashes,
        "versions": versions(),
        "hardware": dict(hardware()),
        "git": git_commit(Path.cwd()),
        "command": command_without_credentials([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def memory_bytes() -> int:
    """Peak resident memory of this process in bytes; 0 if unknown."""
    try:
        import resource  # noqa: PLC0415 - absent on Windows
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
