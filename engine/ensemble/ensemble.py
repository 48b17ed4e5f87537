"""The Python interface of a run's models: predict and evaluate with any selection of rounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import (
    BoostedModel,
    Examples,
    Exportable,
    Message,
    Metrics,
    ModularModel,
    Outcome,
    Predictions,
    Update,
)
from ..contracts.records import RoundRecord
from ..errors import UsageError, blame
from ..foundation.run_context import RunContext
from ..registry import Registry
from ..runs.lookup import one_run
from ..sdk.judge import metrics_of
from ..spec import Spec
from .choice import Choice, Rounds, choose
from .completions import complete, decoding
from .inputs import Inputs, as_examples, conversation_of, prompts_of
from .scores import ScoredRows, score
from .source import EnsembleSource, RunSource

SPLITS = ("train", "validation", "test")


class Ensemble:
    """A base model and the rounds that boosted it. Any selection of rounds is a model.

    ```python
    ensemble = Ensemble.open("runs/quickstart/791aba1bcb2c")
    ensemble.evaluate("test", rounds=7)  # after seven rounds, from disk
    ensemble.predict(rows, rounds="1..7,9")  # without the eighth
    ensemble.model(rounds="best")  # a plain torch module, merged
    ```

    `rounds` is a number n (the first n rounds; 0 is the base), a string such as `"1..7,9"`, `"all"`, `"best"`, round
    numbers, or a mapping of rounds to factors of their scales; see `choice.Rounds`. Loading is lazy.
    """

    def __init__(self, origin: EnsembleSource) -> None:
        self._origin = origin
        self._assembled: Choice | None = None

    @classmethod
    def open(
        cls,
        run: str | Path,
        *,
        runs: str | Path = "runs",
        plugins: Sequence[str | Path] = (),
        context: RunContext | None = None,
    ) -> Ensemble:
        """The ensemble of a run: its folder, or its name or hash in `runs`. Raises `UsageError` if there is none, or more than one."""
        registry = Registry.load(tuple(Path(file) for file in plugins))
        return cls(RunSource(one_run(str(run), Path(runs)), registry, context or RunContext()))

    # -- Properties

    @property
    def spec(self) -> Spec:
        """The run's spec."""
        return self._origin.spec

    @property
    def records(self) -> Sequence[RoundRecord]:
        """Round records, the base first."""
        return self._origin.records

    @property
    def origin(self) -> EnsembleSource:
        """The source of the ensemble."""
        return self._origin

    def __len__(self) -> int:
        """Number of rounds, without the base."""
        return max(0, len(self.records) - 1)

    @property
    def best(self) -> int:
        """The round that is best on validation, by the metric of the spec's `[stop]`."""
        return self._origin.best

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty for generative tasks."""
        return self._origin.classes

    def choose(
        self,
        rounds: Rounds | Choice = None,
        *,
        drop: Sequence[int] = (),
        weights: Mapping[int, float] | None = None,
    ) -> Choice:
        """Select rounds; another choice is taken as it is. Raises `UsageError` for missing rounds."""
        return choose(rounds, len(self), best=self.best, drop=drop, weights=weights)

    # -- Predictions

    def predict(self, inputs: Inputs, rounds: Rounds | Choice = None) -> Predictions:
        """Class and loss of every example; without labels the loss is meaningless."""
        return self._at(rounds).predict(self._examples(inputs))

    def logits(self, inputs: Inputs, rounds: Rounds | Choice = None) -> NDArray[np.float64]:
        """Logits `(n, classes)`; for completions, a row per target token, in order."""
        return self._at(rounds).logits(self._examples(inputs))

    def predict_rows(self, path: str | Path, rounds: Rounds | Choice = "best") -> Iterator[ScoredRows]:
        """Predictions for the rows of a file, chunk by chunk in its order; `-` is standard input, for texts.

        Raises `UsageError` for a task that does not read new rows, and naming file, column and row at fault.
        """
        choice = self.choose(rounds)
        return score(self._origin, str(path), lambda examples: self.predict(examples, choice))

    def generate(
        self,
        prompts: Sequence[str],
        rounds: Rounds | Choice = None,
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        samples: int = 1,
        stop: Sequence[str] = (),
        seed: int | Sequence[int] = 0,
    ) -> list[str]:
        """Completions of every prompt, `samples` adjacent ones of each, cut at the `stop` strings; temperature 0 is greedy decoding."""
        how = decoding(
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            samples=samples,
            stop=tuple(stop),
        )
        asked = self._prompts(prompts)
        return complete(self._origin, self._at(rounds), asked, how, np.random.default_rng(seed))

    def reply(
        self,
        messages: Sequence[Message],
        rounds: Rounds | Choice = None,
        *,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | Sequence[int] = 0,
    ) -> str:
        """The next answer in a conversation, in the tokenizer's chat template. Raises `UsageError` without one."""
        how = decoding(
            max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, samples=1, stop=()
        )
        asked = conversation_of(messages, self.spec)
        return complete(self._origin, self._at(rounds), asked, how, np.random.default_rng(seed))[0]

    def model(self, rounds: Rounds | Choice = None) -> Any:
        """The plain torch module with the rounds merged: the base's classes, names and shapes, without wrappers.

        It has the device and dtype of the run's backend, or is on the CPU in float32 if that backend has no modules. Raises
        `UsageError` without torch.
        """
        choice = self.choose(rounds)
        if isinstance(self._model, ModularModel):
            self._at(choice)
            return self._model.module()
        torch = self._origin.registry.entries("backend")["torch"].cls(device="cpu")
        with blame("backend", "torch"):
            model = torch.open(self._origin.source, self._origin.sites, self._origin.context.report)
            model.assemble(self._chosen(choice))
            return model.module()

    # -- Metrics

    def outcome(
        self, split: str = "test", rounds: Rounds | Choice = None, *, recompute: bool = False
    ) -> Outcome:
        """Per-example outcomes on one of the run's splits: from disk for the run's own models, else computed."""
        choice = self.choose(rounds)
        _check_split(split)
        if choice.prefix is not None and not recompute and isinstance(self._origin, RunSource):
            return self._origin.directory.outcomes(self._recorded(choice.prefix))[split]
        self._at(choice)
        return self._origin.experiment.evaluate(split)

    def evaluate(
        self, split: str = "test", rounds: Rounds | Choice = None, *, recompute: bool = False
    ) -> Metrics:
        """Accuracy, loss and the task's own measures on one of the run's splits."""
        return metrics_of(self.outcome(split, rounds, recompute=recompute))

    def staged(self, split: str = "test") -> list[Metrics]:
        """Recorded metrics after 0, 1, 2, … rounds."""
        return [getattr(record, split) for record in self.records]

    # -- Files

    def exportable(self, rounds: Rounds | Choice = None) -> Exportable:
        """The input of exporters."""
        choice, origin = self.choose(rounds), self._origin
        kept = [r for n, r in origin.merged.items() if n in choice.weights]
        return Exportable(
            name=self.spec.head.name,
            model=self.spec.model,
            source=origin.source,
            sites=origin.sites,
            rounds=tuple(attrs.evolve(r, scale=r.scale * choice.weights[r.number]) for r in kept),
            store=origin.store,
            splits=lambda: origin.experiment.splits,
            context=origin.context,
        )

    # -- Internals

    def _recorded(self, prefix: int) -> int:
        if not self.records:
            raise UsageError("the run has not evaluated its base yet; resume it first")
        return self.records[prefix].round

    def _examples(self, inputs: Inputs) -> Examples:
        return as_examples(inputs, self.spec, self._origin.source.blueprint.architecture)

    def _prompts(self, prompts: Sequence[str]) -> Examples:
        return prompts_of(prompts, self.spec, self._origin.source.blueprint.architecture)

    def _at(self, rounds: Rounds | Choice) -> BoostedModel:
        """The model with these rounds assembled."""
        choice, model = self.choose(rounds), self._model
        if choice != self._assembled:
            with blame("backend", self.spec.slots["backend"].use):
                model.assemble(self._chosen(choice))
            self._assembled = choice
        return model

    def _chosen(self, choice: Choice) -> list[tuple[Mapping[str, Update], float]]:
        merged = self._origin.merged
        return [(r.updates, r.scale * choice.weights[n]) for n, r in merged.items() if n in choice.weights]

    @cached_property
    def _model(self) -> BoostedModel:
        return self._origin.open()


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise UsageError(f'no split "{split}"; there are: {", ".join(SPLITS)}')
