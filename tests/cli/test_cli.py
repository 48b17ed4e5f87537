import json
import re
import subprocess
import sys

import pytest

import boostlora.engine.cli

from ..support.commands import boostlora_process
from ..support.places import ROOT

TINY = [
    "--set",
    "rounds=2",
    "--set",
    "model.hidden=[16, 12]",
    "--set",
    "model.epochs=5",
    "--set",
    "adapter.rank=2",
]

COMMANDS = list(boostlora.engine.cli.COMMANDS)


def test_help_lists_every_command_and_imports_nothing_heavy(boostlora):
    done = boostlora("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", done.stdout, re.MULTILINE)
    code = "import sys, boostlora.engine.cli; print([m for m in ('numpy', 'scipy', 'rich', 'attrs', 'pandas') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_installed_script_exits_with_the_commands_exit_code(tmp_path):
    """In processes: everywhere else commands are called in the tests' own."""
    failing = ["run", "paper/digits", *TINY, "--set", "optimizer.use=sgd", "--set", "optimizer.lr=1e200"]
    for words, code in ((["--version"], 0), (["chekc"], 2), (failing, 3)):
        done = boostlora_process(*words, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert bool(done.stderr) == bool(code)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_works(boostlora, command):
    done = boostlora(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: boostlora {command}" in done.stdout


def test_version_is_that_of_the_distribution(boostlora):
    from importlib.metadata import version

    assert boostlora("--version").stdout == f"boostlora {version('boostlora')}\n"


def test_unknown_command_is_refused_with_a_suggestion(boostlora):
    done = boostlora("chekc")
    assert done.returncode == 2
    assert 'did you mean "check"?' in done.stderr


def test_run_of_a_shipped_spec_prints_a_line_a_round_and_writes_its_folder(boostlora, tmp_path):
    done = boostlora("run", "paper/digits", *TINY)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    header = next(i for i, line in enumerate(lines) if line.startswith("round failures"))
    assert [line.split()[0] for line in lines[header + 1 : header + 4]] == ["0", "1", "2"]
    assert [line.split()[10] for line in lines[header + 1 : header + 4]] == ["0", "2", "4"]  # rank r, 2r
    assert "completed: all 2 rounds done" in done.stdout
    folder = next((tmp_path / "runs" / "paper-digits").iterdir())
    kept = {path.name for path in folder.iterdir()}
    assert kept >= {"spec.toml", "provenance.json", "rounds.jsonl", "result.json", "outcomes", "updates"}
    assert f"boostlora show runs/paper-digits/{folder.name}" in done.stdout


def test_run_again_is_cached_and_fresh_sets_the_old_one_aside(boostlora, tmp_path):
    first = boostlora("run", "paper/digits", *TINY, "--quiet")
    again = boostlora("run", "paper/digits", *TINY)
    assert again.returncode == 0
    assert "already completed (2 of 2 rounds cached); nothing to do" in again.stdout
    fresh = boostlora("run", "paper/digits", *TINY, "--fresh", "--quiet")
    assert fresh.stdout == first.stdout
    names = sorted(path.name for path in (tmp_path / "runs" / "paper-digits").iterdir())
    assert len(names) == 2
    assert names[1].startswith(f"{names[0]}.old-")


def test_run_as_json_prints_one_event_a_line(boostlora):
    done = boostlora("run", "paper/digits", *TINY, "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [e["event"] for e in events] == ["run_started", *["round_finished"] * 3, "run_finished"]
    assert events[0]["plan"]["parameters"] == 16
    assert events[-1]["status"] == "completed"
    assert events[-1]["digest"] == events[-2]["digest"]


def test_failed_run_exits_with_3_and_names_the_round(boostlora):
    changes = ["adapter.use=full", "optimizer.use=sgd", "optimizer.lr=1e200"]
    done = boostlora("run", "paper/digits", *TINY, *(w for c in changes for w in ("--set", c)))
    assert done.returncode == 3
    assert "error: round 1 was refused: " in done.stderr
    assert "Traceback" not in done.stderr


def test_run_of_a_spec_with_faults_exits_with_2_and_leaves_nothing(boostlora, tmp_path):
    (tmp_path / "bad.toml").write_text('[task]\nuse = "digit"\n')
    done = boostlora("run", "bad.toml")
    assert done.returncode == 2
    assert 'bad.toml:2:7: unknown task plugin "digit"' in done.stderr
    assert '      did you mean "digits"?' in done.stderr
    assert 'missing table "[model]"' in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["bad.toml"]


def test_run_of_unknown_spec_is_refused_with_the_closest_name(boostlora):
    done = boostlora("run", "quikstart")
    assert done.returncode == 2
    assert done.stderr == (
        'error: no spec "quikstart": neither a file nor a shipped spec; did you mean "quickstart"? '
        "List the shipped ones with: boostlora specs\n"
    )


def test_check_prints_the_plan_and_runs_nothing(boostlora, tmp_path):
    done = boostlora("check", "paper/digits")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"layers\.0\.weight +128 x 64 +64 +64 +16\n", done.stdout)
    assert "trained parameters: 16 a round, 256 in 16 rounds" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_check_as_json_has_the_plan(boostlora):
    content = json.loads(boostlora("check", "paper/digits", "--json").stdout)
    assert content["plan"]["capacity"] == 16
    assert content["plan"]["parameters"] == 16
    assert [site["name"] for site in content["plan"]["sites"]] == ["layers.0.weight", "layers.1.weight"]


def test_check_resolved_prints_a_spec_with_the_same_hash(boostlora, tmp_path):
    (tmp_path / "full.toml").write_text(boostlora("check", "paper/digits", "--resolved").stdout)
    hashes = {
        json.loads(boostlora("check", s, "--json").stdout)["spec_sha256"]
        for s in ("paper/digits", "full.toml")
    }
    assert len(hashes) == 1


def test_check_warns_of_failures_without_replay(boostlora):
    done = boostlora("check", "paper/digits", "--set", "sampler.replay=0.0")
    assert "note: sampler.replay = 0 trains on failures alone" in done.stdout


def test_check_refuses_more_rounds_than_directions_and_names_the_maximum(boostlora):
    done = boostlora("check", "paper/digits", "--set", "rounds=17")
    assert done.returncode == 2
    assert "Set rounds to at most 16" in done.stderr


def test_check_counts_tied_parameters_once(boostlora):
    done = boostlora("check", "paper/digits", "--set", "adapter.tie=all", "--json")
    assert json.loads(done.stdout)["plan"]["parameters"] == 8


def test_show_of_one_run_has_its_rounds_and_of_several_a_line_each(boostlora):
    for basis in ("rotate", "fixed"):
        boostlora("run", "paper/digits", *TINY, "--set", f"basis.use={basis}", "--quiet")
    several = boostlora("show", "paper-digits").stdout
    assert "basis.use" in several
    assert re.search(r"paper-digits/\w{12} +rotate", several)
    assert re.search(r"paper-digits/\w{12} +fixed", several)
    assert "seed" not in several, "only what differs is shown"
    name = re.search(r"paper-digits/(\w{12}) +fixed", several)[1]
    one = boostlora("show", name[:8]).stdout
    assert "completed: all 2 rounds done" in one
    assert "▁" in one
    assert json.loads(boostlora("show", name, "--json").stdout)["result"]["status"] == "completed"


def test_show_without_runs_prints_how_to_start_one(boostlora):
    done = boostlora("show")
    assert (done.returncode, done.stdout) == (
        0,
        "no runs in runs yet; start one with: boostlora run quickstart\n",
    )


def test_show_of_an_unknown_run_is_refused(boostlora):
    done = boostlora("show", "nothing")
    assert (done.returncode, done.stderr) == (2, 'error: no run "nothing"; in runs there are: none yet\n')


def test_plugins_lists_every_plugin_with_its_options(boostlora):
    content = json.loads(boostlora("plugins", "--json").stdout)
    assert content["broken"] == []
    failures = next(p for p in content["plugins"] if p["name"] == "failures")
    assert failures["help"]
    replay = next(o for o in failures["options"] if o["name"] == "replay")
    assert replay == {
        "name": "replay",
        "type": "a number",
        "default": 0.5,
        "required": False,
        "help": "share of a batch drawn from correct examples",
    }
    text = boostlora("plugins").stdout
    for plugin in content["plugins"]:
        assert f"  {plugin['name']}  " in text
        for option in plugin["options"]:
            assert f"      {option['name']} = " in text


def test_plugins_of_an_unknown_name_is_refused(boostlora):
    done = boostlora("plugins", "nothing")
    assert done.returncode == 2
    assert 'no plugin and no kind "nothing"; kinds: task, model' in done.stderr
    near = boostlora("plugins", "rotat")
    assert 'no plugin and no kind "rotat"; did you mean "rotate"? Kinds: task, model' in near.stderr


def test_plugin_file_that_is_broken_is_named_without_a_traceback(boostlora, tmp_path):
    (tmp_path / "bad.py").write_text("import nothing_of_that_name")
    done = boostlora("run", "paper/digits", "--plugin", "bad.py")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: --plugin bad.py: ModuleNotFoundError: No module named 'nothing_of_that_name' ("
    )
    assert "Traceback" not in done.stderr


def test_check_notes_options_without_effect(boostlora):
    full = boostlora("check", "paper/digits", "--set", "adapter.use=full").stdout
    assert "note: adapter full does not train in frames; [basis] has no effect" in full
    many = boostlora("check", "paper/digits", "--set", "adapter.u=17").stdout
    assert "adapter.u = 17 is more than the 16 entries of a 4 x 4 core" in many


def test_show_on_a_terminal_without_unicode_still_works(boostlora, tmp_path):
    boostlora("run", "paper/digits", *TINY, "--quiet")
    (run,) = (tmp_path / "runs" / "paper-digits").iterdir()
    done = boostlora_process("show", run, cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "?" in done.stdout, "the curve has no character for it"


def test_package_list_names_every_folder():
    import tomllib

    root = ROOT
    declared = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        "boostlora." + ".".join(path.parent.relative_to(root).parts)
        for room in ("engine", "backends", "plugins")
        for path in (root / room).rglob("__init__.py")
    }
    assert set(declared) == found | {"boostlora.specs"}
