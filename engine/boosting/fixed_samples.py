"""The choice of a run's three fixed samples among the validation examples, and their texts for people."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from ..contracts import Examples, Prompts, ReversiblePreprocessing, Splits, Texts
from ..runs.samples import COUNT, SPLIT, Kind, Sample, Samples
from ..spec import Spec
from .generation import decoding_of

MOST_NUMBERS = 64
"""Numbers of an input without columns that are written out."""


def fixed_samples(spec: Spec, splits: Splits) -> Samples:
    """Three examples of the validation split, chosen by the hashes of their ids, of different classes where there are any.

    They depend on neither seed nor order of the file, so that runs with the same validation split have the same samples.
    """
    examples: Examples = getattr(splits, SPLIT)
    chosen = examples.take(_chosen(examples))
    return Samples(
        kind=_kind(spec, splits),
        classes=splits.classes,
        samples=tuple(_sample(splits, chosen, place) for place in range(len(chosen))),
    )


def _chosen(examples: Examples) -> NDArray[np.int64]:
    """Indices: the first example of each class in the order of the hashes, then the others."""
    keys = [hashlib.sha256(str(id_).encode()).digest() for id_ in examples.ids.tolist()]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    seen = dict[int, int]()
    for i in order:
        seen.setdefault(int(examples.labels[i]), i)
    first = list(seen.values())[:COUNT]
    others = [i for i in order[: 2 * COUNT] if i not in first]
    return np.array([*first, *others][:COUNT], dtype=np.int64)


def _kind(spec: Spec, splits: Splits) -> Kind:
    if splits.train.values is not None:
        return "value"
    if isinstance(splits.train.inputs, Prompts):
        return "completion" if decoding_of(spec) is None else "text"
    return "class" if splits.classes else "other"


def _sample(splits: Splits, examples: Examples, place: int) -> Sample:
    return Sample(
        id=int(examples.ids[place]),
        input=_input(splits, examples.inputs, place),
        expected=_expected(splits, examples, place),
    )


def _input(splits: Splits, inputs: object, place: int) -> dict[str, str]:
    match inputs:
        case Prompts():
            return {"prompt": inputs.prompts[place]}
        case Texts():
            row = inputs.rows[place]
            names = ["text"] if len(row) == 1 else [f"text {i + 1}" for i in range(len(row))]
            return dict(zip(names, row, strict=True))
        case np.ndarray():
            return _columns(splits, np.asarray(inputs[place], dtype=np.float64).ravel())
        case _:
            return {"input": type(inputs).__name__}


def _columns(splits: Splits, row: NDArray[np.float64]) -> dict[str, str]:
    """The columns of a table's row; without columns, the first numbers."""
    if isinstance(splits.preprocessing, ReversiblePreprocessing):
        return dict(splits.preprocessing.decode(row))
    shown = ", ".join(f"{value:.3g}" for value in row[:MOST_NUMBERS].tolist())
    return {f"{len(row)} numbers:": shown + (", …" if len(row) > MOST_NUMBERS else "")}


def _expected(splits: Splits, examples: Examples, place: int) -> str:
    if examples.values is not None:
        return f"{float(examples.values.original[place]):.6g}"
    if isinstance(examples.inputs, Prompts):
        return examples.inputs.completions[place]
    return splits.classes[int(examples.labels[place])] if splits.classes else ""
