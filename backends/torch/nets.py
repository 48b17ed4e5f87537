"""Wrappers that call a module on examples and return rows of logits."""

from __future__ import annotations

from collections.abc import Generator, Mapping
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
from .devices import Placement
from .weights import BaseWeights

Index = NDArray[np.int64]


@attrs.frozen
class CacheMode:
    """How the next token's logits are computed during generation."""

    cached: bool
    """From the model's cache; else from all tokens so far."""
    selectable: bool = False
    """Whether rows of the cache can be selected or duplicated."""
    prepared: bool = False
    """Whether the model's `prepare_inputs_for_generation` builds the arguments."""


class Net(Protocol):
    """A module and its calling convention."""

    predicts_tokens: ClassVar[bool]
    """Whether it predicts the tokens of completions rather than a class."""

    @property
    def module(self) -> nn.Module:
        """The module."""
        ...

    def logits(self, examples: Examples) -> Tensor:
        """Logits `(rows, classes)`, in the order of `losses.Targets`."""
        ...


@attrs.frozen(eq=False)
class ArrayNet:
    """Numeric inputs to logits: `mlp` and user modules."""

    predicts_tokens: ClassVar[bool] = False
    module: nn.Module
    place: Placement

    def logits(self, examples: Examples) -> Tensor:
        """One row per example."""
        rows = torch.from_numpy(np.ascontiguousarray(examples.inputs))
        return self.module(rows.to(self.place.device, self.place.compute_dtype))


@attrs.frozen(kw_only=True, eq=False)
class PaddedTokens:
    """Padded token sequences: `ids`, `mask` and (for pairs) `types`, each `(n, longest)`."""

    ids: Tensor
    mask: Tensor
    types: Tensor | None

    @classmethod
    def of(
        cls, tokens: Tokens, lengths: Index, device: torch.device, *, left: bool = False, padding: int = 0
    ) -> PaddedTokens:
        """The first `lengths[i]` tokens of every sequence, padded (token `padding`, masked out) on the right or on the left."""
        longest = int(lengths.max(initial=1))
        columns = np.arange(longest)
        shift = (longest - lengths)[:, None] if left else np.zeros((len(lengths), 1), dtype=np.int64)
        mask = (columns >= shift) & (columns < shift + lengths[:, None])
        # Column c of row i is token `c - shift_i` of its sequence.
        source = np.where(mask, tokens.offsets[:-1, None] + columns - shift, 0)

        def padded(values: NDArray[np.int32], rest: int) -> Tensor:
            found = np.where(mask, values[source], rest) if values.size else np.full(mask.shape, rest)
            return torch.from_numpy(found.astype(np.int64)).to(device)

        return cls(
            ids=padded(tokens.ids, padding),
            mask=torch.from_numpy(mask.astype(np.int64)).to(device),
            types=None if tokens.types is None else padded(tokens.types, 0),
        )

    @property
    def keywords(self) -> dict[str, Tensor]:
        """Keyword arguments as Hugging Face modules name them."""
        found = {"input_ids": self.ids, "attention_mask": self.mask}
        return found if self.types is None else {**found, "token_type_ids": self.types}


@attrs.frozen(eq=False)
class ClassifierNet:
    """Texts to class logits."""

    predicts_tokens: ClassVar[bool] = False
    module: nn.Module
    place: Placement

    def logits(self, examples: Examples) -> Tensor:
        """One row per example."""
        tokens: Tokens = examples.inputs
        return self.module(**PaddedTokens.of(tokens, tokens.lengths, self.place.device).keywords)


@attrs.frozen(eq=False)
class SequenceClassifierNet:
    """Texts to class logits or standardised values, by a Hugging Face classifier of sequences with its own head."""

    predicts_tokens: ClassVar[bool] = False
    module: nn.Module
    place: Placement
    config: Mapping[str, Any]
    """The blueprint's: `order`, `mean`, `std` and `padding`."""

    def logits(self, examples: Examples) -> Tensor:
        """One row per example: `(z[order] - mean) / std`. Padding is the model's own, by which its head finds the last token."""
        tokens: Tokens = examples.inputs
        padded = PaddedTokens.of(tokens, tokens.lengths, self.place.device, padding=self.config["padding"])
        found = self.module(**padded.keywords).logits[:, self.config["order"]]
        return (found - self.config["mean"]) / self.config["std"]


@attrs.define(eq=False)
class CausalNet:
    """Prompts and completions to logits of the completion tokens; the output layer runs on these positions only."""

    predicts_tokens: ClassVar[bool] = True
    module: nn.Module
    place: Placement
    cache_mode: CacheMode | None = None
    """How generation uses the cache; None until `next_logits.find_cache_mode` has tested it."""

    def logits(self, examples: Examples) -> Tensor:
        """One row per target token, computed at the position before it."""
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
        """Next-token logits at the positions `(rows, columns)`, `(n, vocabulary)`."""
        padded = PaddedTokens.of(tokens, tokens.lengths, self.place.device)
        where = tuple(torch.from_numpy(x.astype(np.int64)).to(self.place.device) for x in (rows, columns))
        with selected_logits(self.module, where):
            return self.module(
                **accepted_arguments(self.module, {**padded.keywords, "use_cache": False})
            ).logits


def accepted_arguments(module: nn.Module, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments that a module's forward accepts; all of them if it takes `**kwargs`."""
    names = signature(module.forward).parameters
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in names.values()):
        return given
    return {name: value for name, value in given.items() if name in names}


@contextmanager
def selected_logits(module: Any, where: tuple[Tensor, ...]) -> Generator[None]:
    """A context in which the output layer runs only on the hidden states at `where` `(rows, columns)`: logits are `(rows, vocabulary)`.

    The logits of all positions would be by far the largest tensor.
    """
    head: nn.Module = module.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda _, inputs: (inputs[0][where],))
    try:
        yield
    finally:
        handle.remove()


def open_net(source: ModelSource, base: BaseWeights, place: Placement) -> Net:
    """The source's module on its device, frozen, in evaluation mode: dropout is off during training too."""
    architecture = source.blueprint.architecture
    if source.build is not None:
        module: nn.Module = source.build(source.blueprint, place.compute_dtype)
    else:
        module = mlp.build(source.blueprint).to(place.compute_dtype)
        for name, parameter in module.named_parameters():
            parameter.data.copy_(base.stored(name))
    module = module.to(place.device).eval().requires_grad_(requires_grad=False)
    if architecture.startswith("sequence-classifier/"):
        return SequenceClassifierNet(module, place, source.blueprint.config)
    kind = {"causal-lm": CausalNet, "classifier": ClassifierNet}.get(architecture.partition("/")[0], ArrayNet)
    return kind(module, place)
