"""A small encoder with a linear head, pretrained from scratch on the task's texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import attrs
import numpy as np

from ...engine.contracts import Blueprint, Examples, ModelSource, Splits, Texts, Tokens
from ...engine.errors import UsageError
from ...engine.foundation.options import ModelPath, option, whole
from ...engine.foundation.run_context import RunContext
from ...engine.hookspecs import hookimpl
from ._scratch.model import ScratchModel
from ._scratch.residues import check_residues
from .hf_classifier import HfClassifier


@attrs.frozen(kw_only=True)
class ScratchClassifier(ScratchModel):
    """An encoder pretrained by masked language modelling on residues (or bytes), with pooling and a linear head.

    Pretraining uses the texts of the task's training split and source domain, without labels, and never validation or test texts.
    The head is then fitted as in `hf-classifier`. `esm` is ESM-2's architecture with its alphabet of amino acids, `.` and `-`, for
    one chain or a pair; join more chains by `.` or by a linker of G's.
    """

    NAME: ClassVar[str] = "scratch-classifier"
    POST_PRETRAINING: ClassVar[tuple[str, ...]] = ("pooling", "head_c")

    family: Literal["esm", "bert"] = option("esm", "architecture: ESM-2 for proteins, or BERT")
    hidden: int = option(64, "width", whole)
    intermediate: int = option(256, "width of the feed-forward layers", whole)
    max_length: int = option(256, "maximum tokens; the longer text of a pair is truncated first", min=5)
    pretrain_steps: int = option(300, "pretraining steps", whole)
    pretrain_batch: int = option(16, "batch size of pretraining", whole)
    pooling: Literal["mean", "cls", "last", "max"] = option(
        "mean", "pooling: the mean or maximum over tokens, or the first (cls) or last token"
    )
    head_c: float = option(
        0.0, "inverse strength of the head's L2 penalty (scikit-learn's C); 0: by cross-validation", min=0
    )

    def shape(self) -> Mapping[str, Any]:
        """The options that determine configuration and tokenizer."""
        names = ("family", "layers", "hidden", "heads", "intermediate", "max_length")
        return {name: getattr(self, name) for name in names}

    def at(self, folder: Path) -> HfClassifier:
        """The model in a folder."""
        return HfClassifier(path=ModelPath(str(folder.resolve())), pooling=self.pooling, head_c=self.head_c)

    def blueprint(self, splits: Splits) -> Blueprint:
        """Parameters from the options and the number of outputs; nothing is trained."""
        _check_inputs(splits.train)
        if splits.train.values is None and len(splits.classes) < 2:
            raise UsageError(
                "model scratch-classifier needs at least two classes, or values; this task has none"
            )
        return self.at(self.skeleton()).blueprint(splits)

    def source(self, splits: Splits, context: RunContext, rng: np.random.Generator) -> ModelSource:
        """Pretrain and fit the head, or load both from the cache for the same options, data and seed."""
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
        """Tokenise texts or text pairs. Raises `UsageError` naming a character that is not a residue (`esm`)."""
        _check_inputs(examples)
        if self.family == "esm":
            check_residues(text for row in examples.inputs.rows for text in row)
        return self.at(self.skeleton()).encode(examples)

    def _tokens(self, splits: Splits) -> Tokens:
        """The tokens for pretraining."""
        rows = [*splits.train.inputs.rows, *(splits.source.inputs.rows if splits.source else ())]
        texts = attrs.evolve(splits.train, inputs=Texts(tuple(rows)))
        return self.encode(texts).inputs


def _check_inputs(examples: Examples) -> None:
    if not isinstance(examples.inputs, Texts):
        raise UsageError("model scratch-classifier takes texts; this task's inputs are of another kind")


@hookimpl
def register_models(register: Callable[[str, type[Any]], None]) -> None:
    """Register `scratch-classifier`."""
    register("scratch-classifier", ScratchClassifier)
