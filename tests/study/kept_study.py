"""A small study of two arms and two seeds, without anything being run."""

from __future__ import annotations

from pathlib import Path

import attrs

from boostlora.engine.registry import Registry
from boostlora.engine.study.record import StudyRecord
from boostlora.engine.study.store import known_record, with_exclusions, write_study
from boostlora.engine.study.study_loader import Study, load_study

TEXT = """\
name = "two"
rounds = 2
task.use = "digits"
model.use = "mlp"
[ablate]
seeds = 2
grid."basis.use" = ["rotate", "fixed"]
"""


@attrs.frozen
class Kept:
    """Loads the study from a folder and keeps its record there, as `ablate` does."""

    folder: Path
    registry: Registry

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def record(self) -> Path:
        return self.runs / "two" / "study" / "study.json"

    def load(self, text: str = TEXT) -> Study:
        (self.folder / "file.toml").write_text(text)
        return load_study(self.folder / "file.toml", self.registry, self.runs)

    def write_study(
        self, text: str = TEXT, exclude: tuple[str, ...] = (), include: tuple[str, ...] = ()
    ) -> StudyRecord:
        study, known = self.load(text), known_record(self.runs, "two")
        return write_study(
            with_exclusions(study, known, exclude, include),
            self.runs,
            known,
            "boostlora ablate s",
            runs_cells=True,
        )
