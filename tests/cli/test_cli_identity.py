"""When two runs are the same run: by what the spec says, and by the contents of the files it names."""

import json

import pytest

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

TABLE = """
[task]
use = "table"
path = "data.csv"
label = "y"
[model]
use = "mlp"
hidden = [4]
epochs = 2
[adapter]
rank = 1
"""


def test_run_again_on_changed_data_is_another_run(boostlora, tmp_path):
    rows = [f"{i % 7},{i % 3},{'ab'[i % 2]}" for i in range(60)]
    (tmp_path / "mine.toml").write_text("rounds = 1\n" + TABLE)
    (tmp_path / "data.csv").write_text("\n".join(["p,q,y", *rows]))
    first = boostlora("run", "mine.toml", "--quiet")
    assert boostlora("run", "mine.toml", "--quiet").stdout == first.stdout
    (tmp_path / "data.csv").write_text("\n".join(["p,q,y", "9,9,a", *rows[1:]]))
    other = boostlora("run", "mine.toml", "--quiet")
    assert other.returncode == 0
    assert other.stdout != first.stdout


def test_spec_hash_depends_on_the_data_not_on_its_folder(boostlora, tmp_path):
    hashes = set()
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.toml").write_text("rounds = 1\n" + TABLE)
        rows = [f"{i % 7},{i % 3},{'ab'[i % 2]}" for i in range(60)]
        (tmp_path / folder / "data.csv").write_text("\n".join(["p,q,y", *rows]))
        hashes.add(json.loads(boostlora("check", f"{folder}/mine.toml", "--json").stdout)["spec_sha256"])
    assert len(hashes) == 1


BASIS = """
import attrs
from boostlora.engine.sdk.site_basis import UnboundedBasis
from boostlora.engine.hookspecs import hookimpl

@attrs.frozen(kw_only=True)
class Mine(UnboundedBasis):
    def depth(self, ranks, width):
        return max(ranks, default=0)
    def frame(self, site, earlier, rank, rng):
        BODY
        return site.directions(range(rank))

@hookimpl
def register_bases(register):
    register("mine", Mine)
"""
MINE = ["--plugin", "mine.py", "--set", "basis.use=mine"]


def test_run_again_with_a_changed_plugin_file_is_another_run(boostlora, tmp_path):
    (tmp_path / "mine.py").write_text(BASIS.replace("BODY", "pass"))
    first = boostlora("run", "paper/digits", *TINY, *MINE, "--quiet")
    (tmp_path / "mine.py").write_text(BASIS.replace("BODY", "pass  # changed"))
    assert boostlora("run", "paper/digits", *TINY, *MINE, "--quiet").stdout != first.stdout


@pytest.mark.parametrize(
    ("body", "said"), [("1 / 0", "ZeroDivisionError"), ("raise SystemExit(0)", "SystemExit: 0")]
)
def test_run_with_a_raising_plugin_names_it_and_can_be_resumed(boostlora, tmp_path, body, said):
    (tmp_path / "mine.py").write_text(BASIS.replace("BODY", f"if len(earlier) == 1: {body}"))
    done = boostlora("run", "paper/digits", *TINY, *MINE)
    assert done.returncode == 3
    assert f'error: basis plugin "mine": raised {said}' in done.stderr
    shown = boostlora("show", "paper-digits").stdout
    assert 'failed: basis plugin "mine": raised' in shown
    assert f"--plugin {tmp_path / 'mine.py'}" in shown


def test_plugin_file_without_a_hook_is_refused(boostlora, tmp_path):
    (tmp_path / "mine.py").write_text("def register_samplers(register): pass")
    done = boostlora("check", "paper/digits", "--plugin", "mine.py")
    assert (done.returncode, done.stderr) == (
        2,
        "error: --plugin mine.py: implements no hook; its functions must be marked with @hookimpl\n",
    )
