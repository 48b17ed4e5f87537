"""What the tests lean on: work that is shared by workers, commands in this process, and processes forked from it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ..support import commands
from ..support.forked import forked
from ..support.shared import Shared


@pytest.fixture
def store(tmp_path: Path) -> Shared:
    return Shared(tmp_path)


def test_shared_folder_is_made_once_and_by_the_first_who_asks(store: Shared) -> None:
    made = [store.made("one", lambda folder, i=i: (folder / "file").write_text(str(i))) for i in (1, 2)]
    assert made[0] == made[1]
    assert (made[0] / "file").read_text() == "1"


def test_shared_folder_whose_making_failed_is_made_anew(store: Shared) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        store.made("one", fail)
    assert [p.name for p in store.made("one", lambda folder: (folder / "whole").touch()).iterdir()] == [
        "whole"
    ]


def test_command_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    commands.boostlora("--version", cwd=tmp_path)  # imports of libraries may set variables, once
    before = Path.cwd(), dict(os.environ), sys.argv, sys.stdout, sys.stderr
    answer = commands.boostlora("chekc", cwd=tmp_path)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert 'did you mean "check"?' in answer.stderr
    assert (Path.cwd(), dict(os.environ), sys.argv, sys.stdout, sys.stderr) == before


@pytest.mark.parametrize(("ending", "code"), [("", 0), ("exit()", 0), ("exit(3)", 3), ("exit('why')", 1)])
def test_script_ends_as_in_a_process_of_its_own(tmp_path: Path, ending: str, code: int) -> None:
    (tmp_path / "own.py").write_text(f"import sys\nprint(sys.argv, __name__)\n{ending}\n")
    answer = commands.script("own.py", "word", cwd=tmp_path)
    assert (answer.returncode, answer.stdout) == (code, "['own.py', 'word'] __main__\n")


def test_forked_processes_have_their_ranks_and_what_they_print_is_kept(tmp_path: Path) -> None:
    def main() -> None:
        print("rank", os.environ["RANK"], "of", os.environ["WORLD_SIZE"])  # noqa: T201 - the test reads it

    answer = forked(2, main, tmp_path)
    assert answer == (0, "rank 0 of 2\nrank 1 of 2\n", "")
    assert "RANK" not in os.environ


def test_forked_process_that_fails_is_told_with_its_traceback(tmp_path: Path) -> None:
    def main() -> None:
        if os.environ["RANK"] == "1":
            raise RuntimeError("no disk")

    answer = forked(2, main, tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.endswith("RuntimeError: no disk\n")


def test_lines_of_progress_are_cut_from_what_a_process_prints() -> None:
    from boostlora.engine.cli.units import duration

    lines = "".join(f"{duration(seconds)} · round 1 of 8\n" for seconds in (5, 70, 7500))
    assert (
        commands.PROGRESS.sub("", f"note: a · b\n{lines}error: 5 s · no\n")
        == "note: a · b\nerror: 5 s · no\n"
    )
