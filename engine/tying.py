"""Tying: which sites share one trained vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from .contracts import Site

Tie = Literal["none", "all", "kind", "layer"]


def group_of(site: Site, sites: Sequence[Site], tie: Tie | int) -> str:
    """Name of the group whose `v` a site shares.

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
