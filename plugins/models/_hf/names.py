"""Between the names of a module's parameters and the names under which files keep them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .folder import Header

OLD = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
"""TensorFlow's words, which old checkpoints of BERT and its kin still use."""


def stored_names(
    shapes: Mapping[str, tuple[int, ...]], header: Header, prefix: str
) -> Mapping[str, str] | None:
    """By parameter: its name in the files; None where a parameter is not there as it is, in name, shape and dtype.

    Tried are the same name, one with or without the architecture's `prefix` (`bert.`, `transformer.`), and each in old spelling.
    """
    found = dict[str, str]()
    for name, shape in shapes.items():
        stored = stored_name(name, shape, header, prefix)
        if stored is None:
            return None
        found[name] = stored
    return found if len(set(found.values())) == len(found) else None


def stored_name(name: str, shape: tuple[int, ...], header: Header, prefix: str) -> str | None:
    """A parameter's name in the files; None where it is not there as it is."""
    fitting = (n for n in _candidates(name, prefix) if n in header and header[n][0] and header[n][1] == shape)
    return next(fitting, None)


def _candidates(name: str, prefix: str) -> Iterator[str]:
    for spelled in (name, f"{prefix}.{name}", name.removeprefix(f"{prefix}.")):
        yield spelled
        for new, old in OLD.items():
            if spelled.endswith(new):
                yield spelled.removesuffix(new) + old
