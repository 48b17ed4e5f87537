"""Hugging Face encoders with a linear head, for text classification."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import attrs
import numpy as np

from ...engine.contracts import Blueprint, Examples, ModelSource, Splits, Texts, WeightInfo
from ...engine.errors import UsageError
from ...engine.foundation.hashes import files_sha256
from ...engine.foundation.options import option, positive
from ...engine.foundation.run_context import RunContext
from ...engine.hookspecs import hookimpl
from ._hf.model import HfModel

HEAD = ("head.weight", "head.bias")


@attrs.frozen(kw_only=True)
class HfClassifier(HfModel):
    """A text encoder (or decoder) in Hugging Face's layout, with pooling and a linear head.

    The head is fitted before boosting: logistic regression on the frozen encoder's pooled features of the task's source domain, else
    of its training split. Weights are the encoder's, `model.…`, and `head.weight`, `head.bias`.
    """

    NAME: ClassVar[str] = "hf-classifier"

    pooling: Literal["mean", "cls", "last", "max"] = option(
        "mean", "pooling: the mean or maximum over tokens, or the first (cls) or last token"
    )
    head_c: float = option(1.0, "inverse strength of the head's L2 penalty (scikit-learn's C)", positive)

    def blueprint(self, splits: Splits) -> Blueprint:
        """Parameters from the configuration, the headers of the weight files, and the number of outputs. Raises `UsageError`."""
        _check_inputs(splits.train)
        if splits.train.values is None and len(splits.classes) < 2:
            raise UsageError("model hf-classifier needs at least two classes, or values; this task has none")
        folder = self.folder()
        from ._hf.nets import as_json, check_kind, width_of  # noqa: PLC0415
        from ._hf.weights import layout  # noqa: PLC0415

        config = folder.config()
        check_kind(config, "encoder", str(folder))
        weights = (
            attrs.evolve(info, name=f"model.{info.name}", stored=info.stored or info.name)
            for info in layout(folder, config, "encoder").weights
        )
        outputs = splits.outputs
        head = (
            WeightInfo(name="head.weight", shape=(outputs, width_of(config, str(folder))), role="head"),
            WeightInfo(name="head.bias", shape=(outputs,)),
        )
        return Blueprint(
            architecture=f"classifier/{config.model_type}",
            config={"hf": as_json(config), "pooling": self.pooling, "classes": outputs},
            weights=(*weights, *head),
        )

    def source(self, splits: Splits, context: RunContext, rng: np.random.Generator) -> ModelSource:
        """The encoder's weights (possibly converted), and the head's from the cache, fitted on a miss."""
        blueprint = self.blueprint(splits)
        from ._hf.probe import probe  # noqa: PLC0415

        files, encoder = self._encoder(blueprint, context)
        head = probe(
            encoder,
            blueprint,
            self.encode(splits.source or splits.train),
            weights=files_sha256(files, context.cache),
            strength=self.head_c,
            context=context,
        )
        return _with_head(blueprint, files, encoder, head.path, context)

    def source_at(
        self, place: str, blueprint: Blueprint, fitted: Path | None, context: RunContext
    ) -> ModelSource:
        """The encoder's weights from another folder or the Hub, with a fitted head."""
        if fitted is None:
            raise UsageError("model hf-classifier: the fitted head of the run is missing")
        files, encoder = self.moved(place)._encoder(blueprint, context)  # noqa: SLF001 - another of the same class
        return _with_head(blueprint, files, encoder, fitted, context)

    def _encoder(self, blueprint: Blueprint, context: RunContext) -> tuple[tuple[Path, ...], ModuleBuilder]:
        folder = self.folder(weights=True)
        from ._hf.weights import layout, require_one_value, weight_files  # noqa: PLC0415

        config = folder.config()
        laid = layout(folder, config, "encoder")
        require_one_value(folder, laid)
        files = weight_files(folder, config, "encoder", laid.own_files, context)
        layers = blueprint.config["hf"]["num_hidden_layers"]
        return files, ModuleBuilder(folder=files[0].parent, head=None, layers=layers)

    def encode(self, examples: Examples) -> Examples:
        """Tokenise texts or text pairs."""
        _check_inputs(examples)
        return attrs.evolve(examples, inputs=self.reader.texts(examples.inputs))


def _with_head(
    blueprint: Blueprint, files: tuple[Path, ...], encoder: ModuleBuilder, head: Path, context: RunContext
) -> ModelSource:
    return ModelSource(
        blueprint=blueprint,
        files=(*files, head),
        sha256=files_sha256((*files, head), context.cache),
        fitted=HEAD,
        build=attrs.evolve(encoder, head=head),
    )


@attrs.frozen(kw_only=True)
class ModuleBuilder:
    """Builds the torch module of a blueprint, possibly with fewer than the folder's `layers`."""

    folder: Path
    head: Path | None
    """The head's safetensors file; None if it is not fitted yet."""
    layers: int | None

    def __call__(self, blueprint: Blueprint, dtype: Any) -> Any:
        """The module with its weights in `dtype`, in evaluation mode."""
        from safetensors.torch import load_file  # noqa: PLC0415

        from ._hf.classifier_net import Classifier  # noqa: PLC0415
        from ._hf.nets import config_from_json, load_module, width_of  # noqa: PLC0415

        config = config_from_json(blueprint.config["hf"], self.layers)
        config.use_cache = False  # only hidden states are needed
        encoder = load_module(self.folder, config, "encoder", dtype)
        net = Classifier(
            encoder,
            width_of(config, str(self.folder)),
            blueprint.config["classes"],
            blueprint.config["pooling"],
        )
        if self.head is not None:
            net.load_state_dict(load_file(self.head), strict=False)
        net.head.to(dtype)
        return net.eval()


def _check_inputs(examples: Examples) -> None:
    if not isinstance(examples.inputs, Texts):
        raise UsageError("model hf-classifier takes texts; this task's inputs are of another kind")


@hookimpl
def register_models(register: Callable[[str, type[Any]], None]) -> None:
    """Register `hf-classifier`."""
    register("hf-classifier", HfClassifier)
