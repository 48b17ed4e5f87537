"""Settings of a Hugging Face configuration; unsupported values raise an error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...engine.errors import UsageError
from ...engine.foundation.options import shortened
from .activations import ACTIVATIONS, Activation


def unsupported(key: str, value: object, known: Iterable[object]) -> UsageError:
    """The error for an unsupported setting."""
    allowed = ", ".join(sorted(str(x) for x in known))
    return UsageError(
        f"the reference backend does not support {key} = {shortened(repr(value))}; supported: {allowed}. "
        'Choose another model, or another backend ("use" in [backend])'
    )


def require(hf: Mapping[str, Any], key: str, known: tuple[Any, ...], default: Any) -> Any:
    """The setting `key`, else `default`. Raises `UsageError` if it is not in `known`."""
    value = hf.get(key, default)
    if value not in known:
        raise unsupported(key, value, known)
    return value


def activation(hf: Mapping[str, Any], default: str) -> Activation:
    """The function named by `hidden_act` and its derivative."""
    return ACTIVATIONS[require(hf, "hidden_act", tuple(ACTIVATIONS), default)]


def head_width(hf: Mapping[str, Any]) -> int:
    """Width of an attention head: `head_dim`, or the hidden width over the number of heads."""
    width, heads = hf["hidden_size"], hf["num_attention_heads"]
    if hf.get("head_dim"):
        return hf["head_dim"]
    if width % heads:
        raise unsupported("num_attention_heads", heads, [f"divisors of hidden_size = {width}"])
    return width // heads
