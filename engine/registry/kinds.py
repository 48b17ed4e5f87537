"""The kinds of plugin: each a slot of the spec, a contract and a hook."""

from __future__ import annotations

from typing import Any

import attrs

from .. import contracts


@attrs.frozen(kw_only=True)
class Kind:
    """One kind: `[slot]` of a spec holds one of the `plural`, which meet `contract`."""

    slot: str
    plural: str
    contract: Any
    default: str | None
    """What a spec uses that does not say; None: a spec must say."""

    @property
    def hook(self) -> str:
        """Name of the hook by which plugins of this kind register."""
        return f"register_{self.plural}"

    @property
    def verbs(self) -> list[str]:
        """What a plugin of this kind must have."""
        return sorted(name for name in vars(self.contract) if not name.startswith("_"))


KINDS: dict[str, Kind] = {
    kind.slot: kind
    for kind in (
        Kind(slot="task", plural="tasks", contract=contracts.Task, default=None),
        Kind(slot="model", plural="models", contract=contracts.Model, default=None),
        Kind(slot="adapter", plural="adapters", contract=contracts.Adapter, default="tinylora"),
        Kind(slot="basis", plural="bases", contract=contracts.Basis, default="rotate"),
        Kind(slot="sampler", plural="samplers", contract=contracts.Sampler, default="failures"),
        Kind(slot="objective", plural="objectives", contract=contracts.Objective, default="cross-entropy"),
        Kind(slot="optimizer", plural="optimizers", contract=contracts.Optimizer, default="adam"),
        Kind(slot="merge", plural="merges", contract=contracts.MergePolicy, default="full"),
        Kind(slot="backend", plural="backends", contract=contracts.Backend, default="reference"),
    )
}
