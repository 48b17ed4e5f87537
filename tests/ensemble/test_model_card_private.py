"""Redaction and escaping in model cards."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.export.card.base import Licence, licence_of
from boostlora.engine.export.card.front_matter import as_yaml
from boostlora.engine.export.card.redaction import PathRedactor
from boostlora.engine.foundation.markup import code, fenced, printable

from .card_runs import card_of, causal_run_of, front_of, html_of, mlp_run_of, opened

NOWHERE = PathRedactor(known=("/home/jane doe/models/base", "/data"), home="/home/jane doe")


# -- Paths


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("load('/home/jane doe/models/base')", "load('base')"),
        ("/home/jane doe/models/base/model.safetensors", "base/model.safetensors"),
        ("/home/jane doe/models/base2", "base2"),
        ("see /home/jane doe/x.csv", "see x.csv"),
        ("--runs=/var/lib/runs --out ~/here/out", "--runs=runs --out out"),
        ("PATH=/usr/bin:/opt/tool/bin", "PATH=bin:bin"),
        ("file:///srv/secret/rows.csv", "rows.csv"),
        (r"C:\Users\jane\rows.csv and D:/x/y.csv", "rows.csv and y.csv"),
        ("/data", "data"),
        ("~jane/rows/x.csv", "x.csv"),
    ],
)
def test_absolute_path_is_redacted_to_its_last_component(text: str, expected: str) -> None:
    assert NOWHERE.text(text) == expected


def test_command_argument_with_spaces_is_redacted_as_one_path() -> None:
    assert NOWHERE.word("/srv/her folder/my spec.toml") == "my spec.toml"
    assert NOWHERE.word("--runs=/srv/runs") == "--runs=runs"
    assert NOWHERE.text("open('/srv/her folder/x')") == "open('x')"
    assert NOWHERE.word("quickstart") == "quickstart"


@pytest.mark.parametrize(
    "text",
    [
        "https://huggingface.co/owner/name/blob/main/LICENSE", "hf://datasets/a/b/c", "owner/name",
        "http://localhost:8080/a/b", "and/or", "a / b / c", "/no_think", "x//y", "</s>", "1/2/3", "\n#", "~", "./a/b",
        "place/round-0001/x", "Question: {question}\nAnswer:", "(a)/b/c",
    ],
)  # fmt: skip
def test_text_without_an_absolute_path_is_not_redacted(text: str) -> None:
    assert NOWHERE.text(text) == text


def test_card_of_a_run_has_no_local_folder_names(shared_cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    home = tmp_path / "jane doe" / "secret-project"
    head = f'description = "rows of {home}/words.jsonl, tracked at {tmp_path}/tracking"\n'
    ensemble = opened(causal_run_of(home, shared_cache, head=head), shared_cache)
    usage = (
        f"model = from_pretrained({str(home / 'model')!r})\nother = {str(tmp_path / 'jane doe' / 'z')!r}\n"
    )
    card = card_of(ensemble, tmp_path / "export", usage=usage)
    assert "secret-project" not in card
    assert "jane doe" not in card
    assert str(tmp_path) not in card
    assert str(shared_cache) not in card
    assert str(Path.home()) not in card or Path.home() == Path("/")
    assert "from_pretrained('model')" in card
    assert 'path = "words.jsonl"' in card
    assert "Paths of the author's machine are shortened" in card


def test_card_omits_trackers(shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = opened(mlp_run_of(tmp_path / "run", shared_cache), shared_cache)
    tracked = ensemble.origin.spec_text + '\n[trackers.mlflow]\nuri = "http://jane:hidden@example.invalid"\n'
    monkeypatch.setattr(type(ensemble.origin), "spec_text", tracked)
    card = card_of(ensemble, tmp_path / "export")
    assert 'use = "mlp"' in card
    assert "hidden@" not in card
    assert "[trackers" not in card


# -- Licences

STATED = {
    "license: mit": Licence(ids=("mit",)),
    'license: "Apache-2.0"  # see below': Licence(ids=("apache-2.0",)),
    "license:\n- mit\n- apache-2.0": Licence(ids=("mit", "apache-2.0")),
    "license: other\nlicense_name: qwen-research\nlicense_link: https://example.org/l": Licence(
        ids=("other",), name="qwen-research", link="https://example.org/l"
    ),
    "license: other\nlicense_name: x\nlicense_link: LICENSE": Licence(ids=("other",), name="x"),
    "tags: [a]\nlicense: cc-by-4.0\r": Licence(ids=("cc-by-4.0",)),
}


@pytest.mark.parametrize("front", STATED)
def test_licence_is_read_from_the_front_matter_of_the_base(front: str, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    (tmp_path / "README.md").write_text(f"---\n{front}\n---\n# Base\nlicense: fake\n")
    assert licence_of([tmp_path]) == STATED[front]


@pytest.mark.parametrize(
    "card",
    [
        "# Base\nlicense: mit\n", "---\nlicense: [broken\n---\n", "---\nlicense: 3\n---\n", "---\n- mit\n---\n",
        "---\nlicense: no\n---\n", "---\nlicense: \"mit' <b>|\"\n---\n", "---\nlanguage: en\n---\n", "", "---\nlicense: mit\n",
    ],
)  # fmt: skip
def test_licence_missing_in_the_card_is_read_from_the_licence_file(card: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(card)
    assert licence_of([tmp_path]) == Licence()
    (tmp_path / "LICENSE.txt").write_bytes(b"\n\n    Some | Licence, Version 3 \xff\n  more\n")
    assert licence_of([tmp_path]) == Licence(file="LICENSE.txt", line="Some | Licence, Version 3 �")


def test_licence_link_resolves_to_the_local_or_hub_file(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    (tmp_path / "README.md").write_text("---\nlicense: other\nlicense_link: LICENSE\n---\n")
    assert licence_of([tmp_path], here=["LICENSE"]).link == "LICENSE"
    assert (
        licence_of([tmp_path], hub="owner/name").link == "https://huggingface.co/owner/name/blob/main/LICENSE"
    )


def test_card_states_the_licence_of_the_base(shared_cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    ensemble = opened(causal_run_of(tmp_path / "run", shared_cache), shared_cache)
    none = card_of(ensemble, tmp_path / "none")
    assert "not stated in the base's files; check it before you publish" in none
    assert "license" not in front_of(none)
    (tmp_path / "run" / "model" / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    stated = card_of(ensemble, tmp_path / "stated")
    assert front_of(stated)["license"] == "apache-2.0"
    assert "as its card states it: `apache-2.0`" in stated


# -- Hostile texts


@given(st.text(max_size=40))
def test_front_matter_round_trips_printable_text(text: str) -> None:
    shown = as_yaml({"tags": [text], "model-index": [{"name": text, "results": []}]})
    assert "\n---" not in shown
    assert yaml.safe_load(shown) == {
        "tags": [printable(text)],
        "model-index": [{"name": printable(text), "results": []}],
    }


@pytest.mark.parametrize(
    "word", ["yes", "No", "null", "true", "off", "y", "~", "1e3", "0x1", "- a", "", "a: b", "#"]
)
def test_front_matter_quotes_reserved_yaml_words(word: str) -> None:
    assert yaml.safe_load(as_yaml({"tags": [word]})) == {"tags": [word]}


@pytest.mark.parametrize(
    "name",
    [
        "it's",
        'a "quoted" one',
        "a: b",
        "two\nlines",
        "x\n---\nlicense: mit",
        "- a",
        "&a *b !c",
        "{a: [b",
        "# no",
    ],
)
def test_front_matter_of_hostile_names_equals_that_of_huggingface_hub(name: str) -> None:
    hub = pytest.importorskip("huggingface_hub")
    result = {
        "task": {"type": "text-generation"},
        "dataset": {"type": name, "name": name, "split": "test"},
        "metrics": [{"type": "accuracy", "value": 0.5}],
    }
    shown = as_yaml({"tags": [name], "model-index": [{"name": name, "results": [result]}]})
    assert yaml.safe_load(shown)["model-index"][0]["name"] == printable(name)
    data = hub.ModelCard(f"---\n{shown}---\n").data
    assert yaml.safe_load(data.to_yaml()) == yaml.safe_load(shown)


def test_front_matter_redacts_home_folders_before_escaping() -> None:
    """A home folder becomes `~`, which alone is null in YAML."""
    assert yaml.safe_load(as_yaml({"tags": ["/home/jane"]})) == {"tags": ["~"]}


@given(st.text(alphabet="`|<&\\ a\n", max_size=12))
def test_code_span_renders_exactly_its_text(text: str) -> None:
    from markdown_it import MarkdownIt

    shown = code(text)
    if shown:
        html = MarkdownIt("commonmark").enable("table").render(f"| a |\n| - |\n| {shown} |\n")
        inner = html.split("<td>")[1].split("</td>")[0]
        assert inner.startswith("<code>")
        assert inner.endswith("</code>")
    assert MarkdownIt("commonmark").render(fenced(text)).count("<pre>") == 1


def test_card_with_a_hostile_description_stays_valid(shared_cache: Path, tmp_path: Path) -> None:
    nasty = (
        "---\\n# Not a title\\nlicense: mit\\n--- <script>alert(1)</script> <img src=x onerror=y> | a | ``` "
        "[click](javascript:x) ![](http://x/y.png) {{ 7*7 }} {% raw %} \\u202egnp.exe"
    )
    head, data = f'description = "{nasty}"\n', 'r: [x] #"`|<b>.csv'
    run = mlp_run_of(tmp_path / "run", shared_cache, head=head, data=data)
    card = card_of(opened(run, shared_cache), tmp_path / "export")
    front, html = front_of(card), html_of(card)
    assert "license" not in front
    assert front["model-index"][0]["results"][0]["dataset"]["name"] == data
    for tag in ("<script", "<img", "<b>", 'javascript:x"'):
        assert tag not in html
    assert "{{ 7*7 }}" in html
    assert html.count("<h1>") == 1
    assert html.count("<table>") == 4
    assert "\u202e" not in card.split("```toml")[0]
