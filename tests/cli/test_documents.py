"""Every block of the documents: files are written, commands run, tables of hooks compared."""

import inspect
import re
import runpy
from types import SimpleNamespace

import pytest

from boostlora.engine import hookspecs

from ..support.documents import Block, Reading, blocks, run_line
from ..support.places import ROOT

DOCUMENTS = [
    str(path.relative_to(ROOT))
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted(ROOT.glob("docs/**/*.md")),
        ROOT / "plugins" / "README.md",
    )
]
WITHOUT_COMMANDS = {
    "docs/architecture.md": "the layout of the code",
    "docs/architectures.md": "tables that tests/real holds to what is true",
    "docs/concepts/glossary.md": "terms",
    "docs/concepts/method.md": "equations",
    "docs/reference/cli.md": "generated from the commands",
    "docs/reference/data.md": "generated from docstrings",
    "docs/reference/hooks.md": "generated from docstrings",
    "docs/reference/index.md": "links",
    "docs/reference/kinds.md": "generated from docstrings",
    "docs/reference/plugins.md": "generated from the plugins",
    "docs/reference/python.md": "generated from docstrings",
    "docs/reference/sdk.md": "generated from docstrings",
    "docs/reference/spec.md": "generated from the tables",
    "docs/reference/testing.md": "generated from docstrings",
    "plugins/README.md": "a link",
}
"""Pages on which no command is to be tried, and why."""
LONG = {
    "torchrun --nproc-per-node 2 --no-python boostlora run quickstart --set backend.use=torch --set backend.device=cpu": (
        "two processes, each of which imports torch"
    ),
}
"""Commands that take long, and why; no later block reads what they leave."""


def _case(block: Block) -> object:
    why = next((LONG[line] for line in block.lines if line in LONG), None)
    marks = [pytest.mark.slow(reason=why)] if why else []
    return pytest.param(block, id=f"{block.document}-{block.number}", marks=marks)


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """A folder in which README's first command has been run, and what that printed."""
    folder = tmp_path_factory.mktemp("README")
    return folder, run_line("boostlora run quickstart", folder)


@pytest.fixture(scope="module")
def study(quickstart):
    """README's study, run in the folder of its first command: what its commands printed, and the report in Markdown."""
    folder = quickstart[0]
    next(block for block in blocks("README.md") if "# file: question.toml" in block.text).write(folder)
    lines = [line for block in blocks("README.md") for line in block.lines if "question" in line]
    answers = [run_line(line, folder) for line in lines]
    assert all(answer.returncode == 0 for answer in answers)
    return [answer.stdout for answer in answers], folder / "runs" / "question" / "report" / "report.md"


@pytest.fixture(scope="module")
def readings(tmp_path_factory, quickstart, study):
    """Every document, and how far it has been read; README's reader has run its first command and its study before."""
    del study
    folders = {document: tmp_path_factory.mktemp("document") for document in DOCUMENTS}
    return {
        document: Reading(document, folder)
        for document, folder in {**folders, "README.md": quickstart[0]}.items()
    }


@pytest.mark.parametrize("block", [_case(b) for document in DOCUMENTS for b in blocks(document) if b.lines])
def test_commands_in_documents_exit_with_the_documented_code(block, readings):
    reading = readings[block.document]
    reading.reach(block.number, LONG).run(reading.folder)


def test_every_document_with_commands_is_tested():
    tried = {document for document in DOCUMENTS if any(block.lines for block in blocks(document))}
    assert tried.isdisjoint(WITHOUT_COMMANDS), "a page that has a command after all"
    assert tried | WITHOUT_COMMANDS.keys() == set(DOCUMENTS), "a document without a command that is tried"
    assert LONG.keys() <= {
        line for document in DOCUMENTS for block in blocks(document) for line in block.lines
    }


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= 1_000


def _shown(beginning):
    """Every document with a block that begins so, and the block."""
    found = [b for name in DOCUMENTS for b in blocks(name) if b.text.startswith(beginning)]
    assert found
    return [pytest.param(block, id=f"{block.document}-{block.number}") for block in found]


@pytest.mark.parametrize("block", _shown("error: "))
def test_documented_faults_match_the_output(block, tmp_path):
    spec = re.match(r"error: ([\w.-]+\.toml):", block.text)[1]
    for other in blocks(block.document)[: block.number]:
        other.write(tmp_path)
    assert run_line(f"boostlora check {spec}", tmp_path).stderr == block.text


@pytest.mark.parametrize("block", _shown("round failures"))
def test_documented_quickstart_output_matches_the_run(block, quickstart):
    printed = quickstart[1].stdout.splitlines()
    # Seconds and the last digits of overlaps depend on the machine; everything else was the same on every machine tried.
    strip = re.compile(r"(\s+\S+){2}(\s+refit)?$")
    rows = [strip.sub("", line) for line in printed]
    for line in block.text.splitlines():
        if line.strip() and "…" not in line:
            assert strip.sub("", line) in rows, line


@pytest.fixture(scope="module")
def pictures():
    """The script that makes the pictures."""
    return SimpleNamespace(**runpy.run_path(str(ROOT / "docs" / "pictures.py")))


def test_quickstart_picture_matches_the_run(pictures, quickstart):
    (run,) = (quickstart[0] / "runs" / "quickstart").iterdir()
    assert pictures.embedded(pictures.QUICKSTART) == pictures.quickstart_figures(run)
    assert str(pictures.FULL) in (ROOT / "docs" / "boosting.md").read_text()


def test_study_picture_matches_the_study(pictures, study):
    assert pictures.embedded(pictures.STUDY) == pictures.study_figures(study[1])


def test_readme_states_the_results_of_its_study(study):
    few, enough, _ = study[0]
    assert "too few seeds" in few
    assert "6 seeds could" in few
    assert re.search(r"\+19\.7 .* 0\.031 +better", enough)


def test_pictures_are_small_and_used(pictures):
    shown = "".join((ROOT / document).read_text() for document in DOCUMENTS)
    for path in pictures.PICTURES.iterdir():
        assert path.stat().st_size < 100_000
        assert f"{path.parent.name}/{path.name}" in shown


def test_built_in_plugins_are_all_listed():
    from boostlora.engine.registry import KINDS, SERVICES, Registry

    registry, text = Registry.load(), (ROOT / "docs" / "plugins-built-in.md").read_text()
    tables = {slot: f"[{slot}]" for slot in KINDS}
    tables |= {
        "executor": "[ablate.executor]",
        "tracker": "[trackers.NAME]",
        "exporter": "boostlora export --to",
    }
    assert tables.keys() == KINDS.keys() | SERVICES.keys()
    for slot, title in tables.items():
        row = re.search(rf"^\| `{re.escape(title)}` \|([^|]*)\|$", text, re.MULTILINE)[1]
        assert set(re.findall(r"`([a-z0-9-]+)`", row)) == set(registry.entries(slot))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_in_documents_resolve(document):
    here = (ROOT / document).parent
    for place in re.findall(r"\]\(([^)\s]+)\)", (ROOT / document).read_text()):
        if place.startswith(("http:", "https:")):
            continue
        path, _, title = place.partition("#")
        target = here / path if path else ROOT / document
        assert target.exists(), place
        if title:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert title in {re.sub(r"[^\w\- ]", "", t).lower().replace(" ", "-") for t in titles}, place


def test_hook_table_lists_every_hook_with_its_signature():
    text = (ROOT / "docs" / "guides" / "plugins.md").read_text()
    for name, hook in inspect.getmembers(hookspecs, inspect.isfunction):
        if name.startswith(("register_", "run_", "round_")):
            assert f"| `{name}({', '.join(inspect.signature(hook).parameters)})` |" in text


@pytest.mark.parametrize(("folder", "prefix"), [("ablations", ""), ("boosting", "boosting/")])
def test_expected_answers_cover_every_shipped_study(folder, prefix):
    text = (ROOT / "docs" / f"{folder}.md").read_text()
    studies = list((ROOT / "specs" / folder).glob("*.toml"))
    assert studies
    for path in studies:
        assert f"`{prefix}{path.stem}`" in text
