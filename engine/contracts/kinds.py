"""The kinds of plugin: one to three verbs each, saying when they are called and with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..workplace import Report, Workplace, silent
from .cores import Parametrisation
from .examples import Examples, Outcome, Predictions, Splits
from .frames import Frame, SiteView
from .generation import Decoding, GenerationRequest, Sampling, Written
from .merging import Refusal, Trial
from .sites import Blueprint, ModelSource, Site
from .training import Answers, Batch, Selection, Training, TrainingRequest
from .updates import Update


@runtime_checkable
class Sampler(Protocol):
    """Chooses the examples a round trains on."""

    def select(self, outcome: Outcome, history: Sequence[Outcome], rng: np.random.Generator) -> Selection:
        """Called at the start of every round.

        `outcome` is the current model on the training split; `history` the same of earlier rounds, the base first.
        """
        ...


@runtime_checkable
class Basis(Protocol):
    """Chooses the frames a round trains in."""

    @property
    def exhausted(self) -> str:
        """What happens after `capacity` rounds: `error` before the run starts, or `stop` when it comes to it."""
        ...

    def capacity(self, rank: int, width: int) -> int | None:
        """How many rounds a site of `width = min(d_out, d_in)` can serve at `rank`; None: without end."""
        ...

    def depth(self, rounds: int, rank: int, width: int) -> int:
        """How many leading singular directions of the base weight `rounds` rounds ask for (0: none)."""
        ...

    def frame(self, site: SiteView, round: int, rank: int, rng: np.random.Generator) -> Frame:  # noqa: A002
        """Called once per site and round, `round` counting from 0. Columns must be orthonormal."""
        ...


@runtime_checkable
class Adapter(Protocol):
    """Says what is trained at a site."""

    @property
    def rank(self) -> int:
        """Rank r of a round's update at a site; frames have as many columns."""
        ...

    @property
    def framed(self) -> bool:
        """Whether it trains inside a frame; if not, the basis is not asked."""
        ...

    def parametrise(self, site: Site, sites: Sequence[Site], rng: np.random.Generator) -> Parametrisation:
        """Called once per site and round; `sites` are all of the run's, in order, for tying."""
        ...


@runtime_checkable
class Objective(Protocol):
    """Turns a selection into the batches of a round."""

    def batches(
        self, selection: Selection, steps: int, batch_size: int, rng: np.random.Generator
    ) -> Sequence[Batch]:
        """Called once per round: `steps` batches, each of `batch_size` examples."""
        ...


@runtime_checkable
class PolicyObjective(Protocol):
    """Learning from rewards: chooses prompts, and makes batches of what the policy answered."""

    @property
    def group_size(self) -> int:
        """Answers a prompt, K."""
        ...

    @property
    def iterations(self) -> int:
        """Optimiser steps on the same answers."""
        ...

    @property
    def sampling(self) -> Sampling:
        """How answers are drawn."""
        ...

    @property
    def max_new_tokens(self) -> int:
        """Tokens of an answer at most; 0: what the task allows."""
        ...

    @property
    def remembers(self) -> tuple[bool, bool]:
        """Whether `batch` wants log-probabilities under the policy that answered, and under the round's starting model."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether the answers are kept in the run's folder; `verify` replays them."""
        ...

    def prompts(
        self, selection: Selection, count: int, batch_size: int, rng: np.random.Generator
    ) -> Sequence[NDArray[np.int64]]:
        """Called once per round: `count` times `batch_size` examples, whose prompts are asked together."""
        ...

    def batch(self, answers: Answers) -> Batch:
        """Called when prompts were answered and judged; an empty batch where the rewards say nothing."""
        ...


@runtime_checkable
class Optimizer(Protocol):
    """Names an update rule that backends implement, with its constants and its learning rates."""

    @property
    def rule(self) -> str:
        """The rule's name, such as `adam`."""
        ...

    @property
    def steps(self) -> int:
        """Optimiser steps a round."""
        ...

    @property
    def batch_size(self) -> int:
        """Examples a step."""
        ...

    def rates(self, round: int, rounds: int) -> NDArray[np.float64]:  # noqa: A002
        """Learning rates `(steps,)` of round `round`, counting from 0."""
        ...


@runtime_checkable
class MergePolicy(Protocol):
    """Chooses the scale with which an update enters the model, or refuses it."""

    def choose(self, trial: Trial) -> float | Refusal:
        """Called after training; `trial(scale)` gives validation metrics with `scale` times the update."""
        ...


@runtime_checkable
class Task(Protocol):
    """Brings the data and judges answers."""

    def load(self, rng: np.random.Generator) -> Splits:
        """Called once; `rng` is for splitting."""
        ...

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Called after every evaluation of a split, with the examples as `load` brought them."""
        ...


@runtime_checkable
class GeneratingTask(Task, Protocol):
    """A task that may judge what the model writes."""

    @property
    def decoding(self) -> Decoding | None:
        """How much the model may write; None: nothing is to be written, and the loss is all there is."""
        ...


@runtime_checkable
class MeasuringTask(Task, Protocol):
    """A task that measures more than accuracy and loss, in `Outcome.measures`."""

    @property
    def measures(self) -> tuple[str, ...]:
        """Their names, which a study may compare by."""
        ...


@runtime_checkable
class WitnessedTask(Task, Protocol):
    """A task whose judgement depends on the machine: it says on what."""

    def origin(self) -> Mapping[str, Any]:
        """Called when a run begins; what is to be recorded beside versions and hashes, in JSON's types."""
        ...


@runtime_checkable
class Model(Protocol):
    """Brings the base model."""

    def blueprint(self, splits: Splits) -> Blueprint:
        """What the model will be, without loading or training it; `boostlora check` plans from it."""
        ...

    def source(self, splits: Splits, workplace: Workplace, rng: np.random.Generator) -> ModelSource:
        """The weights, loaded or pretrained; results that can be reused belong into `workplace.cache`."""
        ...


@runtime_checkable
class TextModel(Model, Protocol):
    """A model that takes texts: it has the tokenizer."""

    def encode(self, examples: Examples) -> Examples:
        """`Texts` or `Prompts` as `Tokens`; called once per split, before the model is opened."""
        ...

    def decode(self, tokens: NDArray[np.int32]) -> str:
        """The text of generated tokens."""
        ...

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """Tokens that end a text."""
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
    ) -> list[Written]:
        """Continuations of every prompt (the tokens before `starts`)."""
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

    def open(self, source: ModelSource, sites: Sequence[Site], report: Report = silent) -> BoostedModel:
        """Called once per run, after the plan was accepted; `report` is told of work that takes long."""
        ...


class Speaker(Protocol):
    """A model to be made to write: it can itself, and it gives its weights to whoever does it for it."""

    def generate(self, examples: Examples, request: GenerationRequest) -> list[Written]:
        """Its own continuations."""
        ...

    def weight(self, site: str) -> NDArray[np.float64]:
        """An adapted weight `(d_out, d_in)` as it is now; all others are the base's."""
        ...


class Writer(Protocol):
    """Writes for one run's model."""

    def write(self, speaker: Speaker, examples: Examples, request: GenerationRequest) -> list[Written]:
        """Called for every evaluation that generates, and for every batch of rollouts."""
        ...


@runtime_checkable
class Generator(Protocol):
    """An engine of generation: the backend's own, or a server beside it."""

    def check(self) -> None:
        """Raise `UsageError` where it cannot work here. Called before any work."""
        ...

    def open(self, source: ModelSource, sites: Sequence[Site]) -> Writer:
        """Called once per run, before anything is written."""
        ...
