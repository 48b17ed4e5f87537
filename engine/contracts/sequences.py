"""Texts and prompts, as tasks load them, and token sequences, as backends take them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]


@attrs.frozen(eq=False)
class Texts:
    """Texts to classify: each row is one text, or a pair."""

    rows: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, indices: Index) -> Texts:
        return Texts(tuple(self.rows[i] for i in indices))

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The content as arrays, for hashing."""
        return pack_texts([text for row in self.rows for text in row])


@attrs.frozen(eq=False)
class Prompts:
    """Prompts with reference completions."""

    prompts: tuple[str, ...]
    completions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, indices: Index) -> Prompts:
        return Prompts(tuple(self.prompts[i] for i in indices), tuple(self.completions[i] for i in indices))

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The content as arrays, for hashing."""
        return pack_texts([*self.prompts, *self.completions])


@attrs.frozen(kw_only=True, eq=False)
class Tokens:
    """Concatenated token sequences without padding: sequence i is `ids[offsets[i] : offsets[i + 1]]`.

    `ids` `(total,)` int32; `offsets` `(n + 1,)` int64. `starts` `(n,)` int64: position in its sequence of the first target
    token, at least 1 (targets are the completion); the sequence's length where there are no targets, as in classification. `types` `(total,)` int32 or None: token types, the text of a pair that a token
    belongs to. `cut` `(n,)`: whether the text was truncated to the model's limit.
    """

    ids: NDArray[np.int32]
    offsets: Index
    starts: Index
    cut: NDArray[np.bool_]
    types: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> Index:
        """Number of tokens of every sequence `(n,)`."""
        return np.diff(self.offsets)

    @property
    def targets(self) -> Index:
        """Number of target tokens of every sequence `(n,)`."""
        return self.lengths - self.starts

    def sequence(self, index: int) -> NDArray[np.int32]:
        """Token ids of one sequence."""
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    def completion(self, index: int) -> NDArray[np.int32]:
        """Target tokens of one sequence."""
        return self.sequence(index)[self.starts[index] :]

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        return (self.sequence(i) for i in range(len(self)))

    def __getitem__(self, indices: Index) -> Tokens:
        lengths = self.lengths[indices]
        ends = self.offsets.tolist()
        places = [np.arange(ends[i], ends[i + 1]) for i in indices.tolist()]
        flat = np.concatenate(places) if places else np.empty(0, dtype=np.int64)
        return Tokens(
            ids=self.ids[flat],
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            starts=self.starts[indices],
            cut=self.cut[indices],
            types=None if self.types is None else self.types[flat],
        )

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The content as arrays, for hashing."""
        types = {} if self.types is None else {"types": self.types}
        return {"ids": self.ids, "offsets": self.offsets, "starts": self.starts, **types}

    @classmethod
    def join(
        cls,
        sequences: Sequence[Sequence[int]],
        starts: Sequence[int] | None = None,
        *,
        types: Sequence[Sequence[int]] | None = None,
        cut: Sequence[bool] | None = None,
    ) -> Tokens:
        """Concatenate sequences; without `starts`, there are no targets."""
        lengths = [len(sequence) for sequence in sequences]
        return cls(
            ids=np.array([i for sequence in sequences for i in sequence], dtype=np.int32),
            offsets=np.array([0, *accumulate(lengths)], dtype=np.int64),
            starts=np.array(lengths if starts is None else starts, dtype=np.int64),
            cut=np.zeros(len(lengths), dtype=np.bool_) if cut is None else np.array(cut, dtype=np.bool_),
            types=None if types is None else np.array([t for row in types for t in row], dtype=np.int32),
        )


def pack_texts(texts: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Texts as concatenated UTF-8 bytes `utf8` and their end offsets `ends`.

    `surrogatepass` keeps lone surrogates, which generated text can contain and strict UTF-8 rejects.
    """
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    return {
        "utf8": np.frombuffer(b"".join(encoded), dtype=np.uint8),
        "ends": np.cumsum([len(text) for text in encoded], dtype=np.int64),
    }


def unpack_texts(arrays: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    """The inverse of `pack_texts`."""
    data, ends = arrays["utf8"].tobytes(), arrays["ends"].tolist()
    starts = [0, *ends[:-1]]
    return tuple(
        data[start:end].decode("utf-8", "surrogatepass") for start, end in zip(starts, ends, strict=True)
    )
