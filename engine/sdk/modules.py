"""The parameters of a PyTorch module as weights of a blueprint; PyTorch itself is not imported here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..contracts import WeightInfo
from ..contracts.sites import Role


def weights_of(
    module: Any, *, linear: tuple[type, ...], transposed: tuple[type, ...] = (), head: str = ""
) -> tuple[WeightInfo, ...]:
    """Every parameter of `module`, in its own order; tied parameters count once, under all their names.

    `linear` are the classes whose `weight` is a matrix `(d_out, d_in)`, `transposed` those that store it as `(d_in, d_out)`;
    `head` is the full name of the output layer's weight. A parameter counts as linear only if no other kind of module uses it:
    a matrix shared with an embedding is `other`.
    """
    owners, names = _owners(module), names_of(module)

    def weight(name: str, parameter: Any) -> WeightInfo:
        users, also = owners[id(parameter)], tuple(n for n in names[id(parameter)] if n != name)
        fits = parameter.ndim == 2 and all(
            own == "weight" and isinstance(owner, (*linear, *transposed)) for owner, own in users
        )
        role: Role = "other" if not fits else "head" if name == head else "linear"
        return WeightInfo(
            name=name,
            shape=tuple(parameter.shape),
            dtype=str(parameter.dtype).removeprefix("torch."),
            role=role,
            layer=layer_of(name),
            also=also,
            also_stored=also,
            transposed=fits and isinstance(users[0][0], transposed),
        )

    return tuple(weight(name, parameter) for name, parameter in module.named_parameters())


def names_of(module: Any) -> Mapping[int, list[str]]:
    """All names of each parameter, in order, by its `id`."""
    found = dict[int, list[str]]()
    for name, parameter in module.named_parameters(remove_duplicate=False):
        found.setdefault(id(parameter), []).append(name)
    return found


def _owners(module: Any) -> Mapping[int, list[tuple[Any, str]]]:
    """The modules that own each parameter, with its name there, by its `id`."""
    found = dict[int, list[tuple[Any, str]]]()
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False, remove_duplicate=False):
            found.setdefault(id(parameter), []).append((owner, name))
    return found


def layer_of(name: str) -> int | None:
    """The first component of a path that is a number: 3 for `model.layers.3.mlp.up_proj.weight`."""
    found = re.search(r"(?:^|\.)(\d+)(?:\.|$)", name)
    return int(found[1]) if found else None
