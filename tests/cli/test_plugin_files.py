"""Plugins from a file: what commands say about a missing file, a mistake in its code, and the command to give next."""

import shlex

import pytest

from ..support.commands import boostlora_process

SPEC = """\
name = "own"
rounds = 1
[task]
use = "digits"
[model]
use = "mlp"
hidden = [4]
epochs = 1
[adapter]
rank = 1
u = 1
[optimizer]
steps = 1
[basis]
use = "own"
"""
BASIS = """\
import attrs
from boostlora.engine.hookspecs import hookimpl
from boostlora.engine.sdk.site_basis import BlockBasis


@attrs.frozen(kw_only=True)
class Own(BlockBasis):
    def depth(self, ranks, width):
        return self.reach(ranks, width)

    def frame(self, site, earlier, rank, rng):
        return site.directions(self.block(earlier, rank, min(site.shape)))


@hookimpl
def register_bases(register):
    register("own", Own)
"""
EXPORTER = """\
import attrs
from boostlora.engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Odd:
    def check(self, ensemble):
        pass

    def precision(self, ensemble):
        return "{precision}"

    def write(self, ensemble, folder):
        (folder / "nothing").write_text("")

    def reload(self, ensemble, folder):
        return ensemble.source

    def usage(self, ensemble, place):
        return str(1 / 0)


@hookimpl
def register_exporters(register):
    register("odd", Odd)
"""
TASK = """\
import attrs
import numpy as np
from boostlora.engine.hookspecs import hookimpl
from boostlora.plugins.tasks.digits import Digits


@attrs.frozen(kw_only=True)
class Odd(Digits):
    def load(self, rng):
        splits = super().load(rng)
        labels = {labels}
        return attrs.evolve(splits, test=attrs.evolve(splits.test, labels=labels))


@hookimpl
def register_tasks(register):
    register("odd", Odd)
"""


@pytest.fixture
def own(boostlora, tmp_path):
    """A command in a folder with a spec and the file of its basis."""
    (tmp_path / "own.toml").write_text(SPEC)
    (tmp_path / "own.py").write_text(BASIS)
    return boostlora


def test_spec_with_an_unknown_plugin_says_how_a_file_is_named(own):
    done = own("check", "own.toml")
    assert done.returncode == 2
    assert 'own.toml:15:7: unknown basis plugin "own"' in done.stderr
    assert "a plugin of your own is named with --plugin FILE.py" in done.stderr


def test_run_with_a_plugin_file_names_it_wherever_it_is_needed(own, tmp_path):
    run = own("run", "own.toml", "--plugin", "own.py", "-q").stdout.strip()
    lacks = own("evaluate", run)
    assert lacks.returncode == 2
    assert (
        f"the run was made with --plugin {tmp_path / 'own.py'}; if you trust it, name it again"
        in lacks.stderr
    )
    again = own("run", "own.toml", "--plugin", "own.py").stdout.splitlines()[-1]
    assert again == f"start over: boostlora run --fresh {run}/spec.toml --plugin {tmp_path / 'own.py'}"
    every = ("--rounds", "all")  # none needs to beat the base
    packed = own("export", run, "--to", "boost", *every, "--plugin", "own.py").stdout.splitlines()[-1]
    assert packed == "merge it with: boostlora apply BASE own.boost.safetensors --plugin own.py"
    assert own("export", run, "--to", "safetensors", *every, "--plugin", "own.py").returncode == 0
    words = shlex.split(packed.partition(": boostlora ")[2].replace("BASE", "own-safetensors/base"))
    assert words[-2:] == ["--plugin", "own.py"]


@pytest.mark.parametrize(
    ("precision", "said"),
    [
        ("double", "precision() returned 'double', not one of float64, float32, float16, bfloat16"),
        ("float32", "raised ZeroDivisionError: division by zero (odd.py:20, in usage)"),
    ],
)
def test_mistake_of_an_exporter_is_the_exporters_and_keeps_nothing(own, tmp_path, precision, said):
    (tmp_path / "odd.py").write_text(EXPORTER.format(precision=precision))
    files = ("--plugin", "own.py", "--plugin", "odd.py")
    run = own("run", "own.toml", "--plugin", "own.py", "-q").stdout.strip()
    done = own("export", run, "--to", "odd", "--rounds", "0", *files, "--out", "odd")
    assert (done.returncode, done.stderr) == (3, f'error: exporter plugin "odd": {said}\n')
    assert not (tmp_path / "odd").exists()


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (
            "splits.test.labels * 1.0",
            "labels of the test split are float64; load() must return classes as integers",
        ),
        (
            "list(splits.test.labels)",
            "labels of the test split are list; load() must return classes as integers",
        ),
        ("splits.test.labels[:-1]", "labels of the test split have shape (538,), expected (539,)"),
        ("splits.test.labels + 1", "labels of the test split are 1 to 10, outside [0, 10)"),
        ("1 / 0", "raised ZeroDivisionError: division by zero (odd.py:11, in load)"),
    ],
)
def test_mistake_of_a_task_is_the_tasks_before_any_work(boostlora, tmp_path, labels, said):
    (tmp_path / "odd.py").write_text(TASK.format(labels=labels))
    done = boostlora("check", "quickstart", "--plugin", "odd.py", "--set", "task.use=odd")
    assert done.returncode == 3
    assert done.stderr.startswith(f'error: task plugin "odd": {said}')


def test_traceback_is_printed_if_asked_for(boostlora, tmp_path, monkeypatch):
    (tmp_path / "odd.py").write_text(TASK.format(labels="1 / 0"))
    command = ("check", "quickstart", "--plugin", "odd.py", "--set", "task.use=odd")
    assert "Traceback" not in boostlora(*command).stderr
    monkeypatch.setenv("BOOSTLORA_TRACEBACK", "1")
    done = boostlora(*command)
    assert done.returncode == 3
    assert "Traceback (most recent call last):" in done.stderr
    assert f'File "{tmp_path / "odd.py"}", line 11, in load' in done.stderr


def test_plugin_file_that_cannot_be_imported_is_named_with_its_line(tmp_path):
    (tmp_path / "odd.py").write_text("import json\nimport no_such_library\n")
    done = boostlora_process("check", "quickstart", "--plugin", "odd.py", cwd=tmp_path)
    assert done.returncode == 2
    assert "No module named 'no_such_library' (odd.py:2, in <module>)" in done.stderr
