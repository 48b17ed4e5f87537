"""Every block of README and CONTRIBUTING: files are written, commands run, tables of hooks compared."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from boostlora.engine import hookspecs

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"^# file: (\S+)\n")
IN_A_CLONE = ("make ", ".ci/run")
"""Commands that CI itself runs, in a clone."""


def _blocks(document):
    return [(kind, text) for kind, text in BLOCK.findall((ROOT / document).read_text())]


def _run(line, folder):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder)}
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/studies.md",
        "docs/ablations.md",
        "docs/boosting.md",
        "docs/compare.md",
        "docs/ensemble.md",
        "docs/rewards.md",
        "docs/paper.md",
        "docs/parallel.md",
        "plugins/README.md",
    ],
)
def test_document_commands_run_and_files_are_good(document, tmp_path):
    ran = 0
    for kind, text in _blocks(document):
        if kind in {"toml", "python"} and (name := NAMED.match(text)):
            (tmp_path / name[1]).write_text(text)
        if kind != "bash":
            continue
        for line in text.strip().splitlines():
            if line.startswith(IN_A_CLONE):
                continue
            said = re.search(r"exit code (\d+)", line)
            done = _run(line, tmp_path)
            assert done.returncode == (int(said[1]) if said else 0), f"{line}\n{done.stdout}\n{done.stderr}"
            ran += 1
    assert ran >= {"README.md": 4, "CONTRIBUTING.md": 4, "plugins/README.md": 3, "docs/paper.md": 0}.get(
        document, 1
    )


def test_readme_shows_the_faults_as_they_are_printed(tmp_path):
    blocks = _blocks("README.md")
    wrong = next(text for kind, text in blocks if text.startswith("# file: wrong.toml"))
    shown = next(text for kind, text in blocks if text.startswith("error: wrong.toml"))
    (tmp_path / "wrong.toml").write_text(wrong)
    assert _run("boostlora check wrong.toml", tmp_path).stderr == shown


def test_readme_shows_the_quickstart_as_it_runs(tmp_path):
    shown = next(text for kind, text in _blocks("README.md") if text.startswith("round failures"))
    printed = _run("boostlora run quickstart", tmp_path).stdout.splitlines()
    # Seconds and the last digits of overlaps belong to the machine; everything else is the same everywhere it was tried.
    strip = re.compile(r"(\s+\S+){2}$")
    rows = [strip.sub("", line) for line in printed]
    for line in shown.splitlines():
        if line.strip() and "…" not in line:
            assert strip.sub("", line) in rows, line


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
