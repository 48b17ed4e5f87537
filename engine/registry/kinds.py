"""The kinds of plugin: slots of a spec, and services around runs."""

from __future__ import annotations

from typing import Any, Generic, Protocol

import attrs

from .. import contracts


@attrs.frozen(kw_only=True)
class Kind:
    """One kind: `[slot]` of a spec holds one of the `plural`, which meet `contract`."""

    slot: str
    plural: str
    contract: Any
    default: str | None
    """The plugin that a spec uses by default; None: the spec must name one."""
    other_contract: Any = None
    """An alternative contract, if there is one."""

    @property
    def hook(self) -> str:
        """Name of the hook that registers plugins of this kind."""
        return f"register_{self.plural}"

    @property
    def verbs(self) -> list[str]:
        """Members that a plugin of this kind must have."""
        return _verbs(self.contract)

    def missing(self, has: set[str]) -> list[str]:
        """Missing members of a plugin with these names, by the closest contract."""
        wanted = [_verbs(c) for c in (self.contract, self.other_contract) if c is not None]
        return min(([verb for verb in verbs if verb not in has] for verbs in wanted), key=len)


def _verbs(contract: Any) -> list[str]:
    """Its own, and those of the contracts that it extends."""
    protocols = [c for c in contract.__mro__ if c not in {object, Protocol, Generic}]
    return sorted({name for c in protocols for name in vars(c) if not name.startswith("_")})


KINDS: dict[str, Kind] = {
    kind.slot: kind
    for kind in (
        Kind(slot="task", plural="tasks", contract=contracts.Task, default=None),
        Kind(slot="model", plural="models", contract=contracts.Model, default=None),
        Kind(slot="adapter", plural="adapters", contract=contracts.Adapter, default="tinylora"),
        Kind(slot="basis", plural="bases", contract=contracts.Basis, default="rotate"),
        Kind(slot="sampler", plural="samplers", contract=contracts.Sampler, default="failures"),
        Kind(
            slot="objective",
            plural="objectives",
            contract=contracts.Objective,
            other_contract=contracts.PolicyObjective,
            default="cross-entropy",
        ),
        Kind(slot="optimizer", plural="optimizers", contract=contracts.Optimizer, default="adam"),
        Kind(slot="merge", plural="merges", contract=contracts.MergePolicy, default="full"),
        Kind(slot="backend", plural="backends", contract=contracts.Backend, default="reference"),
        Kind(slot="generator", plural="generators", contract=contracts.Generator, default="native"),
    )
}
"""Kinds that determine the result of a run: each is a table of the spec, and part of its hash."""

SERVICES: dict[str, Kind] = {
    kind.slot: kind
    for kind in (
        Kind(
            slot="executor",
            plural="executors",
            contract=contracts.Executor,
            other_contract=contracts.DetachedExecutor,
            default="local",
        ),
        Kind(slot="tracker", plural="trackers", contract=contracts.Tracker, default=None),
        Kind(slot="exporter", plural="exporters", contract=contracts.Exporter, default=None),
    )
}
"""Kinds that run, track and export runs; they change no result."""
