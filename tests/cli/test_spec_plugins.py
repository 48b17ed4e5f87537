"""`plugins = ["own.py"]` in a spec: what is loaded, what is refused, and that it is the same run as with --plugin."""

import json
import shutil

import pytest

from boostlora.engine import api
from boostlora.engine.foundation.sealed import read_sealed
from boostlora.engine.registry import Registry
from boostlora.engine.spec.document import load
from boostlora.engine.spec.faults import SpecError
from boostlora.engine.spec.resolve import load_spec
from boostlora.engine.study.record import StudyRecord

from .test_plugin_files import BASIS, SPEC
from .tiny_study import TINY

MARK = "\nfrom pathlib import Path\nPath(__file__).with_suffix('.ran').write_text('')\n"


@pytest.fixture
def own(boostlora, tmp_path, monkeypatch):
    """A command in a folder with a spec that names the file of its basis."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_text('plugins = ["own.py"]\n' + SPEC)
    (tmp_path / "own.py").write_text(BASIS + MARK)
    return boostlora


def ran(folder, name="own"):
    """Whether a plugin file was executed; forgets it."""
    mark = folder / f"{name}.ran"
    found = mark.exists()
    mark.unlink(missing_ok=True)
    return found


def test_spec_with_plugin_files_is_the_run_that_plugin_options_give(own, tmp_path):
    (tmp_path / "bare.toml").write_text(SPEC)
    named = json.loads(own("check", "own.toml", "--json").stdout)
    assert named == json.loads(own("check", "bare.toml", "--plugin", "own.py", "--json").stdout)
    run = tmp_path / own("run", "own.toml", "-q").stdout.strip()
    assert read_sealed(run / "provenance.json", ())["plugin_files"] == [str(tmp_path / "own.py")]
    assert "plugins" not in load(run / "spec.toml").tree
    again = own("run", "bare.toml", "--plugin", "own.py").stdout
    assert "already completed" in again
    (tmp_path / "own.py").write_text(BASIS + MARK + "# other code\n")
    assert json.loads(own("check", "own.toml", "--json").stdout)["spec_sha256"] != named["spec_sha256"]


def test_file_named_by_spec_and_command_line_is_loaded_once_and_announced_before(own):
    done = own("check", "own.toml", "--plugin", "./own.py", "--plugin", "own.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert own("check", "own.toml").stderr == "note: own.toml loads plugins from own.py\n"


def test_base_of_a_spec_names_its_own_files_first(own, tmp_path):
    (tmp_path / "sub").mkdir()
    shutil.move(tmp_path / "own.toml", tmp_path / "sub/base.toml")
    shutil.copy(tmp_path / "own.py", tmp_path / "sub/own.py")
    (tmp_path / "more.py").write_text(BASIS.replace('"own"', '"more"'))
    (tmp_path / "top.toml").write_text('extends = "sub/base.toml"\nplugins = ["more.py", "more.py"]\n')
    named = [plugin.path for plugin in load(tmp_path / "top.toml").plugins]
    assert named == [tmp_path / "sub/own.py", tmp_path / "more.py"]
    assert own("check", "top.toml", "--set", "basis.use=more").returncode == 0
    assert (ran(tmp_path), ran(tmp_path / "sub")) == (False, True)


@pytest.mark.parametrize("words", [("run", "-q"), ("check",), ("verify", "--rounds", "1"), ("advise",)])
def test_every_command_on_a_spec_loads_its_files(own, tmp_path, words):
    verb, *rest = words
    done = own(verb, "own.toml", *rest)
    assert done.returncode == 0, done.stderr
    assert ran(tmp_path)


def test_study_runs_its_cells_with_the_files_of_its_spec(own, tmp_path):
    text = TINY.replace('["rotate", "random", "fixed"]', '["own", "fixed"]').replace("seeds = 2", "seeds = 1")
    text = text.replace("rounds = 3", "rounds = 1")
    (tmp_path / "study.toml").write_text('plugins = ["own.py"]\n' + text)
    done = own("ablate", "study.toml", "-q", workers=True)
    assert done.returncode == 0, done.stderr
    record = StudyRecord.read(tmp_path / "runs/tiny/study")
    assert record.plugin_files == (str(tmp_path / "own.py"),)
    assert own("check", "study.toml").returncode == 0
    refused = own("check", "study.toml", "--set", 'ablate.grid.plugins=[["own.py"]]')
    assert '"plugins" cannot vary within a study' in refused.stderr


def test_recorded_spec_runs_nothing_without_the_option(own, tmp_path):
    run = own("run", "own.toml", "-q").stdout.strip()
    ran(tmp_path)
    for words in (("evaluate", run), ("verify", run), ("export", run, "--to", "boost", "--rounds", "all")):
        refused = own(*words)
        assert refused.returncode == 2
        assert f"made with --plugin {tmp_path / 'own.py'}; if you trust it, name it again" in refused.stderr
    for words in (("show", run), ("compare", run, run), ("resume", run)):
        assert own(*words).returncode == 0
    assert not ran(tmp_path)
    assert own("evaluate", run, "--plugin", "own.py").returncode == 0


@pytest.mark.parametrize("verb", ["run", "check", "verify", "evaluate"])
def test_list_in_the_spec_of_a_run_is_refused(own, tmp_path, verb):
    run = tmp_path / own("run", "own.toml", "-q").stdout.strip()
    (run / "evil.py").write_text(BASIS + MARK)
    for name in ("spec.toml", ".spec.lock.toml"):
        (run / name).write_text('plugins = ["evil.py"]\n' + (run / name).read_text())
    target = run if verb == "evaluate" else run / "spec.toml"
    refused = own(verb, target)
    assert refused.returncode == 2
    assert f"if you trust it, give --plugin {run / 'evil.py'}" in refused.stderr
    (run / "provenance.json").unlink()
    own("evaluate", run)
    assert not ran(run, "evil")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('plugins = "own.py"', '1:11: plugins must be a list of file names, got "own.py"'),
        ('plugins = "own.py"', 'did you mean plugins = ["own.py"]?'),
        ("plugins = 3", "1:11: plugins must be a list of file names, got 3"),
        ("plugins = [true]", "1:12: plugins: expected a file name, got true"),
        ('plugins = ["own.py", ""]', '1:22: plugins: expected a file name, got ""'),
        ('plugins = ["own"]', "1:12: plugins: own: not the name of a Python file, which ends with .py"),
        ('plugins = ["own"]', 'did you mean "own.py"?'),
        ('plugins = ["mine.py"]', "1:12: plugins: mine.py: no such file"),
        ('plugins = ["a\\u0000.py"]', "1:12: plugins: a\\x00.py: no such file"),
        ('plugins = ["../own.py"]', "1:12: plugins: ../own.py: outside the folder of the spec"),
        ('plugins = ["link.py"]', "1:12: plugins: link.py: outside the folder of the spec"),
        ('plugin = ["own.py"]', 'did you mean "plugins"?'),
        ('plugins = ["broken.py"]', "plugins: broken.py: ZeroDivisionError: division by zero ("),
        ('plugins = ["exits.py"]', "plugins: exits.py: SystemExit"),
        ('plugins = ["taken.py"]', '"rotate" is already taken by boostlora.plugins.bases.rotate'),
        ('plugins = ["empty.py"]', "plugins: empty.py: implements no hook"),
        ('plugins = ["own.py"]\nplugins = []', "not valid TOML"),
    ],
)
def test_invalid_list_is_refused_with_its_place(own, tmp_path, tmp_path_factory, line, said):
    outside = tmp_path_factory.mktemp("outside") / "link.py"
    outside.write_text(BASIS)
    (tmp_path / "link.py").symlink_to(outside)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "exits.py").write_text("raise SystemExit(0)\n")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "taken.py").write_text(BASIS.replace('"own"', '"rotate"'))
    (tmp_path / "own.toml").write_text(f"{line}\n{SPEC}")
    done = own("run", "own.toml")
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "runs").exists()


def test_file_with_the_name_of_a_shipped_spec_runs_nothing(own, tmp_path):
    shutil.move(tmp_path / "own.toml", tmp_path / "quickstart")
    refused = own("check", "quickstart")
    assert refused.returncode == 2
    assert "quickstart:1:1: plugins: only in a spec whose name ends with .toml" in refused.stderr
    assert not ran(tmp_path)


@pytest.mark.parametrize("record", ["provenance.json", "rounds.jsonl", "study.json"])
def test_spec_in_a_folder_of_results_runs_nothing_even_if_a_spec_extends_it(own, tmp_path, record):
    (tmp_path / "theirs").mkdir()
    for name in ("own.toml", "own.py"):
        shutil.move(tmp_path / name, tmp_path / "theirs" / name)
    (tmp_path / "theirs" / record).write_text("{}")
    (tmp_path / "mine.toml").write_text('extends = "theirs/own.toml"\n')
    for spec in ("mine.toml", "theirs/own.toml"):
        refused = own("check", spec)
        assert refused.returncode == 2
        assert f"if you trust it, give --plugin {tmp_path / 'theirs/own.py'}" in refused.stderr
    assert not ran(tmp_path / "theirs")
    assert own("check", "mine.toml", "--plugin", "theirs/own.py").returncode == 0


def test_list_is_a_key_of_files_only(own):
    refused = own("check", "own.toml", "--set", 'plugins=["own.py"]')
    assert refused.returncode == 2
    assert "on the command line, give --plugin FILE.py" in refused.stderr


def test_reading_a_document_or_a_spec_without_its_files_runs_nothing(own, tmp_path):
    load(tmp_path / "own.toml")
    with pytest.raises(SpecError, match=r"own\.py is not loaded"):
        load_spec(tmp_path / "own.toml", Registry.load())
    assert not ran(tmp_path)


def test_spec_in_python_brings_its_files(own, tmp_path):
    spec = api.load_spec("own.toml")
    assert spec.plugin_files == (tmp_path / "own.py",)
    ensemble = api.run(spec, progress=False)
    assert ensemble.origin.spec.sha256 == spec.sha256
    assert api.run("own.toml", progress=False).spec.sha256 == spec.sha256


def test_shipped_specs_keep_their_hash():
    assert load_spec("quickstart", Registry.load()).as_tree().keys().isdisjoint({"plugins", "plugin_files"})


def test_resumed_run_needs_the_same_code_named_again(own, tmp_path):
    run = own("run", "own.toml", "-q").stdout.strip()
    back = own("rollback", run, "--to", "0").stdout
    option = f"--plugin {tmp_path / 'own.py'}"
    assert f"boostlora resume {run} {option}\n" in back
    ran(tmp_path)
    lacks = own("resume", run)
    assert (lacks.returncode, ran(tmp_path)) == (2, False)
    assert f"the run was made with {option}; if you trust it, name it again" in lacks.stderr
    (tmp_path / "own.py").write_text(BASIS + "# other code\n")
    other = own("resume", run, "--plugin", "own.py")
    assert other.returncode == 2
    assert "cannot resume: since the run started, spec (" in other.stderr
    (tmp_path / "own.py").write_text(BASIS + MARK)
    assert own("resume", run, "--plugin", "own.py", "-q").returncode == 0


def test_commands_printed_for_a_run_name_its_plugin_files(own, tmp_path):
    run = own("run", "own.toml", "-q").stdout.strip()
    option = f"--plugin {tmp_path / 'own.py'}"
    child = own(
        "run", f"{run}/spec.toml", "--plugin", "own.py", "--from", f"{run}@1", "--set", "rounds=2", "-q"
    )
    refused = own("rollback", child.stdout.strip(), "--to", "0")
    assert refused.stderr.endswith(f"spec.toml --from {tmp_path / run}@0 {option}\n")
    rounds, spec = tmp_path / run / "rounds.jsonl", tmp_path / run / "spec.toml"
    rounds.unlink()
    (tmp_path / run / "result.json").unlink()
    again = f"continue with: boostlora resume {run} {option}\n"
    assert own("compare", run, run).stderr.endswith(again)
    assert own("advise", "--run", run, "--plugin", "own.py").stderr.endswith(again)
    spec.write_text(spec.read_text() + "\n")
    changed = own("resume", run, "--plugin", "own.py")
    assert changed.stderr.endswith(f"start another run: boostlora run {run}/spec.toml {option}\n")
