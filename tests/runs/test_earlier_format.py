"""Runs of an earlier format are refused in one line by every command that reads a run."""

import pytest

from boostlora.engine.records.prefix import EarlierFormatError
from boostlora.engine.runs.directory import RunDirectory

from ..support.earlier_run import make_earlier, make_earlier_lines
from ..support.record_toys import PLUGIN

REFUSED = "was written by an earlier format, which this version does not read; run it again with --fresh"
PLUGINS = ("--plugin", str(PLUGIN))

COMMANDS = {
    "show": ("show", "RUN"),
    "show json": ("show", "RUN", "--json"),
    "resume": ("resume", "RUN", *PLUGINS),
    "compare": ("compare", "RUN@best", "RUN@1"),
    "evaluate": ("evaluate", "RUN", "--staged", *PLUGINS),
    "rollback": ("rollback", "RUN", "--to", "1"),
    "export": ("export", "RUN", "--to", "safetensors", *PLUGINS),
    "verify": ("verify", "RUN", *PLUGINS),
    "advise": ("advise", "--run", "RUN", *PLUGINS),
    "check": ("check", "toy.toml", *PLUGINS),
    "run": ("run", "toy.toml", *PLUGINS),
}


def ask(desk, words):
    return desk.command(*(str(desk.path) + word[3:] if word[:3] == "RUN" else word for word in words))


@pytest.fixture(params=[make_earlier, make_earlier_lines], ids=["adapter.directions", "forgotten"])
def earlier(desk, toy, request):
    desk.place(toy.path("whole"))
    request.param(desk.path)
    return desk


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_run_in_an_earlier_format_is_refused_in_one_line(words, earlier):
    answer = ask(earlier, words)
    assert answer.returncode == 3
    assert answer.stderr.splitlines() == [f"error: {answer.stderr[7:].partition(': ')[0]}: {REFUSED}"]
    assert str(earlier.path.name) in answer.stderr


def test_run_in_an_earlier_format_cannot_be_continued(earlier):
    answer = earlier.run("--from", f"{earlier.path}@1", "--set", "rounds=6")
    assert answer.returncode in {2, 3}
    assert REFUSED in answer.stderr
    assert "Traceback" not in answer.stderr


def test_interrupted_run_in_an_earlier_format_is_refused(desk, toy):
    desk.place(toy.path("half"))
    make_earlier(desk.path)
    answer = desk.resume()
    assert (answer.returncode, REFUSED in answer.stderr) == (3, True)


def test_earlier_format_without_rounds_is_refused_by_its_spec(desk, toy):
    desk.place(toy.path("half"))
    make_earlier(desk.path)
    (desk.path / "rounds.jsonl").unlink()
    answer = desk.resume()
    assert (answer.returncode, REFUSED in answer.stderr) == (3, True)


def test_run_in_an_earlier_format_is_replaced_with_fresh(desk, toy):
    desk.place(toy.path("whole"))
    make_earlier(desk.path)
    assert desk.run("--fresh", "--set", "rounds=4").returncode == 0
    assert len(list(desk.path.parent.glob("*.old-*"))) == 1
    RunDirectory.open(desk.path).check_files()


def test_earlier_format_differs_from_a_damaged_run(desk, toy):
    desk.place(toy.path("whole"))
    make_earlier_lines(desk.path)
    with pytest.raises(EarlierFormatError):
        RunDirectory.open(desk.path)
    desk.path.joinpath("rounds.jsonl").write_text("[]\n")
    with pytest.raises(Exception, match=r"rounds\.jsonl:1: not a round record"):
        RunDirectory.open(desk.path)


def test_retired_adapter_key_is_unknown(desk):
    answer = desk.run("--set", "adapter.directions=3")
    assert answer.returncode == 2
    assert 'unknown key "directions"' in answer.stderr
    assert "allowed: " in answer.stderr
