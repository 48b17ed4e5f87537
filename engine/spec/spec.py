"""The typed spec: everything that determines a run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import tomli_w

from ..contracts import (
    Adapter,
    Backend,
    Basis,
    Generator,
    MergePolicy,
    Model,
    Objective,
    Optimizer,
    PolicyObjective,
    Sampler,
    Task,
    TextModel,
)
from ..foundation.hashes import file_sha256_cached, folder_sha256
from ..foundation.options import MODEL_SUFFIXES, DatasetPath, FilePath, Limit, ModelPath, option
from ..foundation.run_context import default_cache
from ..registry.kinds import KINDS
from ..sdk.sites import SiteChoice
from .boosting_table import Boosting
from .ranks import Ranks
from .start import Start

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
UNHASHED_KEYS = frozenset({"name", "description", "trackers"})
"""Keys that change no result, and so are not hashed."""
FOLDERS: Mapping[Any, tuple[str, ...]] = {ModelPath: MODEL_SUFFIXES, DatasetPath: ()}
"""Types of options that name a folder, with the suffixes of the files that are hashed; empty: all files."""


@attrs.frozen(kw_only=True)
class Head:
    """The keys above the tables."""

    name: str = option(
        "run", "name of the run's folder", Limit(NAME.pattern, lambda x: bool(NAME.fullmatch(x)))
    )
    description: str = option("", "one-line description")
    seed: int = option(0, "seed of all random streams", min=0)
    rounds: int = option(16, "boosting rounds; 0: only evaluate the base", min=0, max=100_000)


@attrs.frozen(kw_only=True)
class StopRules:
    """The `[stop]` table: when a run ends before its last round."""

    patience: int = option(0, "rounds without improvement on validation before stopping; 0: never", min=0)
    metric: str = option(
        "", "the validation metric that must improve; empty: accuracy, in a regression the loss"
    )
    min_delta: float = option(0.0, "minimum improvement", min=0.0)
    on_nonfinite: Literal["stop", "skip"] = option(
        "stop", "after a NaN or Inf in a round: stop the run, or skip the round"
    )


@attrs.frozen(kw_only=True)
class Slot:
    """A plugin by name, with its options."""

    use: str
    plugin: Any
    code: str = ""
    """SHA-256 of the plugin's code; empty for built-in plugins, whose version is recorded instead."""
    distribution: str = ""
    """Name and version of an installed plugin's package."""


@attrs.frozen(kw_only=True)
class Spec:
    """One experiment, with all defaults explicit; specs with the same `sha256` are the same experiment."""

    head: Head
    sites: SiteChoice
    stop: StopRules
    slots: Mapping[str, Slot]
    boosting: Boosting = attrs.field(factory=Boosting)
    trackers: Mapping[str, Any] = attrs.field(factory=dict)
    """Tracker plugins by name, one for each table `[trackers.NAME]`; they change no result."""
    start: Start = attrs.field(factory=Start)
    """The parent run and round that this run continues from, if `start.given`."""
    plugin_files: tuple[Path, ...] = attrs.field(default=(), eq=False)
    """The plugin files that were loaded with the spec; the code of those it uses is in the slots."""

    @property
    def task(self) -> Task:
        """The data, and how predictions are judged."""
        return self.slots["task"].plugin

    @property
    def model(self) -> Model:
        """The model to fine-tune."""
        return self.slots["model"].plugin

    @property
    def text_model(self) -> TextModel:
        """The model, if examples are texts."""
        return self.slots["model"].plugin

    @property
    def policy_objective(self) -> PolicyObjective:
        """The objective, if it learns from rewards."""
        return self.slots["objective"].plugin

    @property
    def adapter(self) -> Adapter:
        """The parametrisation trained at each site."""
        return self.slots["adapter"].plugin

    @property
    def basis(self) -> Basis:
        """The source of the frames that rounds train in."""
        return self.slots["basis"].plugin

    @property
    def sampler(self) -> Sampler:
        """Selects the examples that a round trains on."""
        return self.slots["sampler"].plugin

    @property
    def objective(self) -> Objective | PolicyObjective:
        """The loss, or the reward."""
        return self.slots["objective"].plugin

    @property
    def optimizer(self) -> Optimizer:
        """The update rule and its learning rates."""
        return self.slots["optimizer"].plugin

    @property
    def merge(self) -> MergePolicy:
        """Chooses the scale with which an update is merged."""
        return self.slots["merge"].plugin

    @property
    def backend(self) -> Backend:
        """The compute backend."""
        return self.slots["backend"].plugin

    @property
    def generator(self) -> Generator:
        """The text generation engine."""
        return self.slots["generator"].plugin

    @property
    def rounds(self) -> int:
        """Boosting rounds."""
        return self.head.rounds

    @property
    def ranks(self) -> Ranks:
        """The ranks of all rounds that take new directions."""
        return Ranks(usual=self.adapter.rank, listed=self.boosting.ranks, inherited=self.start.ranks)

    def as_tree(self) -> dict[str, Any]:
        """The spec as a TOML tree: all options of all plugins, defaults included, in a fixed order."""
        tree: dict[str, Any] = attrs.asdict(self.head)
        for slot in KINDS:
            used = self.slots[slot]
            tree[slot] = {"use": used.use, **attrs.asdict(used.plugin)}
        tree["sites"] = attrs.asdict(self.sites)
        tree["boosting"] = attrs.asdict(self.boosting)
        tree["stop"] = attrs.asdict(self.stop)
        if self.start.given:
            tree["start"] = attrs.asdict(self.start)
        if self.trackers:
            tree["trackers"] = {name: attrs.asdict(tracker) for name, tracker in self.trackers.items()}
        return tree

    def dump(self) -> str:
        """Canonical TOML; parsing it gives an equal spec."""
        return tomli_w.dumps(_tuples_to_lists(self.as_tree()))

    @property
    def sha256(self) -> str:
        """Hash of the canonical dump, which identifies a run.

        Name, description and trackers are excluded, since they change no result. Files and folders are hashed by content, not by path; a
        parent run by its round's digest, which determines its ranks; a model or data set on a hub by name. A `[boosting]` table of
        defaults, and an empty list of ranks, are excluded, so that runs from before these options keep their hash.
        """
        unhashed = UNHASHED_KEYS if self.boosting.given else UNHASHED_KEYS | {"boosting"}
        tree = {key: value for key, value in self.as_tree().items() if key not in unhashed}
        if self.start.given:
            del tree["start"]["run"], tree["start"]["ranks"]
        if not self.boosting.ranks and "boosting" in tree:
            del tree["boosting"]["ranks"]
        for slot, used in self.slots.items():
            tree[slot] |= contents_of(used.plugin)
            tree[slot] |= {"code": used.code} if used.code else {}
        return hashlib.sha256(tomli_w.dumps(_tuples_to_lists(tree)).encode()).hexdigest()

    @property
    def short_hash(self) -> str:
        """The first 12 digits of the hash, which name the run's folder."""
        return self.sha256[:12]


def contents_of(plugin: Any) -> dict[str, str]:
    """Hashes of the files and folders that a plugin's options name."""
    found = dict[str, str]()
    for field in attrs.fields(type(plugin)):
        value = getattr(plugin, field.name)
        if field.type is FilePath and value:
            found[field.name] = file_sha256_cached(Path(value), default_cache())
        elif field.type in FOLDERS and value and Path(value).is_absolute():
            found[field.name] = folder_sha256(Path(value), default_cache(), FOLDERS[field.type])
    return found


def _tuples_to_lists(value: Any) -> Any:
    """Tuples as lists: TOML has no tuples."""
    if isinstance(value, dict):
        return {key: _tuples_to_lists(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_tuples_to_lists(inner) for inner in value]
    return value
