"""Hugging Face models for text classification, with their own head or a linear one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs
import numpy as np

from ...engine.contracts import Blueprint, Examples, ModelSource, Splits, Texts, WeightInfo
from ...engine.errors import UsageError
from ...engine.foundation.hashes import files_sha256
from ...engine.foundation.options import option
from ...engine.foundation.run_context import RunContext
from ...engine.hookspecs import hookimpl
from ._hf.model import HfModel

if TYPE_CHECKING:
    from ._hf.own_head import OwnHeadBuilder

HEAD = ("head.weight", "head.bias")
OWN = "sequence-classifier/"
"""Prefix of architectures with their own head."""


@attrs.frozen(kw_only=True)
class HfClassifier(HfModel):
    """A text encoder (or decoder) in Hugging Face's layout, with pooling and a linear head, or with its architecture's own head.

    The pooled head is fitted before boosting: logistic regression on the frozen encoder's pooled features of the task's source domain,
    else of its training split, with the penalty of the least cross-validated loss. Weights are the encoder's, `model.…`, and `head.weight`, `head.bias`. With its own head the model is
    transformers' `AutoModelForSequenceClassification`, with the parameter names of that module: a fine-tuned head is used as it is if
    its labels are the task's classes, in any order; a folder without one gets a new head, whose last layer is fitted in the same way.
    """

    NAME: ClassVar[str] = "hf-classifier"

    head: Literal["auto", "pooled", "own"] = option(
        "auto",
        "own: the architecture's head; pooled: a linear one; auto: own if config.json names ...ForSequenceClassification",
    )
    pooling: Literal["mean", "cls", "last", "max"] = option(
        "mean", "pooling of a pooled head: the mean or maximum over tokens, or the first (cls) or last token"
    )
    head_c: float = option(
        0.0, "inverse strength of the head's L2 penalty (scikit-learn's C); 0: by cross-validation", min=0
    )

    def blueprint(self, splits: Splits) -> Blueprint:
        """Parameters from the configuration, the headers of the weight files, and the number of outputs. Raises `UsageError`."""
        _check_inputs(splits.train)
        if splits.train.values is None and len(splits.classes) < 2:
            raise UsageError("model hf-classifier needs at least two classes, or values; this task has none")
        folder = self.folder()
        from ._hf.nets import as_json, check_kind, width_of  # noqa: PLC0415
        from ._hf.own_head import is_trained, own_blueprint  # noqa: PLC0415
        from ._hf.weights import layout  # noqa: PLC0415

        config = folder.config()
        if self.head == "own" and folder.gguf:
            raise UsageError(
                f'{folder}: head = "own" needs safetensors files, and this is GGUF; set head = "pooled"'
            )
        if self.head == "own" or (self.head == "auto" and is_trained(config)):
            return own_blueprint(folder, config, self.reader.tokenizer, splits)
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
        """The model's weights (possibly converted), and those of a new head from the cache, fitted on a miss."""
        blueprint = self.blueprint(splits)
        if blueprint.architecture.startswith(OWN):
            return self._own_source(blueprint, splits, context, rng)
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
        """The model's weights from another folder or the Hub, with a fitted head if it has one."""
        if blueprint.architecture.startswith(OWN):
            new = _fitted_names(blueprint, fitted) if fitted else ()
            files, build = self.moved(place)._own_files(blueprint, new, context)  # noqa: SLF001 - another of the same class
            return _with_own_head(blueprint, files, build, fitted, context)
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

    def _own_source(
        self, blueprint: Blueprint, splits: Splits, context: RunContext, rng: np.random.Generator
    ) -> ModelSource:
        """The files of a model with its own head, which is fitted if the folder has none."""
        from ._hf.own_head import NewHeadBuilder, new_parameters  # noqa: PLC0415
        from ._hf.probe import probe  # noqa: PLC0415

        new = new_parameters(blueprint, self.folder())
        files, build = self._own_files(blueprint, new, context)
        if not new:
            return _with_own_head(blueprint, files, build, None, context)
        last = next(w.name for w in blueprint.weights if w.role == "head").removesuffix(".weight")
        others = [name for name in new if not name.startswith(f"{last}.")]
        seed = int(rng.integers(2**32)) if others else None
        if others:
            warnings.warn(
                f"{self.folder()}: no trained head; {', '.join(others)} are initialised at random, and {last} is fitted to their outputs",
                stacklevel=2,
            )
        head = probe(
            NewHeadBuilder(encoder=build, seed=seed or 0),
            blueprint,
            _in_units(self.encode(splits.source or splits.train), blueprint),
            weights=files_sha256(files, context.cache),
            strength=self.head_c,
            context=context,
            seed=seed,
        )
        return _with_own_head(blueprint, files, build, head.path, context)

    def _own_files(
        self, blueprint: Blueprint, new: tuple[str, ...], context: RunContext
    ) -> tuple[tuple[Path, ...], OwnHeadBuilder]:
        """The folder's files (possibly converted), and the builder of their module; `new` are the parameters that they lack."""
        folder = self.folder(weights=True)
        from ._hf.own_head import OwnHeadBuilder  # noqa: PLC0415
        from ._hf.weights import layout, require_one_value, weight_files  # noqa: PLC0415

        config, files = folder.config(), folder.shards()
        if not new:
            laid = layout(folder, config, "sequence")
            require_one_value(folder, laid)
            files = weight_files(folder, config, "sequence", laid.own_files, context)
        layers = blueprint.config["hf"]["num_hidden_layers"]
        return files, OwnHeadBuilder(folder=files[0].parent, new=new, layers=layers)

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


def _with_own_head(
    blueprint: Blueprint,
    files: tuple[Path, ...],
    build: OwnHeadBuilder,
    head: Path | None,
    context: RunContext,
) -> ModelSource:
    files = (*files, head) if head else files
    return ModelSource(
        blueprint=blueprint,
        files=files,
        sha256=files_sha256(files, context.cache),
        fitted=build.new,
        build=attrs.evolve(build, head=head),
    )


def _fitted_names(blueprint: Blueprint, file: Path) -> tuple[str, ...]:
    """The parameters in a file of fitted ones, in the module's order."""
    from safetensors import safe_open  # noqa: PLC0415

    with safe_open(file, framework="np") as tensors:
        held = set(tensors.keys())
    return tuple(weight.name for weight in blueprint.weights if weight.name in held)


def _in_units(examples: Examples, blueprint: Blueprint) -> Examples:
    """Examples whose values a last layer without a bias can fit: in units of `std`, but not centred."""
    last = next(w.name for w in blueprint.weights if w.role == "head").removesuffix(".weight")
    if examples.values is None or any(w.name == f"{last}.bias" for w in blueprint.weights):
        return examples
    shift = blueprint.config["mean"] / blueprint.config["std"]
    values = attrs.evolve(examples.values, standardised=examples.values.standardised + shift)
    return attrs.evolve(examples, values=values)


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
