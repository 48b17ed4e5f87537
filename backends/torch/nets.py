"""How modules are fed with examples, and give rows of logits."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from inspect import Parameter, signature
from typing import Any, ClassVar, Protocol

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...engine.contracts import Examples, ModelSource, Tokens
from . import mlp
from .devices import Place
from .weights import Base

Index = NDArray[np.int64]


class Net(Protocol):
    """A module with the knowledge of how it is called."""

    completes: ClassVar[bool]
    """Whether it predicts the tokens of completions, and not a class."""

    @property
    def module(self) -> nn.Module:
        """The module."""
        ...

    def logits(self, examples: Examples) -> Tensor:
        """Rows of logits `(rows, classes)`, in the order of `losses.Targets`."""
        ...


@attrs.frozen(eq=False)
class ArrayNet:
    """Rows of numbers to logits: `mlp`, and a user's own module."""

    completes: ClassVar[bool] = False
    module: nn.Module
    place: Place

    def logits(self, examples: Examples) -> Tensor:
        """One row an example."""
        rows = torch.from_numpy(np.ascontiguousarray(examples.inputs))
        return self.module(rows.to(self.place.device, self.place.compute))


@attrs.frozen(kw_only=True, eq=False)
class Padded:
    """Token sequences side by side: `ids`, `mask` and (for pairs) `types`, each `(n, longest)`."""

    ids: Tensor
    mask: Tensor
    types: Tensor | None

    @classmethod
    def of(cls, tokens: Tokens, lengths: Index, device: torch.device, *, left: bool = False) -> Padded:
        """The first `lengths[i]` tokens of every sequence; padding (token 0, masked out) to the right, or to the left."""
        longest = int(lengths.max(initial=1))
        columns = np.arange(longest)
        shift = (longest - lengths)[:, None] if left else np.zeros((len(lengths), 1), dtype=np.int64)
        mask = (columns >= shift) & (columns < shift + lengths[:, None])
        source = np.where(mask, tokens.offsets[:-1, None] + columns - shift, 0)

        def place(values: NDArray[Any]) -> Tensor:
            found = np.where(mask, values[source], 0) if values.size else np.zeros(mask.shape)
            return torch.from_numpy(found.astype(np.int64)).to(device)

        return cls(
            ids=place(tokens.ids),
            mask=torch.from_numpy(mask.astype(np.int64)).to(device),
            types=None if tokens.types is None else place(tokens.types),
        )

    @property
    def keywords(self) -> dict[str, Tensor]:
        """As Hugging Face's modules name them."""
        found = {"input_ids": self.ids, "attention_mask": self.mask}
        return found if self.types is None else {**found, "token_type_ids": self.types}


@attrs.frozen(eq=False)
class ClassifierNet:
    """Texts to logits of classes."""

    completes: ClassVar[bool] = False
    module: nn.Module
    place: Place

    def logits(self, examples: Examples) -> Tensor:
        """One row an example."""
        tokens: Tokens = examples.inputs
        return self.module(**Padded.of(tokens, tokens.lengths, self.place.device).keywords)


@attrs.define(eq=False)
class CausalNet:
    """Prompts and completions to logits of the completions' tokens, the output layer applied to these alone."""

    completes: ClassVar[bool] = True
    module: nn.Module
    place: Place
    way: Any = None
    """How it writes; see `decoding`."""

    def logits(self, examples: Examples) -> Tensor:
        """One row for every token to be predicted: the one before it speaks."""
        tokens: Tokens = examples.inputs
        rows = np.repeat(np.arange(len(tokens)), tokens.targets)
        columns = np.concatenate(
            [
                np.arange(a - 1, b - 1)
                for a, b in zip(tokens.starts.tolist(), tokens.lengths.tolist(), strict=True)
            ]
        )
        return self.next_logits(tokens, rows, columns)

    def next_logits(self, tokens: Tokens, rows: Index, columns: Index) -> Tensor:
        """Logits of what follows the tokens at `(rows, columns)`, `(n, vocabulary)`."""
        padded = Padded.of(tokens, tokens.lengths, self.place.device)
        where = tuple(torch.from_numpy(x.astype(np.int64)).to(self.place.device) for x in (rows, columns))
        with selected_logits(self.module, where):
            return self.module(**accepted(self.module, {**padded.keywords, "use_cache": False})).logits


def accepted(module: nn.Module, given: dict[str, Any]) -> dict[str, Any]:
    """What a module's forward has a name for; all of it where it takes anything."""
    names = signature(module.forward).parameters
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in names.values()):
        return given
    return {name: value for name, value in given.items() if name in names}


@contextmanager
def selected_logits(module: Any, where: tuple[Tensor, ...]) -> Generator[None]:
    """Inside, the output layer sees only the hidden states at `where` `(rows, columns)`, and so gives `(rows, vocabulary)`.

    Logits of every position would be the largest tensor of all by far.
    """
    head: nn.Module = module.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda _, inputs: (inputs[0][where],))
    try:
        yield
    finally:
        handle.remove()


def open_net(source: ModelSource, base: Base, place: Place) -> Net:
    """The source's module on its device, frozen, in evaluation mode: dropout is off in training too."""
    architecture = source.blueprint.architecture
    if source.build is not None:
        module: nn.Module = source.build(source.blueprint, place.compute)
    else:
        module = mlp.build(source.blueprint).to(place.compute)
        for name, parameter in module.named_parameters():
            parameter.data.copy_(base.stored(name))
    module = module.to(place.device).eval().requires_grad_(requires_grad=False)
    kind = {"causal-lm": CausalNet, "classifier": ClassifierNet}.get(architecture.partition("/")[0], ArrayNet)
    return kind(module, place)
