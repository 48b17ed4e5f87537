"""The typed spec: everything a run depends on."""

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
SILENT = frozenset({"name", "description", "trackers"})
"""Keys that change no result, and so no hash."""
FOLDERS: Mapping[Any, tuple[str, ...]] = {ModelPath: MODEL_SUFFIXES, DatasetPath: ()}
"""Options that name a folder, with the endings of the files in it that count; none: all of them."""


@attrs.frozen(kw_only=True)
class Head:
    """The keys above the tables."""

    name: str = option(
        "run", "name of the run's folder", Limit(NAME.pattern, lambda x: bool(NAME.fullmatch(x)))
    )
    description: str = option("", "one line for people")
    seed: int = option(0, "the one seed of all randomness", min=0)
    rounds: int = option(16, "boosting rounds; 0 only evaluates the base", min=0, max=100_000)


@attrs.frozen(kw_only=True)
class StopRules:
    """The `[stop]` table: when a run ends before its last round."""

    patience: int = option(0, "rounds without improvement on validation before stopping; 0: never", min=0)
    metric: Literal["accuracy", "loss"] = option("accuracy", "the validation metric that must improve")
    min_delta: float = option(0.0, "how much it must improve to count", min=0.0)
    on_nonfinite: Literal["stop", "skip"] = option("stop", "what a NaN or Inf in a round does to the run")


@attrs.frozen(kw_only=True)
class Slot:
    """One table that holds a plugin: the name of the plugin, and the plugin with its options."""

    use: str
    plugin: Any
    code: str = ""
    """SHA-256 of a plugin's code; empty for built-in ones, whose version is recorded."""
    distribution: str = ""
    """Name and version of the package that an installed plugin comes with."""


@attrs.frozen(kw_only=True)
class Spec:
    """One experiment, nothing implicit; two specs with the same `sha256` are the same experiment."""

    head: Head
    sites: SiteChoice
    stop: StopRules
    slots: Mapping[str, Slot]
    boosting: Boosting = attrs.field(factory=Boosting)
    trackers: Mapping[str, Any] = attrs.field(factory=dict)
    """Tracker plugins by name, one for each table `[trackers.NAME]`; they change no result."""
    start: Start = attrs.field(factory=Start)
    """The round of another run that this one goes on from; none, unless `start.given`."""

    @property
    def task(self) -> Task:
        """The data, and how answers are judged."""
        return self.slots["task"].plugin

    @property
    def model(self) -> Model:
        """What is fine-tuned."""
        return self.slots["model"].plugin

    @property
    def text_model(self) -> TextModel:
        """The model of a spec whose examples are texts."""
        return self.slots["model"].plugin

    @property
    def policy_objective(self) -> PolicyObjective:
        """The objective of a spec that learns from rewards."""
        return self.slots["objective"].plugin

    @property
    def adapter(self) -> Adapter:
        """What is trained at a site."""
        return self.slots["adapter"].plugin

    @property
    def basis(self) -> Basis:
        """The frames that rounds train in."""
        return self.slots["basis"].plugin

    @property
    def sampler(self) -> Sampler:
        """The examples that a round trains on."""
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
        """The scale with which an update is merged."""
        return self.slots["merge"].plugin

    @property
    def backend(self) -> Backend:
        """The library that computes."""
        return self.slots["backend"].plugin

    @property
    def generator(self) -> Generator:
        """The engine that generates text."""
        return self.slots["generator"].plugin

    @property
    def rounds(self) -> int:
        """Boosting rounds."""
        return self.head.rounds

    @property
    def ranks(self) -> Ranks:
        """The rank of every round that takes new directions."""
        return Ranks(usual=self.adapter.rank, listed=self.boosting.ranks, inherited=self.start.ranks)

    def rank_of(self, number: int) -> int:
        """The rank of round `number` (from 1), or, of a refit, of the next round that takes new directions."""
        return self.ranks[self.boosting.fresh_before(number)]

    def as_tree(self) -> dict[str, Any]:
        """The spec as a TOML tree: every option of every plugin, defaults written out, in a fixed order."""
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
        """Canonical TOML; reading it gives an equal spec."""
        return tomli_w.dumps(_lists(self.as_tree()))

    @property
    def sha256(self) -> str:
        """Hash of the canonical dump, by which a run is found again.

        Name, description and trackers are left out, since they change no result; files and folders count by their contents, not by
        their paths, and so does a run to go on from, by the digest of its round, which decides its ranks too; what lies on a hub counts by
        its name. Options of boosting that are all off do not count, and neither does an empty list of ranks, so that runs from
        before there were any have the hash they always had.
        """
        silent = SILENT if self.boosting.given else SILENT | {"boosting"}
        tree = {key: value for key, value in self.as_tree().items() if key not in silent}
        if self.start.given:
            del tree["start"]["run"], tree["start"]["ranks"]
        if not self.boosting.ranks and "boosting" in tree:
            del tree["boosting"]["ranks"]
        for slot, used in self.slots.items():
            tree[slot] |= contents_of(used.plugin)
            tree[slot] |= {"code": used.code} if used.code else {}
        return hashlib.sha256(tomli_w.dumps(_lists(tree)).encode()).hexdigest()

    @property
    def short_hash(self) -> str:
        """The first 12 digits of the hash: the name of the run's own folder."""
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


def _lists(value: Any) -> Any:
    """Tuples as lists, which is what TOML has."""
    if isinstance(value, dict):
        return {key: _lists(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_lists(inner) for inner in value]
    return value
