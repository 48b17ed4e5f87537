"""Limits of a verification: fewer rounds, examples, layers or steps."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ..boosting.experiment import Prepared
from ..boosting.tokens import SPLITS
from ..contracts import Blueprint, Examples, ModelSource, Splits, TextModel, TrainingRequest
from ..errors import UsageError
from ..foundation.counts import count_text
from ..foundation.run_context import RunContext
from ..spec import Spec

DEPTH_KEY = "num_hidden_layers"


@attrs.frozen(kw_only=True)
class Limits:
    """Maximum number of each; None means all."""

    rounds: int | None = None
    examples: int | None = None
    layers: int | None = None
    steps: int | None = None

    def describe(self) -> tuple[str, ...]:
        """The limits as text."""
        said: list[tuple[int | None, str, str]] = [
            (self.rounds, "at most {}", "round"),
            (self.examples, "{} of every split, spread evenly over the order of their ids", "example"),
            (self.layers, "the model's first {}", "layer"),
            (self.steps, "at most {} per round", "optimiser step"),
        ]
        return tuple(text.format(count_text(count, noun)) for count, text, noun in said if count is not None)

    def cut_request(self, request: TrainingRequest) -> TrainingRequest:
        """The first steps of a round, with the batches and rates of the whole round."""
        batches = request.batches  # rollouts are created during training, and end with the rates
        return attrs.evolve(
            request,
            batches=batches if callable(batches) else batches[: self.steps],
            learning_rates=request.learning_rates[: self.steps],
        )

    def cut_examples(self, prepared: Prepared) -> Prepared:
        """Fewer examples in every split."""
        if self.examples is None:
            return prepared
        kept = {split: _spread(getattr(prepared.splits, split), self.examples) for split in SPLITS}
        splits, encoded = (
            attrs.evolve(s, **{split: getattr(s, split).take(kept[split]) for split in SPLITS})
            for s in (prepared.splits, prepared.encoded)
        )
        plan = attrs.evolve(prepared.plan, examples={split: len(kept[split]) for split in SPLITS})
        return attrs.evolve(prepared, splits=splits, encoded=encoded, plan=plan)

    def cut_model(self, spec: Spec) -> Spec:
        """A spec whose model has only its first layers. Planning refuses models without a number of layers."""
        if self.layers is None:
            return spec
        slot = spec.slots["model"]
        cls = TruncatedTextModel if isinstance(slot.plugin, TextModel) else TruncatedModel
        shallow = attrs.evolve(slot, plugin=cls(slot.plugin, slot.use, self.layers))
        return attrs.evolve(spec, slots={**spec.slots, "model": shallow})


def _spread(examples: Examples, count: int) -> NDArray[np.int64]:
    """`count` indices, evenly spread over the order of ids, in file order."""
    n = len(examples)
    if count >= n:
        return np.arange(n)
    by_id = np.argsort(examples.ids, kind="stable")
    return np.sort(by_id[np.linspace(0, n - 1, count).round().astype(np.int64)])


@attrs.frozen(eq=False)
class TruncatedModel:
    """A model truncated to its first layers: other weights are not loaded, and the configuration is adjusted."""

    model: Any
    name: str
    layers: int

    def blueprint(self, splits: Splits) -> Blueprint:
        """The truncated blueprint."""
        return self._cut(self.model.blueprint(splits))

    def source(self, splits: Splits, context: RunContext, rng: np.random.Generator) -> ModelSource:
        """The same files, with fewer weights."""
        source: ModelSource = self.model.source(splits, context, rng)
        return attrs.evolve(source, blueprint=self._cut(source.blueprint))

    def _cut(self, blueprint: Blueprint) -> Blueprint:
        hf = blueprint.config.get("hf")
        if not isinstance(hf, dict) or DEPTH_KEY not in hf:
            raise UsageError(
                f"--layers: model {self.name} ({blueprint.architecture}) cannot be truncated; that requires a Hugging Face "
                f"configuration with {DEPTH_KEY}"
            )
        weights = tuple(w for w in blueprint.weights if w.layer is None or w.layer < self.layers)
        config = {**blueprint.config, "hf": {**hf, DEPTH_KEY: min(self.layers, hf[DEPTH_KEY])}}
        return attrs.evolve(blueprint, weights=weights, config=config)


@attrs.frozen(eq=False)
class TruncatedTextModel(TruncatedModel):
    """A text model truncated to its first layers."""

    def encode(self, examples: Examples) -> Examples:
        """Delegates to the whole model."""
        return self.model.encode(examples)

    def decode(self, tokens: NDArray[np.int32], after: NDArray[np.int32] | None = None) -> str:
        """Delegates to the whole model."""
        return self.model.decode(tokens, after)

    def special_token(self, text: str) -> int | None:
        """Delegates to the whole model."""
        return self.model.special_token(text)

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """Delegates to the whole model."""
        return self.model.end_tokens
