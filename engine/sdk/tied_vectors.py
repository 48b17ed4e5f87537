"""Weight tying: which sites share one trained vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ..contracts import Site
from ..foundation.options import Limit, option

Tying = Literal["none", "all", "kind", "layer"]


def tie_option() -> Any:
    """The option `tie` of adapters with linear cores."""
    at_least_one = Limit("at least 1 when it is a number", lambda x: isinstance(x, str) or x >= 1)
    return option(
        "none",
        "sites that share trained parameters; a number: groups of so many neighbouring sites",
        at_least_one,
    )


def group_of(site: Site, sites: Sequence[Site], tie: Tying | int) -> str:
    """Name of the group of sites that share the vector `v`.

    `none`: its own; `all`: one for the model; `kind`: one for every module name (all `q_proj`); `layer`: one for every
    layer; a number g: one for every g neighbouring sites, in the model's order.
    """
    if isinstance(tie, int):
        position = [other.name for other in sites].index(site.name)
        return f"block.{position // tie}"
    if tie == "none":
        return site.name
    if tie == "all":
        return "all"
    if tie == "kind":
        return f"kind.{site.kind}"
    return f"layer.{site.layer}"
