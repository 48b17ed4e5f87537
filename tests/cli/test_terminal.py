"""Nothing that is printed controls the terminal or tells a credential."""

import errno
import io
import re
from pathlib import Path

import click
import pytest

from boostlora.engine import cli
from boostlora.engine.cli.console import Console
from boostlora.engine.cli.terminal import echo, inert, safe

ESCAPES = "\x1b[31mred\x1b]0;title\x07\r\x9b2J\u202eback\x00"
SHOWN = r"\x1b[31mred\x1b]0;title\x07\r\x9b2J\u202eback\x00"


def test_control_characters_are_shown_escaped():
    assert inert(ESCAPES) == SHOWN
    assert inert("a\tb\nc · größer \u00a0 → 学 🙂") == "a\tb\nc · größer \u00a0 → 学 🙂"
    assert safe("see http://a:hunter2x99@h") == "see http://REDACTED@h"


def test_echo_escapes_what_it_prints_on_either_stream(capsys):
    echo(ESCAPES, nl=False)
    echo(ESCAPES, err=True)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (SHOWN, SHOWN + "\n")


def test_echo_escapes_before_it_styles(monkeypatch):
    said = list[str]()
    monkeypatch.setattr(click, "echo", lambda text, **_: said.append(text))
    echo(ESCAPES, fg="red", bold=True)
    echo(ESCAPES)
    assert said == [click.style(SHOWN, fg="red", bold=True), SHOWN]
    assert said[0] != said[1]


def test_echo_to_a_closed_terminal_is_silent_and_other_errors_are_not(monkeypatch):
    def fails(number):
        def write(*_, **__):
            raise OSError(number, "no")

        return write

    monkeypatch.setattr(click, "echo", fails(errno.EIO))
    echo("x")
    monkeypatch.setattr(click, "echo", fails(errno.ENOSPC))
    with pytest.raises(OSError, match="no"):
        echo("x")


def test_console_escapes_texts_in_lines_and_tables_but_keeps_its_own_styles():
    from rich.table import Table
    from rich.text import Text

    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200, color_system="standard", highlight=False)
    table = Table("title " + ESCAPES)
    table.add_row("cell " + ESCAPES)
    console.print("line " + ESCAPES, style="green", markup=False)
    console.print(table)
    console.print(Text("text " + ESCAPES))
    console.print("see http://a:hunter2x99@h")
    printed = out.getvalue()
    for start in ("title ", "cell ", "line "):
        assert start + SHOWN in printed, "whole: what is escaped is measured"
    assert r"text \x1b[31mred" in printed
    assert "\x1b[32m" in printed
    assert "\x1b[31m" not in printed
    assert "\x07" not in printed
    assert "hunter2x99" not in printed


@pytest.mark.parametrize(
    "arguments",
    [
        (ESCAPES[:-1],), ("run", ESCAPES[:-1]), ("run", "--" + ESCAPES[:-1]), ("show", ESCAPES[:-1]),
        ("run", "quickstart", "--set", f"x{ESCAPES[:-1]}=1"), ("run", "quickstart", "--set", f"basis.use={ESCAPES[:-1]}"),
        ("run", "quickstart", ESCAPES[:-1]), ("plugins", ESCAPES[:-1]), ("run", "quickstart", "--plugin", ESCAPES[:-1] + ".py"), ("specs", ESCAPES[:-1]),
        ("status", ESCAPES[:-1]), ("report", ESCAPES[:-1]), ("apply", ESCAPES[:-1], "--out", "x"),
    ],
)  # fmt: skip
def test_names_in_messages_are_escaped(boostlora, tmp_path, arguments):
    answer = boostlora(*arguments)
    assert answer.returncode == 2
    assert not set("\x1b\x07\r\x9b\u202e") & set(answer.stdout + answer.stderr)


def test_message_of_a_broken_plugin_file_is_escaped(boostlora, tmp_path):
    file = tmp_path / "broken.py"
    file.write_text("raise RuntimeError('\\x1b[31mred http://a:hunter2x99@h')\n")
    answer = boostlora("plugins", "--plugin", file)
    assert "\x1b" not in answer.stdout + answer.stderr
    assert "hunter2x99" not in answer.stdout + answer.stderr
    assert r"\x1b[31mred" in answer.stdout + answer.stderr


def test_commands_print_only_through_terminal_and_console():
    folder = Path(cli.__file__).parent
    direct = re.compile(
        r"click\.s?echo\(|\bprint\((?<!\.print\()|rich\.console import [^\n]*\bConsole\b(?!O)"
    )
    found = {
        path.name
        for path in folder.glob("*.py")
        if direct.search(path.read_text()) and path.name not in {"terminal.py", "console.py"}
    }
    assert found == set()
