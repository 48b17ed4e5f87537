"""Columns as inputs: numbers scaled, categories one-hot, free text by its TF-IDF matrix; fitted on some rows, applied to all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

Scale = Literal["standard", "minmax", "none"]
Inputs = NDArray[np.float64]
MAX_CATEGORIES = 40
"""Values of a category with an input of their own; rarer ones share one input."""
TEXT_INPUTS = 30
"""Inputs of a column of free text: leading components of its TF-IDF matrix, as in latent semantic analysis."""


class Step(Protocol):
    """The fitted map from a column to inputs."""

    @property
    def width(self) -> int:
        """Number of inputs."""
        ...

    def encode(self, values: Any) -> Inputs:
        """Values `(n, c)` or texts `(n,)` as inputs `(n, width)`."""
        ...


@attrs.frozen(kw_only=True, eq=False)
class NumberStep:
    """`(x - shift) / scale` of c numbers of a row, with the median for a gap, and where some were missing an input that says so."""

    median: Inputs
    shift: Inputs
    scale: Inputs
    has_gaps: bool

    @classmethod
    def fit(cls, values: Inputs, scale: Scale) -> NumberStep:
        """From numbers `(n, c)` with NaN for gaps; without any number the median is 0, and a scale of 0 counts as 1."""
        gaps = np.isnan(values)
        some = ~gaps.all(axis=0)
        median = np.zeros(values.shape[1])
        if some.any():
            median[some] = np.nanmedian(values[:, some], axis=0)
        has_gaps = bool(gaps.any() and some.any())
        draft = cls(median=median, shift=np.zeros(1), scale=np.ones(1), has_gaps=has_gaps)
        filled = draft.encode(values)
        if scale == "none":
            return draft
        low = filled.mean(axis=0) if scale == "standard" else filled.min(axis=0)
        size = filled.std(axis=0) if scale == "standard" else np.ptp(filled, axis=0)
        # A constant column has a deviation of a few roundings.
        constant = size <= 10 * np.finfo(np.float64).eps * np.abs(filled).max(axis=0)
        return attrs.evolve(draft, shift=low, scale=np.where(constant, 1.0, size))

    @property
    def width(self) -> int:
        """Number of inputs."""
        return len(self.median) + self.has_gaps

    def encode(self, values: Inputs) -> Inputs:
        """Numbers `(n, c)` as inputs `(n, width)`."""
        gaps = np.isnan(values)
        filled = np.where(gaps, self.median, values)
        if self.has_gaps:
            filled = np.column_stack([filled, gaps.any(axis=1)])
        return (filled - self.shift) / self.scale


@attrs.frozen(kw_only=True, eq=False)
class CategoryStep:
    """An input for each of the `values`, sorted, and one for all `rare` values together; a value that is neither is all zeros."""

    values: tuple[str, ...]
    rare: bool

    @classmethod
    def fit(cls, values: Any) -> CategoryStep:
        """From texts; of more than `MAX_CATEGORIES` the rarest share an input."""
        counts = Counter[str](values)
        rare = len(counts) > MAX_CATEGORIES
        # Among equally frequent values, those that sort first are kept.
        kept = sorted(counts, key=lambda value: (-counts[value], value))[: MAX_CATEGORIES - 1]
        return cls(values=tuple(sorted(kept if rare else counts)), rare=rare)

    @property
    def width(self) -> int:
        """Number of inputs."""
        return len(self.values) + self.rare

    def encode(self, values: Any) -> Inputs:
        """Texts `(n,)` as inputs `(n, width)`; beside rare values, an unknown one counts as rare."""
        place = {value: i for i, value in enumerate(self.values)}
        columns = np.array([place.get(value, len(place)) for value in values], dtype=np.int64)
        inputs = np.zeros((len(columns), len(place) + 1))
        inputs[np.arange(len(columns)), columns] = 1.0
        return inputs[:, : self.width]


@attrs.frozen(kw_only=True, eq=False)
class TextStep:
    """TF-IDF of character n-grams within words, reduced by a truncated SVD (latent semantic analysis); zeros where no text has a word."""

    pipeline: Any
    width: int

    @classmethod
    def fit(cls, values: Any) -> TextStep:
        """From texts."""
        from sklearn.decomposition import TruncatedSVD  # noqa: PLC0415 - a second to import
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415

        words = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), max_features=5000)
        sample = values[:: max(1, len(values) // MOST_TEXTS)]
        if not any(str(text).strip() for text in sample):
            return cls(pipeline=None, width=1)
        counts = words.fit_transform(sample)
        width = max(1, min(TEXT_INPUTS, counts.shape[1] - 1, counts.shape[0] - 1))
        reduced = TruncatedSVD(width, algorithm="arpack", random_state=0) if min(counts.shape) > 1 else None
        return cls(pipeline=(words, reduced and reduced.fit(counts)), width=width)

    @property
    def words(self) -> tuple[str, ...]:
        """The n-grams, in the order of the matrix's columns; none if no text has a word."""
        return () if self.pipeline is None else tuple(self.pipeline[0].get_feature_names_out().tolist())

    @property
    def arrays(self) -> Mapping[str, Inputs]:
        """`idf` `(words,)`, and `components` `(width, words)` if there are several n-grams and texts."""
        if self.pipeline is None:
            return {}
        words, reduced = self.pipeline
        return {"idf": words.idf_} | ({"components": reduced.components_} if reduced else {})

    def encode(self, values: Any) -> Inputs:
        """Texts `(n,)` as inputs `(n, width)`."""
        if self.pipeline is None:
            return np.zeros((len(values), 1))
        words, reduced = self.pipeline
        counts = words.transform(values)
        return np.asarray(reduced.transform(counts) if reduced else counts[:, :1].toarray(), dtype=np.float64)


MOST_TEXTS = 20_000
"""Texts, spread over the rows, from which vocabulary and components are computed."""
