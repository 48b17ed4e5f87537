"""Reading a Hugging Face configuration, and refusing what is not implemented rather than computing something else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...engine.errors import UsageError
from ...engine.foundation.options import shortened
from .activations import ACTIVATIONS, Activation


def refuse(key: str, value: object, known: Iterable[object]) -> UsageError:
    """The error for a setting that this backend does not compute."""
    allowed = ", ".join(sorted(str(x) for x in known))
    return UsageError(
        f"the reference backend does not compute a model with {key} = {shortened(repr(value))}; it knows: {allowed}. "
        'Take another model, or another backend ("use" in [backend])'
    )


def require(hf: Mapping[str, Any], key: str, known: tuple[Any, ...], default: Any) -> Any:
    """The setting, where it is one of those known; `default` where the configuration does not name it."""
    value = hf.get(key, default)
    if value not in known:
        raise refuse(key, value, known)
    return value


def activation(hf: Mapping[str, Any], default: str) -> Activation:
    """The function named by `hidden_act`, with its derivative."""
    return ACTIVATIONS[require(hf, "hidden_act", tuple(ACTIVATIONS), default)]


def size_of_heads(hf: Mapping[str, Any]) -> int:
    """Width of an attention head: `head_dim`, or the hidden width over the number of heads."""
    width, heads = hf["hidden_size"], hf["num_attention_heads"]
    if hf.get("head_dim"):
        return hf["head_dim"]
    if width % heads:
        raise refuse("num_attention_heads", heads, [f"divisors of hidden_size = {width}"])
    return width // heads
