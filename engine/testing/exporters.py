"""What every exporter must do: write files from which another library computes what the boosted model computes."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.abc
import struct
import sys
import warnings
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from ..contracts import Backend, Examples, Exportable, Exporter, MergedRound, ModelSource
from ..errors import UsageError
from ..foundation.hashes import folder_files
from .assertions import assert_close
from .backends import PRECISION

WEIGHTS = (".safetensors", ".gguf", ".bin")
"""Endings of files with weights."""

PACKAGE = __name__.partition(".")[0]


@attrs.frozen(kw_only=True, eq=False)
class ExportCase:
    """An ensemble to be exported, and whom to ask what it says.

    What its rounds changed must show in the logits, or a suite could not tell the export from one that lacks a round.
    """

    ensemble: Exportable
    backend: Backend
    """The run's own, which evaluates the ensemble, and opens what was exported."""
    examples: Examples
    """As the backend takes them: texts as tokens."""
    encode: Callable[[Any], Examples]
    """A list of texts, or rows of numbers, as such examples; a text to be continued gets some completion."""

    def of(self, *rounds: MergedRound) -> ExportCase:
        """The same with these rounds alone."""
        return attrs.evolve(self, ensemble=attrs.evolve(self.ensemble, rounds=rounds))

    def evaluated(self, examples: Examples | None = None) -> NDArray[np.float64]:
        """Logits of the ensemble as the run's backend assembles it."""
        model = self.backend.open(self.ensemble.source, self.ensemble.sites)
        model.assemble([(r.updates, r.scale) for r in self.ensemble.rounds])
        return model.logits(self.examples if examples is None else examples)

    def opened(self, source: ModelSource) -> NDArray[np.float64]:
        """Logits of a source, without any update."""
        return self.backend.open(source, self.ensemble.sites).logits(self.examples)


class ExporterContract:
    """Inherit, implement `make`, and provide the fixture `case`, perhaps with several runs.

    Logits may differ from the evaluated model's by `roundings` units of the exporter's `precision`, relative to the largest: 0 where
    the export is to be exact. `usage` must leave what it asked in `texts` (a list of str) or `rows`, and the answer in
    `logits`: of every text, a row of classes or that of its next token. Where it needs what the suite has not (a
    module of the user's), `answers` is False, and it must only run.
    """

    roundings: ClassVar[float] = 16
    usage_roundings: ClassVar[float] = 64
    """The same for `usage`, which computes in the export's precision, and not only stores in it."""
    units: ClassVar[Mapping[str, float]] = PRECISION
    """Rounding units by what `precision` may say."""
    answers: ClassVar[bool] = True

    def make(self) -> Exporter:
        """An exporter, as the command line would make it."""
        raise NotImplementedError

    def foreign(self) -> Exportable | None:
        """An ensemble that it must refuse; None where it takes every one."""
        return None

    @pytest.fixture
    def case(self) -> ExportCase:
        """A run to be exported."""
        raise NotImplementedError

    def _written(self, case: ExportCase, folder: Path) -> Path:
        """The export, in a new folder; what is said of a coarse precision is no error here."""
        folder.mkdir()
        exporter = self.make()
        exporter.check(case.ensemble)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            exporter.write(case.ensemble, folder)
        return folder

    def _reloaded(self, case: ExportCase, folder: Path) -> NDArray[np.float64]:
        return case.opened(self.make().reload(case.ensemble, folder))

    def _allowed(self, case: ExportCase, logits: NDArray[np.float64], roundings: float) -> float:
        unit = self.units[self.make().precision(case.ensemble)]
        return roundings * unit * float(np.max(np.abs(logits)))

    # -- Before and while it writes

    def test_check_accepts_the_run_and_says_how_precise_the_export_is(self, case: ExportCase) -> None:
        exporter = self.make()
        assert isinstance(exporter, Exporter)
        exporter.check(case.ensemble)
        assert exporter.precision(case.ensemble) in self.units

    def test_check_refuses_an_ensemble_that_the_form_cannot_hold(self) -> None:
        foreign = self.foreign()
        if foreign is not None:
            with pytest.raises(UsageError):
                self.make().check(foreign)

    def test_writing_twice_gives_the_same_bytes(self, case: ExportCase, tmp_path: Path) -> None:
        one, two = (_hashes(self._written(case, tmp_path / name)) for name in ("one", "two"))
        assert one == two
        assert one, "nothing was written"

    def test_writing_touches_nothing_but_the_folder(
        self, case: ExportCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = tmp_path / "here"
        here.mkdir()
        monkeypatch.chdir(here)
        around = {file.parent for file in case.ensemble.source.files}
        before = {folder: _hashes(folder) for folder in around}
        self._written(case, tmp_path / "export")
        assert {folder: _hashes(folder) for folder in around} == before, "the base was written to"
        assert not list(here.iterdir()), "files where it was called"
        assert {path.name for path in tmp_path.iterdir()} == {"here", "export"}

    # -- What the export says

    def test_reloaded_export_says_what_the_evaluated_model_says(
        self, case: ExportCase, tmp_path: Path
    ) -> None:
        expected = case.evaluated()
        allowed = self._allowed(case, expected, self.roundings)
        base = case.of().evaluated()
        learned = float(np.max(np.abs(expected - base)))
        assert learned > 4 * allowed, f"the rounds move logits by {learned:.1e}, allowed {allowed:.1e}"
        found = self._reloaded(case, self._written(case, tmp_path / "export"))
        assert_close(found, expected, atol=allowed, what="logits of the export")

    def test_export_of_no_rounds_says_what_the_base_says(self, case: ExportCase, tmp_path: Path) -> None:
        base = case.of()
        expected = base.evaluated()
        found = self._reloaded(base, self._written(base, tmp_path / "export"))
        allowed = self._allowed(base, expected, self.roundings)
        assert_close(found, expected, atol=allowed, what="logits of the exported base")

    def test_export_that_lacks_a_round_is_told_from_the_whole(self, case: ExportCase, tmp_path: Path) -> None:
        rounds = case.ensemble.rounds
        expected = case.evaluated()
        lacking = case.of(*rounds[:-1])
        found = self._reloaded(lacking, self._written(lacking, tmp_path / "export"))
        allowed = self._allowed(case, expected, self.roundings)
        with pytest.raises(AssertionError):
            assert_close(found, expected, atol=allowed, what="logits without the last round")

    def test_damage_to_any_file_of_weights_shows(self, case: ExportCase, tmp_path: Path) -> None:
        expected = case.evaluated()
        allowed = self._allowed(case, expected, self.roundings)
        folder = self._written(case, tmp_path / "export")
        files = self.weight_files(folder)
        assert files
        for file in files:
            whole = file.read_bytes()
            file.write_bytes(damaged(whole))
            assert self._shows(case, folder, expected, allowed), f"{file.name} has no say in the logits"
            file.write_bytes(whole)
        assert not self._shows(case, folder, expected, allowed), "the whole export was told from itself"

    def weight_files(self, folder: Path) -> list[Path]:
        """The files whose damage must show; here all that hold weights, at the folder's top."""
        return [
            path for name, path in folder_files(folder).items() if "/" not in name and name.endswith(WEIGHTS)
        ]

    def _shows(self, case: ExportCase, folder: Path, expected: NDArray[np.float64], allowed: float) -> bool:
        """Whether an export cannot be loaded, or says something else."""
        try:
            found = self._reloaded(case, folder)
        except Exception:
            return True
        return not bool(np.max(np.abs(found - expected)) <= allowed)

    def test_usage_loads_the_export_without_this_package(self, case: ExportCase, tmp_path: Path) -> None:
        folder = self._written(case, tmp_path / "export")
        found = run_alone(self.make().usage(case.ensemble, str(folder)), tmp_path)
        if not self.answers:
            return
        asked = found["texts"] if "texts" in found else np.array(found["rows"])
        assert len(asked) >= 1
        examples = case.encode(asked)
        expected = case.evaluated(examples)
        # A text to be continued has a row for every token of the completion; the first is that of the next token.
        targets = np.ones(len(examples), dtype=np.int64)
        if hasattr(examples.inputs, "targets"):
            targets = np.maximum(examples.inputs.targets, 1)
        first = np.concatenate([[0], np.cumsum(targets)[:-1]])
        # A single text's logits may be next to nothing; roundings are of the size of all examples' logits.
        scale = np.concatenate([np.ravel(expected), np.ravel(case.evaluated())])
        allowed = self._allowed(case, scale, self.usage_roundings)
        assert_close(np.array(found["logits"]), expected[first], atol=allowed, what="logits by usage")


def run_alone(lines: str, folder: Path) -> dict[str, Any]:
    """Run lines of Python that cannot import this package, in an empty namespace and in `folder`.

    Returns `texts` (a list of str), `rows` and `logits` of theirs, these as nested lists of floats. What the lines raise
    is raised, and an import of this package is an `ImportError`.
    """
    told: dict[str, Any] = {"__name__": "usage"}
    with contextlib.chdir(folder), _without_this_package():
        exec(compile(lines, "usage", "exec"), told)  # noqa: S102 - our own lines
    return {name: _numbers(told[name]) for name in ("texts", "rows", "logits") if name in told}


class _Nobody(importlib.abc.MetaPathFinder):
    """Finds this package nowhere."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        del path, target
        if fullname.partition(".")[0] == PACKAGE:
            raise ImportError(f"{PACKAGE} is not to be imported here")


@contextlib.contextmanager
def _without_this_package() -> Generator[None]:
    """Hide what is imported of this package, and refuse to import it."""
    hidden = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == PACKAGE}
    nobody = _Nobody()
    for name in hidden:
        del sys.modules[name]
    sys.meta_path.insert(0, nobody)
    try:
        yield
    finally:
        sys.meta_path.remove(nobody)
        sys.modules.update(hidden)


def _numbers(value: Any) -> Any:
    """A tensor or array as nested lists; anything else as it is."""
    for step in ("detach", "double", "numpy"):
        value = getattr(value, step, lambda value=value: value)()
    return value.tolist() if hasattr(value, "tolist") else value


def damaged(content: bytes) -> bytes:
    """A file's second half with the highest bit of every byte turned; a safetensors file keeps its header."""
    start = len(content) // 2
    if len(content) > 8:
        (header,) = struct.unpack("<Q", content[:8])
        if 8 + header < len(content):
            start = (8 + header + len(content)) // 2
    return content[:start] + bytes(byte ^ 0x80 for byte in content[start:])


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by its path in a folder."""
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in folder_files(folder).items()
    }
