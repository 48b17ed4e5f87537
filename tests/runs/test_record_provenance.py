"""What a run's provenance says of the folder that it was started from."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from boostlora.engine.runs.provenance import git_commit, memory_bytes, provenance


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    (tmp_path / "data.csv").write_text("1\n")
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "-m", "first"],
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def test_commit_of_a_clean_repository_is_recorded(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True, check=True
    )
    assert git_commit(repository) == head.stdout.strip()
    monkeypatch.chdir(repository)
    assert provenance({}, seed=0)["git"] == head.stdout.strip()


def test_commit_with_uncommitted_changes_is_marked(repository: Path) -> None:
    (repository / "data.csv").write_text("2\n")
    found = git_commit(repository)
    assert found is not None
    assert found.endswith("+")


def test_folder_outside_any_repository_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) is None


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak is read from /proc, which is Linux's"
)
def test_memory_is_the_peak_of_the_process_in_bytes() -> None:
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    assert memory_bytes() == pytest.approx(peak, rel=0.05)  # it may have grown in between
