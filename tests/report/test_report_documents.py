"""Markdown and LaTeX."""

from __future__ import annotations

import re

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.foundation.markup import escaped as markdown_escaped
from boostlora.engine.report.latex import escaped as latex_escaped
from boostlora.engine.report.latex import latex
from boostlora.engine.report.markdown import markdown

from .analysis_samples import HOSTILE, SITUATIONS, sample

UNESCAPED_PIPE = re.compile(r"(?<!\\)\|")


def table_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("name", sorted(SITUATIONS))
def test_markdown_table_in_every_situation_has_equal_rows(name: str) -> None:
    analysis = sample(**SITUATIONS[name])
    rest, _, tuning = markdown(analysis).partition("## Tuning")
    results, _, costs = rest.partition("## Cost")
    assert bool(costs) == any(row.metrics for row in analysis.rows)
    lines = table_lines(results)
    assert len(lines) == 2 + len(analysis.rows)
    assert len({len(UNESCAPED_PIPE.findall(line)) for line in lines}) == 1
    assert bool(tuning) == bool(analysis.candidates)
    for text, count in ((costs, len(analysis.rows)), (tuning, len(analysis.candidates))):
        lines = table_lines(text) if text else []
        assert len(lines) == (2 + count if text else 0)
        assert len({len(UNESCAPED_PIPE.findall(line)) for line in lines}) == bool(text)


def test_markdown_has_answer_table_and_command() -> None:
    text = markdown(sample())
    assert text.startswith(
        "# bases\n\nDoes giving every round its own singular directions help?\n\nBy test accuracy,"
    )
    assert "- **random**: +10.8 points, p = 0.12 after correction for 2 comparisons" in text
    assert "| rotate | 5 | 64.5 \\[63.8, 65.3\\] | ▲ +17.3 \\[+16.8, +17.7\\] |" in text
    assert "```bash\nboostlora ablate bases.toml\n```" in text


def test_markdown_tables_the_candidates_with_the_chosen_one_marked() -> None:
    text = markdown(sample(tuned=(0.01, 0.1)))
    assert "| fixed | lr = 0.01 | 5 | 42.3 \\[41.5, 43.0\\] |  |" in text
    assert "| fixed | lr = 0.1 | 5 | 47.3 \\[46.5, 48.0\\] | ✓ chosen |" in text
    assert "tuning never uses the test split" in text


def test_markdown_names_uncorrected_comparisons() -> None:
    said = "Neither the intervals nor the p of gained and lost are corrected for the number of comparisons."
    assert said in markdown(sample())


def test_markdown_shows_each_figure_once() -> None:
    text = markdown(sample(), ["differences.svg", "differences.png", "curves.svg", "curves.pdf"])
    assert re.findall(r"!\[.*\]\((.*)\)", text) == ["differences.svg", "curves.svg"]
    assert "![" not in markdown(sample(), ["curves.pdf"])


@given(text=st.text(max_size=40))
def test_markdown_escape_leaves_no_markup(text: str) -> None:
    safe = markdown_escaped(text)
    assert "\n" not in safe
    bare = re.sub(r"\\.", "", safe)
    assert not set(bare) & set("\\`*_[]|#~$<>")
    assert not re.sub("&(?:lt|gt|amp);", "", bare).count("&")


@given(text=st.text(max_size=40) | st.sampled_from(HOSTILE))
def test_latex_escape_leaves_no_markup(text: str) -> None:
    safe = latex_escaped(text)
    bare = re.sub(r"(?<!\\)\$\\?[-a-z^\\]+\$", "", safe)
    bare = re.sub(r"\\[a-z]+\{\}|\\[&%$#_{}]", "", bare)
    assert not set(bare) & set('\\&%$#_{}^\n"<>|')


@pytest.mark.parametrize("name", sorted(SITUATIONS))
def test_latex_in_every_situation_is_balanced(name: str) -> None:
    analysis = sample(**SITUATIONS[name])
    lines = [line for line in latex(analysis).splitlines() if not line.startswith("%")]
    text = "\n".join(lines)
    depth = 0
    for brace in re.sub(r"\\\\|\\[{}]", "", text):
        depth += (brace == "{") - (brace == "}")
        assert depth >= 0
    assert depth == 0
    opened = list[str]()
    for kind, environment in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            opened.append(environment)
        else:
            assert opened.pop() == environment
    assert opened == []
    columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)
    assert columns is not None
    body = [line for line in lines if line.endswith(r"\\")]
    assert len(body) == 1 + len(analysis.rows)
    assert all(len(re.findall(r"(?<!\\)&", line)) == len(columns[1]) - 1 for line in body)
    assert not re.search(r"(?<!\\)%", text.replace("{!}{%", ""))


def test_latex_label_starting_with_a_bracket_is_not_read_as_an_option() -> None:
    body = latex(sample(arms=("[a]", "*b", "c"))).splitlines()
    assert any(line.startswith("{}[a] ") for line in body)
    assert any(line.startswith("{}*b ") for line in body)
    assert not any(line.startswith(("[", "*")) for line in body)


def test_latex_separates_blocks() -> None:
    assert latex(sample(blocks=("x", "y", "z"))).count(r"\midrule") == 3


def test_latex_ends_notes_as_sentences() -> None:
    analysis = sample()
    text = latex(attrs.evolve(analysis, notes=("3 cells failed", "50 % of it?")))
    assert "\n3 cells failed.\n50 \\% of it?\n" in text
