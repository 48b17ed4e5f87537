"""Lines and tables fit the terminal: texts are wrapped, columns stand closer, and the widest cells are cut."""

import re

import pytest

from boostlora.engine.cli import layout
from boostlora.engine.cli.console import Console
from boostlora.engine.cli.layout import aligned, cut, without_dispensable

ROWS = [("site", "shape"), ("model.layers.0.mlp.down_proj", "9 x 8"), ("head", "10 x 8")]


@pytest.fixture
def narrow(monkeypatch):
    """A terminal of so many columns."""

    def set_width(columns):
        monkeypatch.setattr(layout, "line_width", lambda: columns)

    return set_width


@pytest.mark.parametrize(
    ("most", "text"), [(8, "abcdefgh"), (9, "abcdefgh"), (7, "abc…fgh"), (6, "abc…gh"), (1, "…")]
)
def test_cut_keeps_start_and_end_of_a_longer_text(most, text):
    assert cut("abcdefgh", most) == text


def test_table_that_fits_is_not_changed(narrow):
    lines = ["site                           shape", "model.layers.0.mlp.down_proj   9 x 8"]
    assert aligned(ROWS[:2]) == lines
    narrow(len(lines[0]))
    assert aligned(ROWS[:2]) == lines


def test_table_wider_than_the_terminal_moves_columns_closer_before_it_cuts(narrow):
    narrow(35)
    assert aligned(ROWS[:2])[1] == "model.layers.0.mlp.down_proj  9 x 8"
    narrow(27)
    assert aligned(ROWS) == [
        "site                  shape",
        "model.lay…down_proj   9 x 8",
        "head                 10 x 8",
    ]


def test_widest_column_keeps_a_least_width(narrow):
    narrow(10)
    assert aligned(ROWS)[1] == "mode…roj   9 x 8"


def test_dispensable_columns_are_omitted_in_order_until_the_rest_fits(narrow):
    columns = {"run": ["run", "a/123456"], "loss": ["loss", "0.1"], "rank": ["rank", "12"]}
    narrow(20)
    assert without_dispensable(columns, ("rank", "loss")) == (columns, [])
    narrow(19)
    assert without_dispensable(columns, ("rank", "loss"))[1] == ["rank"]
    narrow(5)
    kept, dropped = without_dispensable(columns, ("loss", "absent", "rank"))
    assert (list(kept), dropped) == (["run"], ["loss", "rank"])


@pytest.mark.parametrize(
    ("terminal", "lines"), [(True, ["one two", "  three", "  four"]), (False, ["one two three four"])]
)
def test_text_is_wrapped_on_a_terminal_and_whole_in_a_log(monkeypatch, terminal, lines):
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    monkeypatch.setenv("COLUMNS", "7")
    assert layout.paragraph("one two three four", "  ") == lines


@pytest.mark.parametrize(
    "words",
    [
        ("show", "quickstart"),
        ("show", "quickstart", "other"),
        ("runs",),
        ("check", "quickstart"),
        ("check", "study.toml"),
        ("specs",),
        ("plugins",),
        ("show", "--legend"),
        ("evaluate", "quickstart", "--staged"),
        ("compare", "quickstart@1", "quickstart"),
    ],
    ids=" ".join,
)
def test_output_fits_a_terminal_of_80_columns(words, boostlora, tmp_path, monkeypatch):
    (tmp_path / "study.toml").write_text(
        'extends = "paper/digits"\n[ablate]\ngrid."basis.use" = ["rotate", "fixed"]\n'
    )
    small = ["boosting.refit_every=1", "rounds=2", "model.epochs=2", "optimizer.steps=2"]
    settings = [word for setting in small for word in ("--set", setting)]
    assert boostlora("run", "quickstart", *settings, "-q").returncode == 0
    if "other" in words:
        boostlora("run", "quickstart", *settings, "--set", "name=other", "--set", "optimizer.use=sgd", "-q")
    monkeypatch.setattr(layout, "line_width", lambda: 80)
    monkeypatch.setattr(Console, "is_terminal", True)
    monkeypatch.setenv("COLUMNS", "80")
    done = boostlora(*words)
    assert done.returncode == 0
    lines = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", done.stdout).splitlines()
    assert [line for line in lines if len(line) > 80] == []
