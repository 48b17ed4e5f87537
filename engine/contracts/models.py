"""Protocols of models (where weights come from) and backends (which compute them)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..foundation.run_context import Report, RunContext, no_report
from .examples import Examples, Predictions, Splits
from .frames import Frame
from .generation import Completion, GenerationRequest
from .gradient_oracle import Factors, Products
from .sites import Blueprint, ModelSource, Site
from .training import Batch, Training, TrainingRequest
from .updates import Update


@runtime_checkable
class Model(Protocol):
    """Provides the base model."""

    def blueprint(self, splits: Splits) -> Blueprint:
        """The model's architecture and weight shapes, without loading or training it; `boostlora check` plans from it."""
        ...

    def source(self, splits: Splits, context: RunContext, rng: np.random.Generator) -> ModelSource:
        """The weights, loaded or pretrained. Put reusable results into `context.cache`."""
        ...


@runtime_checkable
class TextModel(Model, Protocol):
    """A model that takes texts, with its tokenizer."""

    def encode(self, examples: Examples) -> Examples:
        """`Texts` or `Prompts` as `Tokens`; called once per split, before the model is opened."""
        ...

    def decode(self, tokens: NDArray[np.int32], after: NDArray[np.int32] | None = None) -> str:
        """The text of generated tokens, without special tokens.

        `after` are the prompt's tokens: some tokenizers decode a token differently at the start of a text.
        """
        ...

    def special_token(self, text: str) -> int | None:
        """The id of the special token `text`, such as `<|im_end|>`; None if there is none."""
        ...

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """Ids of the tokens that end a text."""
        ...


Message = Mapping[str, str]
"""A message of a conversation: its `role` (`user`, `assistant` or `system`) and its `content`."""


@runtime_checkable
class ChatModel(TextModel, Protocol):
    """A model that takes conversations, in its tokenizer's chat template."""

    def encode_chat(self, messages: Sequence[Message]) -> Examples:
        """A conversation up to the next answer, as one prompt of `Tokens`.

        Raises `UsageError` without a chat template, or for a conversation that the model's limit does not hold.
        """
        ...


@runtime_checkable
class PortableModel(Model, Protocol):
    """A model that can load its weights from another place, without the task's data."""

    def source_at(
        self, place: str, blueprint: Blueprint, fitted: Path | None, context: RunContext
    ) -> ModelSource:
        """The source of `blueprint` with the base at `place`; the file `fitted` holds weights that were fitted to the run's data."""
        ...


class BoostedModel(Protocol):
    """A base model with its ensemble of merged updates, opened by a backend."""

    def predict(
        self, examples: Examples, trial: Mapping[str, Update] | None = None, scale: float = 1.0
    ) -> Predictions:
        """Predictions of the current model; with `trial`, of the model with `scale` times that update added."""
        ...

    def logits(self, examples: Examples) -> NDArray[np.float64]:
        """The current model's logits, `(n, classes)`; for prompts, `(targets, vocabulary)`, a row per target token in order."""
        ...

    def generate(
        self,
        examples: Examples,
        request: GenerationRequest,
        trial: Mapping[str, Update] | None = None,
        scale: float = 1.0,
    ) -> list[Completion]:
        """One completion per prompt (the tokens before `starts`); with `trial`, of the model with `scale` times that update added."""
        ...

    def unreached_sites(self, examples: Examples) -> tuple[str, ...]:
        """Names of sites without gradient on the first of the examples. Called before the first round.

        Raises `UsageError` for sites whose update would act differently in training than when merged.
        """
        ...

    def directions(self, site: str, count: int, *, merged: bool = False) -> Frame:
        """The `count` leading singular triplets, canonical signs, of the base weight, or of the merged one."""
        ...

    def rms_singular_value(self, site: str) -> float:
        """`||W||_F / sqrt(min(d_out, d_in))` of the base weight."""
        ...

    def gradient(self, site: str, examples: Examples, batch: Batch) -> NDArray[np.float64]:
        """`dL/dW (d_out, d_in)` of a batch's loss at the current weights; zero for an empty batch."""
        ...

    def gradient_products(
        self, examples: Examples, batches: Sequence[Batch], *, right: Factors, left: Factors
    ) -> Mapping[str, Products]:
        """`G O` and `G' Q` for `G = dL/dW` at every named site, in one forward and backward pass over the batches.

        `L = sum_b n_b L_b / sum_b n_b` over batches of n_b examples (`Batch.counts`), at the current weights. No matrix of a weight's size
        is made. Products are zero if all batches are empty. Raises `NonFiniteError`.
        """
        ...

    def activation_products(self, examples: Examples, batches: Sequence[Batch], right: Factors) -> Factors:
        """`X' diag(w) X O / sum w (d_in, k)` for the inputs `X (n, d_in)` of every named site, padding left out.

        A row's weight is its example's weight in the batch. In rollouts weights are advantages, which may be negative; there a row's
        weight is the number of answers it stands for (`Batch.counts`).
        """
        ...

    def train(self, request: TrainingRequest) -> Training:
        """Train one round's parametrisations; the model is not changed."""
        ...

    def assemble(self, ensemble: Sequence[tuple[Mapping[str, Update], float]]) -> None:
        """Make the model `W = W_0 + sum_t scale_t dW_t`, rebuilt from the base; on error no site changes.

        Rebuilding, instead of adding to the current weights, makes the result independent of the history of merges.
        """
        ...

    def weight(self, site: str) -> NDArray[np.float64]:
        """The current weight `(d_out, d_in)`."""
        ...


@runtime_checkable
class Backend(Protocol):
    """Computes models."""

    @property
    def architectures(self) -> frozenset[str]:
        """Names or `fnmatch` patterns of the architectures it supports."""
        ...

    @property
    def rules(self) -> frozenset[str]:
        """Names of the update rules it implements."""
        ...

    @property
    def itemsize(self) -> int:
        """Bytes per weight entry in memory."""
        ...

    def check(self) -> None:
        """Raises `UsageError` if a library or a device is missing. Called before any work."""
        ...

    def open(self, source: ModelSource, sites: Sequence[Site], report: Report = no_report) -> BoostedModel:
        """Open the model. Called once per run, after the plan was accepted; `report` receives the progress of long work."""
        ...
