"""The contract of every exporter: another library computes the boosted model's logits from the exported files."""

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
from ..ensemble.ensemble import Ensemble
from ..ensemble.inputs import as_examples
from ..errors import UsageError
from ..foundation.hashes import folder_files
from .assertions import assert_close
from .backends import PRECISION

WEIGHTS = (".safetensors", ".gguf", ".bin")
"""Suffixes of weight files."""

PACKAGE = __name__.partition(".")[0]


@attrs.frozen(kw_only=True, eq=False)
class ExportCase:
    """An ensemble to export, and the backend that computes its reference logits.

    Every round must change the logits, otherwise the suite cannot detect a missing round.
    """

    ensemble: Exportable
    backend: Backend
    """The run's backend: it evaluates the ensemble, and opens the reloaded export."""
    examples: Examples
    """Examples as the backend expects them, with texts tokenised."""
    encode: Callable[[Any], Examples]
    """Texts, or rows of numbers, as such examples; a prompt gets an arbitrary completion."""

    @classmethod
    def of_run(cls, ensemble: Ensemble, *, examples: int = 32) -> ExportCase:
        """The case of a run, with the first `examples` of its test split. Raises `UsageError` if the data are not available."""
        test, exportable = ensemble.origin.experiment.encoded.test, ensemble.exportable()
        architecture = exportable.source.blueprint.architecture

        def encode(inputs: Any) -> Examples:
            completed = [(text, ".") for text in inputs] if architecture.startswith("causal-lm/") else inputs
            return as_examples(completed, ensemble.spec, architecture)

        first = test.take(np.arange(min(examples, len(test)), dtype=np.int64))
        return cls(ensemble=exportable, backend=ensemble.spec.backend, examples=first, encode=encode)

    def of(self, *rounds: MergedRound) -> ExportCase:
        """The same case with only these rounds."""
        return attrs.evolve(self, ensemble=attrs.evolve(self.ensemble, rounds=rounds))

    def evaluated(self, examples: Examples | None = None) -> NDArray[np.float64]:
        """Logits of the ensemble, assembled by the run's backend."""
        model = self.backend.open(self.ensemble.source, self.ensemble.sites)
        model.assemble([(r.updates, r.scale) for r in self.ensemble.rounds])
        return model.logits(self.examples if examples is None else examples)

    def opened(self, source: ModelSource) -> NDArray[np.float64]:
        """Logits of a source without updates."""
        return self.backend.open(source, self.ensemble.sites).logits(self.examples)


class ExporterContract:
    """Inherit, implement `make`, and provide the fixture `case`, such as `ExportCase.of_run(run)`, perhaps for several runs.

    Make the run outside `tmp_path`, where the suite counts files. The fixture `foreign` is an ensemble that `check` must refuse.
    Logits may differ from the evaluated model's by `roundings` unit roundoffs of the exporter's `precision`, relative to the largest; 0
    for an exact export. The lines of `usage` must define `texts` (a list of str) or `rows`, and their `logits`: class logits, or those of
    the next token. If they need something that the suite lacks, such as a user's module, `compares_usage` is False and they only
    have to run.
    """

    roundings: ClassVar[float] = 16
    usage_roundings: ClassVar[float] = 64
    """The same for `usage`, which also computes in the export's precision."""
    units: ClassVar[Mapping[str, float]] = PRECISION
    """Unit roundoffs by precision."""
    compares_usage: ClassVar[bool] = True

    def make(self) -> Exporter:
        """An exporter, as built from the command line."""
        raise NotImplementedError

    @pytest.fixture
    def foreign(self) -> Exportable | None:
        """An ensemble that the exporter must refuse, such as another run's `exportable()`; None, the default, skips that test."""
        return None

    @pytest.fixture
    def case(self) -> ExportCase:
        """A run to export."""
        raise NotImplementedError

    def _written(self, case: ExportCase, folder: Path) -> Path:
        """The export, in a new folder; warnings about a coarse precision are ignored."""
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

    # -- Before and during writing

    def test_check_accepts_the_run_and_precision_is_known(self, case: ExportCase) -> None:
        exporter = self.make()
        assert isinstance(exporter, Exporter)
        exporter.check(case.ensemble)
        assert exporter.precision(case.ensemble) in self.units

    def test_check_refuses_an_unsupported_ensemble(self, foreign: Exportable | None) -> None:
        if foreign is None:
            pytest.skip("the fixture `foreign` names no ensemble that the exporter must refuse")
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
        before = _around(case.ensemble)
        self._written(case, tmp_path / "export")
        assert _around(case.ensemble) == before, "the base was modified"
        assert not list(here.iterdir()), "files in the working directory"
        found = {path.name for path in tmp_path.iterdir()}
        assert found == {"here", "export"}, "other files in tmp_path: write none, and make the run elsewhere"

    # -- Logits of the export

    def test_reloaded_export_has_the_logits_of_the_evaluated_model(
        self, case: ExportCase, tmp_path: Path
    ) -> None:
        expected = case.evaluated()
        allowed = self._allowed(case, expected, self.roundings)
        base = case.of().evaluated()
        learned = float(np.max(np.abs(expected - base)))
        assert learned > 4 * allowed, f"the rounds move logits by {learned:.1e}, allowed {allowed:.1e}"
        found = self._reloaded(case, self._written(case, tmp_path / "export"))
        assert_close(found, expected, atol=allowed, what="logits of the export")

    def test_export_of_no_rounds_has_the_logits_of_the_base(self, case: ExportCase, tmp_path: Path) -> None:
        base = case.of()
        expected = base.evaluated()
        found = self._reloaded(base, self._written(base, tmp_path / "export"))
        allowed = self._allowed(base, expected, self.roundings)
        assert_close(found, expected, atol=allowed, what="logits of the exported base")

    def test_export_without_the_last_round_differs(self, case: ExportCase, tmp_path: Path) -> None:
        rounds = case.ensemble.rounds
        expected = case.evaluated()
        lacking = case.of(*rounds[:-1])
        found = self._reloaded(lacking, self._written(lacking, tmp_path / "export"))
        allowed = self._allowed(case, expected, self.roundings)
        with pytest.raises(AssertionError):
            assert_close(found, expected, atol=allowed, what="logits without the last round")

    def test_damage_to_any_weight_file_is_detected(self, case: ExportCase, tmp_path: Path) -> None:
        expected = case.evaluated()
        allowed = self._allowed(case, expected, self.roundings)
        folder = self._written(case, tmp_path / "export")
        files = self.weight_files(folder)
        assert files, f"no weight files in {sorted(folder_files(folder))}; override weight_files"
        for file in files:
            whole = file.read_bytes()
            file.write_bytes(damaged(whole))
            assert self._differs(case, folder, expected, allowed), (
                f"damage to {file.name} does not change the logits"
            )
            file.write_bytes(whole)
        assert not self._differs(case, folder, expected, allowed), (
            "the intact export differs from the evaluated model"
        )

    def weight_files(self, folder: Path) -> list[Path]:
        """Files whose damage `reload` must detect, by an exception or by other logits.

        By default all files at the top of the folder whose names end in `.safetensors`, `.gguf` or `.bin`.
        """
        return [
            path for name, path in folder_files(folder).items() if "/" not in name and name.endswith(WEIGHTS)
        ]

    def _differs(self, case: ExportCase, folder: Path, expected: NDArray[np.float64], allowed: float) -> bool:
        """Whether an export cannot be loaded, or has other logits."""
        try:
            found = self._reloaded(case, folder)
        except Exception:
            return True
        return not bool(np.max(np.abs(found - expected)) <= allowed)

    def test_usage_loads_the_export_without_this_package(self, case: ExportCase, tmp_path: Path) -> None:
        folder = self._written(case, tmp_path / "export")
        found = run_alone(self.make().usage(case.ensemble, str(folder)), tmp_path)
        if not self.compares_usage:
            return
        inputs = found["texts"] if "texts" in found else np.array(found["rows"])
        assert len(inputs) >= 1
        examples = case.encode(inputs)
        expected = case.evaluated(examples)
        # A prompt has a row of logits for every token of its completion; the first row is the next token's.
        targets = np.ones(len(examples), dtype=np.int64)
        if hasattr(examples.inputs, "targets"):
            targets = np.maximum(examples.inputs.targets, 1)
        first = np.concatenate([[0], np.cumsum(targets)[:-1]])
        # A single text's logits may be close to zero; rounding errors scale with the logits of all examples.
        scale = np.concatenate([np.ravel(expected), np.ravel(case.evaluated())])
        allowed = self._allowed(case, scale, self.usage_roundings)
        assert_close(np.array(found["logits"]), expected[first], atol=allowed, what="logits by usage")


def run_alone(lines: str, folder: Path) -> dict[str, Any]:
    """Run lines of Python that cannot import this package, in an empty namespace and in `folder`.

    Returns the variables `texts` (a list of str), `rows` and `logits` that they define, arrays as nested lists of floats. Exceptions
    propagate; importing this package raises `ImportError`.
    """
    namespace: dict[str, Any] = {"__name__": "usage"}
    with contextlib.chdir(folder), _without_this_package():
        exec(compile(lines, "usage", "exec"), namespace)  # noqa: S102 - our own lines
    return {name: _to_lists(namespace[name]) for name in ("texts", "rows", "logits") if name in namespace}


class _ImportBlocker(importlib.abc.MetaPathFinder):
    """Blocks imports of this package."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        del path, target
        if fullname.partition(".")[0] == PACKAGE:
            raise ImportError(f"{PACKAGE} must not be imported here")


@contextlib.contextmanager
def _without_this_package() -> Generator[None]:
    """Remove this package from `sys.modules`, and block its import."""
    hidden = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == PACKAGE}
    blocker = _ImportBlocker()
    for name in hidden:
        del sys.modules[name]
    sys.meta_path.insert(0, blocker)
    try:
        yield
    finally:
        sys.meta_path.remove(blocker)
        sys.modules.update(hidden)


def _to_lists(value: Any) -> Any:
    """A tensor or array as nested lists; other values unchanged."""
    for step in ("detach", "double", "numpy"):
        value = getattr(value, step, lambda value=value: value)()
    return value.tolist() if hasattr(value, "tolist") else value


def damaged(content: bytes) -> bytes:
    """The file with the highest bit of every byte of its second half flipped; a safetensors header is left intact."""
    start = len(content) // 2
    if len(content) > 8:
        (header,) = struct.unpack("<Q", content[:8])
        if 8 + header < len(content):
            start = (8 + header + len(content)) // 2
    return content[:start] + bytes(byte ^ 0x80 for byte in content[start:])


def _around(ensemble: Exportable) -> dict[Path, dict[str, str]]:
    """SHA-256 of the files beside those of the base; in the cache, to which other processes add theirs, of the base's alone."""
    found = dict[Path, dict[str, str]]()
    for file in ensemble.source.files:
        if file.is_relative_to(ensemble.context.cache):
            found[file] = {file.name: hashlib.sha256(file.read_bytes()).hexdigest()}
        else:
            found[file.parent] = _hashes(file.parent)
    return found


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder, by relative path."""
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in folder_files(folder).items()
    }
