"""The parameters of a PyTorch module as weights of a blueprint; PyTorch itself is not imported here."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..contracts import WeightInfo
from ..contracts.sites import Role

_FUSED = ("TransformerEncoderLayer", "MultiheadAttention")
"""torch layers whose fast path reads the weights of their submodules without calling them when gradients are off."""


def weights_of(
    module: Any, *, linear: tuple[type, ...], transposed: tuple[type, ...] = (), head: str = ""
) -> tuple[WeightInfo, ...]:
    """Every parameter of `module`, in its own order; tied parameters count once, under all their names.

    `linear` are the classes whose `weight` is a matrix `(d_out, d_in)`, `transposed` those that store it as `(d_in, d_out)`;
    `head` is the full name of the output layer's weight. A parameter counts as linear only if no other kind of module uses it:
    a matrix shared with an embedding is `other`. Whether a weight is `summed` is told by its layers alone: a weight that the model reads
    without calling its layer is only found by running the model.
    """
    owners, names, fused = _owners(module), names_of(module), fused_parts(module)
    forwards = {cls.forward for cls in (*linear, *transposed)}

    def weight(name: str, parameter: Any) -> WeightInfo:
        users, also = owners[id(parameter)], tuple(n for n in names[id(parameter)] if n != name)
        fits = parameter.ndim == 2 and all(
            own == "weight" and isinstance(owner, (*linear, *transposed)) for owner, own in users
        )
        role: Role = "other" if not fits else "head" if name == head else "linear"
        turned = fits and isinstance(users[0][0], transposed)

        def is_ordinary(layer: Any) -> bool:
            known = type(layer).forward in forwards and "forward" not in vars(layer)
            return id(layer) not in fused and (known or _computes_product(layer, transposed=turned))

        return WeightInfo(
            name=name,
            shape=tuple(parameter.shape),
            dtype=str(parameter.dtype).removeprefix("torch."),
            role=role,
            layer=layer_of(name),
            also=also,
            also_stored=also,
            transposed=turned,
            summed=fits and not all(is_ordinary(layer) for layer, _ in users),
        )

    return tuple(weight(name, parameter) for name, parameter in module.named_parameters())


def fused_parts(module: Any) -> set[int]:
    """The `id` of every module inside a fused torch layer, that layer included."""

    def is_fused(part: Any) -> bool:
        return any(
            cls.__name__ in _FUSED and cls.__module__.startswith("torch.nn.") for cls in type(part).__mro__
        )

    return {id(inner) for part in module.modules() if is_fused(part) for inner in part.modules()}


def names_of(module: Any) -> Mapping[int, list[str]]:
    """All names of each parameter, in order, by its `id`."""
    found = dict[int, list[str]]()
    for name, parameter in module.named_parameters(remove_duplicate=False):
        found.setdefault(id(parameter), []).append(name)
    return found


def _computes_product(layer: Any, *, transposed: bool) -> bool:
    """Whether a copy of the layer with a small weight and bias maps `x (4, 2)` to `x W^T + b (4, 3)`."""
    # Small integers are exact in every dtype.
    x, W, b = np.arange(-4, 4).reshape(4, 2), np.array([[1, 2], [-3, 1], [2, -1]]), np.array([1, -2, 3])
    small, of, biased = copy.copy(layer), layer.weight.new_tensor, layer.bias is not None
    vars(small)["_parameters"] = {
        "weight": of(W.T if transposed else W, device="cpu"),
        "bias": of(b, device="cpu") if biased else None,
    }
    vars(small).update(in_features=2, out_features=3, nf=3)
    try:
        return np.array_equal(small(of(x, device="cpu")).tolist(), x @ W.T + biased * b)
    except Exception:  # a layer with other inputs, outputs or sizes raises what it likes
        return False


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
