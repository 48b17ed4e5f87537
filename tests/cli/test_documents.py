"""Every block of the documents: files are written, commands run, tables of hooks compared."""

import inspect
import re

import pytest

from boostlora.engine import hookspecs

from ..support.documents import Block, Reading, blocks, run_line
from ..support.places import ROOT

DOCUMENTS = [
    str(path.relative_to(ROOT))
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted(ROOT.glob("docs/*.md")),
        ROOT / "plugins" / "README.md",
    )
]
LONG = {
    "boostlora ablate question.toml    # run them, and compare": "a study of 72 cells",
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
def readings(tmp_path_factory, quickstart):
    """Every document, and how far it has been read."""
    folders = {document: tmp_path_factory.mktemp("document") for document in DOCUMENTS}
    return {
        document: Reading(document, folder)
        for document, folder in {**folders, "README.md": quickstart[0]}.items()
    }


@pytest.mark.parametrize("block", [_case(b) for document in DOCUMENTS for b in blocks(document) if b.lines])
def test_commands_of_a_block_end_as_they_say(block, readings):
    reading = readings[block.document]
    reading.reach(block.number, LONG).run(reading.folder)


def test_documents_with_commands_are_all_tried():
    tried = {document for document in DOCUMENTS if any(block.lines for block in blocks(document))}
    assert tried == set(DOCUMENTS) - {"docs/architectures.md"}, "a document without a command that is tried"
    assert LONG.keys() <= {
        line for document in DOCUMENTS for block in blocks(document) for line in block.lines
    }


def test_readme_shows_the_faults_as_they_are_printed(tmp_path):
    wrong = _shown("# file: wrong.toml")
    (tmp_path / "wrong.toml").write_text(wrong)
    assert run_line("boostlora check wrong.toml", tmp_path).stderr == _shown("error: wrong.toml")


def test_readme_shows_the_quickstart_as_it_runs(quickstart):
    shown = _shown("round failures")
    printed = quickstart[1].stdout.splitlines()
    # Seconds and the last digits of overlaps belong to the machine; everything else is the same everywhere it was tried.
    strip = re.compile(r"(\s+\S+){2}$")
    rows = [strip.sub("", line) for line in printed]
    for line in shown.splitlines():
        if line.strip() and "…" not in line:
            assert strip.sub("", line) in rows, line


def _shown(beginning):
    """The block of README that begins so."""
    return next(block.text for block in blocks("README.md") if block.text.startswith(beginning))


def test_readme_lists_every_built_in_plugin():
    from boostlora.engine.registry import KINDS, SERVICES, Registry

    registry, text = Registry.load(), (ROOT / "README.md").read_text()
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


def test_hook_table_has_every_hook_with_its_signature():
    text = (ROOT / "plugins" / "README.md").read_text()
    for name, hook in inspect.getmembers(hookspecs, inspect.isfunction):
        if name.startswith(("register_", "run_", "round_")):
            assert f"| `{name}({', '.join(inspect.signature(hook).parameters)})` |" in text


@pytest.mark.parametrize(("folder", "prefix"), [("ablations", ""), ("boosting", "boosting/")])
def test_answers_cover_every_shipped_study(folder, prefix):
    text = (ROOT / "docs" / f"{folder}.md").read_text()
    studies = list((ROOT / "specs" / folder).glob("*.toml"))
    assert studies
    for path in studies:
        assert f"`{prefix}{path.stem}`" in text
