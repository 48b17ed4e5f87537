"""Code runs only where the command line names it: what a study's record says of plugin files runs nothing."""

import pytest

from boostlora.engine.foundation.sealed import read_sealed, write_sealed
from boostlora.engine.study.record import StudyRecord

from .tiny_study import TINY, write

EXECUTOR = """\
from pathlib import Path
import attrs
from boostlora.engine.hookspecs import hookimpl
from boostlora.plugins.executors.local import Local

Path("ran").write_text("")

@attrs.frozen(kw_only=True)
class Mine(Local):
    pass

@hookimpl
def register_executors(register):
    register("mine", Mine)
"""


@pytest.fixture
def study(tmp_path, monkeypatch, boostlora):
    """The folder of a study that was run with an executor of a file."""
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        TINY.replace('executor.use = "local"', "") + '\n[ablate.executor]\nuse = "mine"\nworkers = 1\n',
    )
    (tmp_path / "mine.py").write_text(EXECUTOR)
    done = boostlora("ablate", "tiny.toml", "--plugin", "mine.py", "-q")
    assert done.returncode == 0, done.stderr
    (tmp_path / "ran").unlink()
    return tmp_path


def edit(folder, **changes):
    path = folder / "runs/tiny/study/study.json"
    write_sealed(
        path, {**read_sealed(path, ()), **changes}
    )  # a seal is no signature: whoever writes a record can seal it


def test_collect_without_plugin_option_is_refused_and_names_the_file(study, boostlora):
    answer = boostlora("collect", "tiny", "-q")
    assert answer.returncode == 2
    assert (
        'executor "mine", which is not installed here; plugin files run only if the command line'
        in answer.stderr
    )
    assert answer.stderr.endswith(f"give --plugin {study / 'mine.py'}\n")
    assert not (study / "ran").exists()


def test_collect_with_plugin_option_runs(study, boostlora):
    assert boostlora("collect", "tiny", "-q", "--plugin", "mine.py").returncode == 0
    assert (study / "ran").exists()


def test_collect_refuses_a_changed_plugin_file_before_running_it(study, boostlora):
    (study / "mine.py").write_text(EXECUTOR + "\n")
    answer = boostlora("collect", "tiny", "-q", "--plugin", "mine.py")
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: --plugin mine.py: has changed since the study was run with it")
    assert not (study / "ran").exists()


@pytest.mark.parametrize(
    "words", [("collect", "tiny"), ("status", "tiny"), ("report", "tiny", "--format", "md")]
)
def test_plugin_file_in_a_record_is_not_run(words, study, boostlora):
    (study / "evil.py").write_text("from pathlib import Path\nPath('ran').write_text('')\n")
    edit(study, plugin_files=[str(study / "evil.py")], executor="local", executor_options={})
    assert boostlora(*words).returncode == 0
    assert not (study / "ran").exists()


def test_study_records_the_hashes_of_its_plugin_files(study):
    record = StudyRecord.read(study / "runs/tiny/study")
    assert [len(sha256) for sha256 in record.plugin_hashes] == [64] * len(record.plugin_files) == [64]


def test_queue_record_with_a_path_as_cell_is_refused(study, boostlora):
    from boostlora.engine.errors import RunError
    from boostlora.engine.study.queue import submitted_ids

    (study / "submitted.json").write_text('{"../../x": "1"}')
    with pytest.raises(RunError, match="invalid cell key"):
        submitted_ids(study)
