"""A small encoder with a linear head, made from nothing and pretrained on the task's own texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import attrs
import numpy as np

from ...engine.contracts import Blueprint, Examples, ModelSource, Splits, Texts, Tokens
from ...engine.errors import UsageError
from ...engine.foundation.options import ModelPath, option, positive, whole
from ...engine.foundation.run_context import RunContext
from ...engine.hookspecs import hookimpl
from ._scratch.model import ScratchModel
from ._scratch.residues import check_residues
from .hf_classifier import HfClassifier


@attrs.frozen(kw_only=True)
class ScratchClassifier(ScratchModel):
    """An encoder that learned to fill in masked residues (or bytes), pooled, under a linear head fitted before boosting.

    It is pretrained on the texts of the task's training split and, where there is one, of its source domain, labels unseen; never on
    validation or test texts. Then the head is fitted as `hf-classifier` does. `esm` is ESM-2's shape with its alphabet of amino
    acids, `.` and `-`, for one chain or a pair; more chains in a text are best joined by `.` or by a linker of G's.
    """

    NAME: ClassVar[str] = "scratch-classifier"
    LATER: ClassVar[tuple[str, ...]] = ("pooling", "head_c")

    family: Literal["esm", "bert"] = option("esm", "whose shape it has: ESM-2's for proteins, or BERT's")
    hidden: int = option(64, "width", whole)
    intermediate: int = option(256, "width inside the feed-forward layers", whole)
    max_length: int = option(256, "tokens at most; the longer text of a pair is cut first", min=5)
    pretrain_steps: int = option(300, "steps of pretraining", whole)
    pretrain_batch: int = option(16, "texts a step of pretraining", whole)
    pooling: Literal["mean", "cls", "last", "max"] = option(
        "mean", "one vector of a text: the mean or maximum over its tokens, the first or the last of them"
    )
    head_c: float = option(1.0, "inverse strength of the head's L2 penalty (scikit-learn's C)", positive)

    def shape(self) -> Mapping[str, Any]:
        """All that configuration and tokenizer depend on."""
        names = ("family", "layers", "hidden", "heads", "intermediate", "max_length")
        return {name: getattr(self, name) for name in names}

    def at(self, folder: Path) -> HfClassifier:
        """The model in a folder."""
        return HfClassifier(path=ModelPath(str(folder.resolve())), pooling=self.pooling, head_c=self.head_c)

    def blueprint(self, splits: Splits) -> Blueprint:
        """Parameters from the options and the number of classes; nothing is trained."""
        _check_inputs(splits.train)
        if len(splits.classes) < 2:
            raise UsageError("model scratch-classifier tells classes apart; this task has none")
        return self.at(self.skeleton()).blueprint(splits)

    def source(self, splits: Splits, context: RunContext, rng: np.random.Generator) -> ModelSource:
        """Pretrain and fit the head, or take both from an earlier run with the same options, data and seed."""
        from ._scratch.encoder import pretrain_encoder  # noqa: PLC0415 - torch takes seconds

        tokens = self._tokens(splits)
        folder = self.trained(
            tokens,
            rng,
            context,
            lambda folder, seed: pretrain_encoder(
                folder, tokens, self.pretraining(), seed=seed, report=context.report
            ),
        )
        return self.at(folder).source(splits, context, rng)

    def encode(self, examples: Examples) -> Examples:
        """Texts, or pairs of them, as tokens. Raises `UsageError` naming a character that is no residue (`esm`)."""
        _check_inputs(examples)
        if self.family == "esm":
            check_residues(text for row in examples.inputs.rows for text in row)
        return self.at(self.skeleton()).encode(examples)

    def _tokens(self, splits: Splits) -> Tokens:
        """All that it is pretrained on."""
        rows = [*splits.train.inputs.rows, *(splits.source.inputs.rows if splits.source else ())]
        texts = attrs.evolve(splits.train, inputs=Texts(tuple(rows)))
        return self.encode(texts).inputs


def _check_inputs(examples: Examples) -> None:
    if not isinstance(examples.inputs, Texts):
        raise UsageError(
            "model scratch-classifier takes texts to classify; this task's inputs are something else"
        )


@hookimpl
def register_models(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `scratch-classifier`."""
    register("scratch-classifier", ScratchClassifier)
