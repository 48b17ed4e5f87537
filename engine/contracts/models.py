"""Models, and the backends that compute them."""

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
    """Brings the base model."""

    def blueprint(self, splits: Splits) -> Blueprint:
        """What the model will be, without loading or training it; `boostlora check` plans from it."""
        ...

    def source(self, splits: Splits, context: RunContext, rng: np.random.Generator) -> ModelSource:
        """The weights, loaded or pretrained; results that can be reused belong into `context.cache`."""
        ...


@runtime_checkable
class TextModel(Model, Protocol):
    """A model that takes texts: it has the tokenizer."""

    def encode(self, examples: Examples) -> Examples:
        """`Texts` or `Prompts` as `Tokens`; called once per split, before the model is opened."""
        ...

    def decode(self, tokens: NDArray[np.int32], after: NDArray[np.int32] | None = None) -> str:
        """The text of generated tokens, as it goes on behind the prompt's tokens `after`; special tokens have none."""
        ...

    def special_token(self, text: str) -> int | None:
        """The special token that is written as `text`, such as `<|im_end|>`; None where there is none."""
        ...

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """Tokens that end a text."""
        ...


@runtime_checkable
class PortableModel(Model, Protocol):
    """A model that can find its weights at another place, without the task's data."""

    def source_at(
        self, place: str, blueprint: Blueprint, fitted: Path | None, context: RunContext
    ) -> ModelSource:
        """The source of a blueprint whose base lies at `place`; what was fitted to the run's data is in the file `fitted`."""
        ...


class BoostedModel(Protocol):
    """A base model and its ensemble of updates, opened by a backend."""

    def predict(
        self, examples: Examples, trial: Mapping[str, Update] | None = None, scale: float = 1.0
    ) -> Predictions:
        """The current model's answers; with `trial`, those of the model with `scale` times that update added."""
        ...

    def logits(self, examples: Examples) -> NDArray[np.float64]:
        """The current model's logits, `(n, classes)`; of completions, a row for every token to be predicted, in order."""
        ...

    def generate(
        self,
        examples: Examples,
        request: GenerationRequest,
        trial: Mapping[str, Update] | None = None,
        scale: float = 1.0,
    ) -> list[Completion]:
        """Continuations of every prompt (the tokens before `starts`)."""
        ...

    def unreached_sites(self, examples: Examples) -> tuple[str, ...]:
        """Names of sites that no gradient reaches on the first of the examples; called before the first round.

        Raises `UsageError` naming sites whose update would do one thing in training and another one merged.
        """
        ...

    def directions(self, site: str, count: int, *, merged: bool = False) -> Frame:
        """The `count` leading singular triplets, canonical signs, of the base weight, or of the merged one."""
        ...

    def rms_singular_value(self, site: str) -> float:
        """`||W||_F / sqrt(min(d_out, d_in))` of the base weight."""
        ...

    def gradient(self, site: str, examples: Examples, batch: Batch) -> NDArray[np.float64]:
        """`dL/dW (d_out, d_in)` of a batch's loss at the current weights; a batch without an example has none."""
        ...

    def gradient_products(
        self, examples: Examples, batches: Sequence[Batch], *, right: Factors, left: Factors
    ) -> Mapping[str, Products]:
        """`G O` and `G' Q` for `G = dL/dW` at every named site, in one forward and backward pass over the batches.

        `L = sum_b n_b L_b / sum_b n_b` over batches of n_b examples (`Batch.counts`), the current weights. No matrix of a weight's size is
        made. Where no batch has an example, products are zero. Raises `NonFiniteError`.
        """
        ...

    def activation_products(self, examples: Examples, batches: Sequence[Batch], right: Factors) -> Factors:
        """`X' diag(w) X O / sum w (d_in, k)` for the rows `X (n, d_in)` that come into a named site; padding is no row.

        A row's weight is that of its example in the batch. Where a policy wrote the examples their weights are advantages,
        and an answer counts as often as it was given (`Batch.counts`).
        """
        ...

    def train(self, request: TrainingRequest) -> Training:
        """Train one round's parametrisations; the model itself stays as it is."""
        ...

    def assemble(self, ensemble: Sequence[tuple[Mapping[str, Update], float]]) -> None:
        """Make the model `W = W_0 + sum_t scale_t dW_t`, rebuilt from the base: all sites, or none on error."""
        ...

    def weight(self, site: str) -> NDArray[np.float64]:
        """The current weight `(d_out, d_in)`."""
        ...


@runtime_checkable
class Backend(Protocol):
    """Computes models."""

    @property
    def architectures(self) -> frozenset[str]:
        """Names of the architectures it can compute, or patterns of names as of `fnmatch`."""
        ...

    @property
    def rules(self) -> frozenset[str]:
        """Names of the optimiser rules it implements."""
        ...

    @property
    def itemsize(self) -> int:
        """Bytes that one number of a weight takes in memory."""
        ...

    def check(self) -> None:
        """Raise `UsageError` where it cannot compute here: a library or a device is missing. Called before any work."""
        ...

    def open(self, source: ModelSource, sites: Sequence[Site], report: Report = no_report) -> BoostedModel:
        """Called once per run, after the plan was accepted; `report` is told of work that takes long."""
        ...
