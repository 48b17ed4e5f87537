"""`boostlora init plugin`: for every kind, a plugin that runs as it stands, and a test that passes; bad names write nothing."""

import ast
import shlex
import subprocess
import sys
import textwrap

import jinja2
import pytest

from boostlora.engine import testing
from boostlora.engine.registry import KINDS, SERVICES
from boostlora.engine.scaffold import plugins as scaffold

ALL = (*KINDS, *SERVICES)
SLOW = {
    "executor": "the contract starts some twenty processes",
    "exporter": "a run, and some twenty exports of it",
}
TINY = """\
plugins = ["my_own.py"]
name = "tiny"
rounds = 1

[task]
use = "digits"

[model]
use = "mlp"
hidden = [8]
epochs = 1

[adapter]
rank = 2

[optimizer]
steps = 2
batch_size = 8
"""
TABLES = {
    "executor": 'ablate = {grid = {"adapter.rank" = [1]}, seeds = 1, executor.use = "my-own"}',
    "exporter": "",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory, whose modules are forgotten at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("my_own", "test_my_own", "boostlora_plugin_my_own"):
        sys.modules.pop(name, None)


class Results:
    """Names of the tests that passed, and reports of those that failed, of pytest in this process."""

    def __init__(self, file):
        self.passed, self.failed = set(), []
        off = [word for name in ("cacheprovider", "terminal", "xdist") for word in ("-p", f"no:{name}")]
        options = (*off, "-c", "/dev/null", "--rootdir", file.parent, file)
        self.code = pytest.main([*map(str, options)], plugins=[self])

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed.append(report.longreprtext)
        elif report.when == "call":
            self.passed.add(report.nodeid.rpartition("::")[2].partition("[")[0])


def suite_of(file):
    """The contract suite that a written test inherits."""
    (test,) = [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)]
    return getattr(testing, test.bases[0].id)


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=pytest.mark.slow(reason=SLOW[k])) if k in SLOW else k for k in ALL]
)
def test_written_test_is_the_suite_of_its_kind_and_passes(folder, boostlora, kind):
    assert boostlora("init", "plugin", kind, "my_own").returncode == 0
    suite = suite_of(folder / "test_my_own.py")
    assert suite.__name__ in testing.__all__
    if kind in SLOW:  # the command that is printed, in a process of its own
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_my_own.py"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        return
    results = Results(folder / "test_my_own.py")
    assert (results.failed, results.code) == ([], 0)
    assert results.passed == {name for name in dir(suite) if name.startswith("test_")}


@pytest.mark.parametrize("kind", ALL)
def test_written_plugin_runs_in_a_spec_as_it_stands(folder, boostlora, kind):
    assert boostlora("init", "plugin", kind, "my_own").returncode == 0
    table = TABLES.get(kind, f'{kind}.use = "my-own"' if kind in KINDS else "trackers.my-own = {}")
    text = TINY if f"[{kind}]" not in TINY else without(TINY, kind)
    (folder / "tiny.toml").write_text(text.replace("rounds = 1\n", f"rounds = 1\n{table}\n"))
    done = boostlora("ablate" if kind == "executor" else "run", "tiny.toml", "-q", workers=True)
    assert (done.returncode, done.stderr) == (0, "note: tiny.toml loads plugins from my_own.py\n")
    if kind == "tracker":
        rows = (folder / done.stdout.strip() / "my-own.csv").read_text().splitlines()
        assert [row.split(",")[0] for row in rows] == ["round", "0", "1"]
    if kind == "exporter":
        done = boostlora("export", "tiny", "--to", "my-own", "--plugin", "my_own.py", "--rounds", "1")
        assert done.returncode == 0, done.stderr


def without(text, table):
    """The spec without a table."""
    blocks = text.split("\n\n")
    return "\n\n".join(block for block in blocks if not block.startswith(f"[{table}]"))


@pytest.mark.parametrize("kind", ALL)
def test_what_is_printed_next_can_be_typed(folder, boostlora, kind):
    done = boostlora("init", "plugin", kind, "my_own")
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines()[2:] if ": " in line)
    assert lines["test"].strip() == "python -m pytest test_my_own.py"
    assert done.stdout.endswith('my_own = "your_package.my_own"\n')
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if " boostlora " not in line)
    words = shlex.split(lines["try"])
    if words[1] == "check":
        checked = boostlora(*words[1:])
        assert (checked.returncode, checked.stderr) == (0, "")
    else:
        listed = boostlora("plugins", "my-own", "--plugin", "my_own.py")
        assert listed.returncode == 0
        assert words[0] == "boostlora"
        assert {"--plugin", "my_own.py", "my-own"} <= set(words)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("name", ["selection", "path", "type", "a_name_of_thirty_nine_characters_in_all"])
def test_class_never_hides_a_name_that_its_file_uses(folder, boostlora, kind, name):
    if boostlora("init", "plugin", kind, name).returncode:
        return  # an installed module has the name
    for file in (f"{name}.py", f"test_{name}.py"):
        tree = ast.parse((folder / file).read_text())
        defined = [n.name for n in tree.body if isinstance(n, ast.ClassDef)]
        imported = [a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names]
        assert not set(defined) & set(imported)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sampler",), "give a kind and a name: boostlora init plugin KIND NAME; kinds: task, model,"),
        (("smpler", "x"), 'no kind of plugin "smpler"; did you mean "sampler"?'),
        (("sampler", "Top-Half"), 'cannot name a plugin\'s file: lower-case letters, digits and "_"'),
        (("sampler", "Top-Half"), 'did you mean "top_half"?'),
        (("sampler", "half.py"), 'did you mean "half"?'),
        (("sampler", "../half"), "cannot name a plugin's file"),
        (("sampler", "1st"), "cannot name a plugin's file"),
        (("sampler", "class"), "cannot name a plugin's file"),
        (("sampler", "x" * 65), "cannot name a plugin's file"),
        (
            ("sampler", "hardest"),
            'there is a sampler "hardest" already, of boostlora.plugins.samplers.hardest',
        ),
        (("merge", "line_search"), 'there is a merge "line-search" already'),
        (("sampler", "json"), '"json" is the name of an installed module'),
        (("sampler", "numpy"), '"numpy" is the name of an installed module'),
        (("sampler", "conftest"), '"conftest" is the name of an installed module'),
        (("sampler", "half", "--out", "x.py"), "--label, --text, --model and --out are for specs"),
        (("sampler", "there"), "test_there.py exists; give another name, or replace it with --force"),
    ],
)
def test_bad_request_writes_nothing(folder, boostlora, words, said):
    (folder / "test_there.py").write_text("mine")
    done = boostlora("init", "plugin", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert [path.name for path in folder.iterdir()] == ["test_there.py"]
    assert (folder / "test_there.py").read_text() == "mine"


def test_files_are_replaced_only_if_asked_for(folder, boostlora):
    (folder / "half.py").write_text("mine")
    assert boostlora("init", "plugin", "sampler", "half", "--force").returncode == 0
    assert "class Half:" in (folder / "half.py").read_text()


def test_kind_without_a_suite_gets_the_plugin_alone_and_is_told(folder, boostlora, monkeypatch):
    templates = {"plugins/sampler.py.jinja": textwrap.dedent("class {% raw %}X{% endraw %}: ...\n")}
    alone = jinja2.Environment(loader=jinja2.DictLoader(templates))  # noqa: S701 - Python, not HTML
    monkeypatch.setattr(scaffold, "environment", lambda: alone)
    done = boostlora("init", "plugin", "sampler", "half")
    assert done.returncode == 0
    assert "there is no contract suite for plugins of the kind sampler" in done.stdout
    assert "pytest" not in done.stdout
    assert [path.name for path in folder.iterdir()] == ["half.py"]
