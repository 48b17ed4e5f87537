"""What the system refuses is one sentence and one exit code, whatever was asked of it."""

import errno
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from boostlora.engine.cli.streams import _named, prepare, user_error

from ..support.commands import PATIENCE, SCRIPT

LONG = "d" * 300
FULL = Path("/dev/full")
WITHOUT = "-dac_override,-dac_read_search,-fowner"


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=folder,
        env={**os.environ, "PATH": f"{SCRIPT.parent}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), "error: x: No space left on device", 3),
        (PermissionError(errno.EACCES, "Permission denied", "x"), "error: x: Permission denied", 2),
        (OSError(errno.ELOOP, "Too many links", Path("x")), "error: x: Too many links", 2),
        (OSError(errno.EROFS, "Read-only", "a", None, "b"), "error: a -> b: Read-only", 3),
        (OSError(errno.EIO, "Input/output error"), "error: [Errno 5] Input/output error", 3),
        (OSError(errno.ENOENT, "No such file", b"a\nb"), "error: 'a\\nb': No such file", 2),
        (ValueError("embedded null byte"), "error: a path cannot contain a NUL character", 2),
        (MemoryError("x"), "error: out of memory: x", 3),
    ],
)
def test_system_errors_are_one_sentence(error, message, code):
    told = user_error(error)
    assert told is not None
    assert (told.message, told.code) == (message, code)


@pytest.mark.parametrize("around", [0, 1, 20, 100])
def test_undecodable_text_is_an_error_with_its_context(around):
    with pytest.raises(UnicodeEncodeError) as caught:
        ("x" * around + "\udcff" + "y" * around).encode()
    told = user_error(caught.value)
    shown = min(around, 20)
    near = "x" * shown + r"\udcff" + "y" * shown
    assert told is not None
    assert (told.message, told.code) == (f"error: '{near}': not valid Unicode, cannot be written as UTF-8", 2)


@pytest.mark.parametrize("error", [ValueError("other"), KeyError("x"), OSError("no number")])
def test_unexpected_errors_are_not_reported_as_system_errors(error):
    assert user_error(error) is None


@pytest.mark.skipif(not FULL.exists(), reason="Linux has a device that is always full")
@pytest.mark.parametrize("command", ["specs", "specs quickstart", "--help"])
def test_full_disk_on_standard_output_is_an_error(command, tmp_path):
    done = shell(f"boostlora {command} > /dev/full", tmp_path)
    assert (done.returncode, done.stderr) == (3, "error: standard output: No space left on device\n")


@pytest.mark.slow(reason="processes that load every plugin")
@pytest.mark.parametrize("command", ["specs", "specs quickstart", "plugins", "plugins --json"])
@pytest.mark.parametrize("reader", ["true", "head -1"])
def test_broken_pipe_is_no_failure(command, reader, tmp_path):
    done = shell(f"boostlora {command} | {reader}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_do_not_fail_a_command(closed, tmp_path):
    done = shell(f"boostlora specs {closed}", tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""


def test_exit_code_is_kept_if_standard_error_is_closed(tmp_path):
    assert shell("boostlora show nosuch 2> /dev/full", tmp_path).returncode == 2


@pytest.mark.parametrize("command", ["specs", "specs paper/digits"])
def test_ascii_locale_does_not_fail(command, tmp_path):
    narrow = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    assert shell(f"boostlora {command}", tmp_path, **narrow).returncode == 0


def test_streams_without_a_file_are_left_and_narrow_ones_print_question_marks(monkeypatch):
    bare, narrow = io.StringIO(), io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", bare)
    monkeypatch.setattr(sys, "stderr", narrow)
    prepare()
    assert sys.stdout is bare
    narrow.write("mün")
    narrow.flush()
    assert narrow.buffer.getvalue() == b"m?n"


@pytest.mark.parametrize("buffering", [1, -1])
def test_stream_that_is_named_stays_open_and_as_it_was_buffered(buffering, tmp_path):
    with (tmp_path / "x").open("w", buffering=buffering) as file:
        named = _named(file)
        assert named.line_buffering == file.line_buffering
        named.write("a")
        named.flush()
        del named  # with its file
        file.write("b")
    assert (tmp_path / "x").read_text() == "ab"


@pytest.mark.parametrize(
    "words",
    [
        ("show", LONG),
        ("resume", LONG),
        ("rollback", LONG, "--to", "0"),
        ("compare", LONG, LONG),
        ("verify", LONG),
        ("apply", LONG, LONG),
        ("run", "quickstart", "--runs", LONG),
        ("runs", "--runs", LONG),
        ("check", "quickstart", "--plugin", LONG),
    ],
    ids=lambda words: words[0],
)
def test_name_that_is_too_long_is_a_usage_error(words, tmp_path, boostlora):
    answer = boostlora(*words)
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: ")
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "said"), [("import sys; sys.exit(5)", "SystemExit: 5"), ("exit()", "SystemExit")]
)
def test_plugin_that_exits_is_named(text, said, tmp_path, monkeypatch, boostlora):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.py").write_text(text + "\n")
    answer = boostlora("check", "quickstart", "--plugin", "p.py")
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"error: --plugin p.py: {said}")


def test_plugin_that_exits_while_registering_is_named(tmp_path, monkeypatch, boostlora):
    monkeypatch.chdir(tmp_path)
    hook = "from boostlora.engine.hookspecs import hookimpl\n@hookimpl\ndef register_samplers(register):\n    raise SystemExit(0)\n"
    (tmp_path / "p.py").write_text(hook)
    answer = boostlora("check", "quickstart", "--plugin", "p.py")
    assert (answer.returncode, answer.stderr) == (
        2,
        "error: --plugin p.py: SystemExit: 0 (p.py:4, in register_samplers)\n",
    )


def test_cache_that_cannot_be_written_names_its_variable(tmp_path, monkeypatch, boostlora):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setenv("BOOSTLORA_CACHE", str(tmp_path / "file"))
    answer = boostlora("run", "quickstart", "--set", "rounds=1", "--set", "optimizer.steps=1", "-q")
    assert answer.returncode == 3
    assert f"{tmp_path}/file/" in answer.stderr
    assert answer.stderr.count("BOOSTLORA_CACHE") == 1


@pytest.mark.skipif(
    os.name != "posix" or (os.geteuid() == 0 and shutil.which("setpriv") is None),
    reason="root may do anything, unless setpriv takes it from it",
)
@pytest.mark.parametrize(
    "words", ["show shut", "show --runs shut/runs", "compare shut shut", "run quickstart --runs shut/runs"]
)
def test_unwritable_folder_is_refused_by_name(words, tmp_path):
    (tmp_path / "shut" / "runs").mkdir(parents=True)
    (tmp_path / "shut").chmod(0)
    as_anybody = f"setpriv --bounding-set={WITHOUT} --inh-caps={WITHOUT} " if os.geteuid() == 0 else ""
    done = shell(f"{as_anybody}boostlora {words}", tmp_path)
    (tmp_path / "shut").chmod(0o700)
    assert done.returncode in {2, 3}
    assert done.stderr.startswith("error: shut")
    assert done.stderr.count("\n") == 1
