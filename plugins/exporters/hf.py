"""The merged model as a transformers folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs

from ...engine.contracts import Blueprint, Exportable, ModelSource
from ...engine.foundation.atomic import write_text
from ...engine.foundation.hashes import files_sha256
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.libraries import require_libraries
from ._weights import sentence_transformers
from ._weights.companions import (
    encoder_files,
    has_own_files,
    has_own_head,
    hf_model,
    is_classifier,
    write_companions,
)
from ._weights.dtype_loss import precision_of, warn_of_precision_loss
from ._weights.layout import (
    INDEX,
    PlannedFile,
    in_base_layout,
    index_of,
    planned_files,
    sharded,
    size_of,
    under_parameter_names,
)
from ._weights.tensor_writer import compare_files, write_files
from ._weights.usage import folder_code

if TYPE_CHECKING:
    from ..models._hf.folder import Folder

HEAD = "head.safetensors"


@attrs.frozen(kw_only=True)
class Hf:
    """A folder for `from_pretrained`: weights, configuration and tokenizer; a classifier with a pooled head also has that.

    Weights have the base's layout: the same files, names, order and dtypes, unless the base was converted (GGUF, .bin) or got a new
    head of its architecture. A classifier with its own head is a folder for `pipeline("text-classification")`, with the class names. One
    with a pooled head is an encoder for `AutoModel` with `head.safetensors`; if sentence-transformers supports its pooling, that
    library loads it too, and its embeddings are the logits. Every tensor is read back and compared.
    """

    dtype: Literal["stored", "float32", "bfloat16", "float16"] = option(
        "stored", "dtype of the weights; stored: that of each weight in the base's files"
    )
    max_shard_size: str = option("5GB", "maximum size of a file, if the base was converted")

    def check(self, ensemble: Exportable) -> None:
        """Raise `UsageError` if transformers is missing or cannot load such a model."""
        hf_model(ensemble, "hf")
        require_libraries("exporter hf", "hf", "torch", "transformers")
        size_of(self.max_shard_size)

    def precision(self, ensemble: Exportable) -> str:
        """The coarsest dtype of the adapted weights."""
        return precision_of(ensemble, self.dtype)

    def write(self, ensemble: Exportable, folder: Path) -> None:
        """Write small files, then the weights tensor by tensor, then read all back. Raises `RunError` naming a tensor that differs."""
        model = hf_model(ensemble, "hf")
        warn_of_precision_loss(ensemble, self.dtype)
        write_companions(ensemble, model, folder, dtype=self.dtype)
        files = self._files(ensemble, model.folder(weights=True))
        if is_classifier(ensemble):
            head = planned_files(ensemble, ensemble.source.files[-1:], self.dtype)
            files += [in_base_layout(file, tensors, HEAD) for file, tensors in head]
            if sentence_transformers.is_compatible(ensemble, model):
                files.append(
                    sentence_transformers.dense([tensor for _, tensors in head for tensor in tensors])
                )
                sentence_transformers.write_modules(ensemble, model, folder)
        write_files(ensemble, folder, files)
        self._write_index(ensemble, folder, [f for f in files if f.name.startswith("model")])
        compare_files(ensemble, folder, files)

    def reload(self, ensemble: Exportable, folder: Path) -> ModelSource:
        """The model that `from_pretrained` loads from the folder; a pooled head comes from `head.safetensors`."""
        from ..models._hf.folder import Folder  # noqa: PLC0415 - seconds of imports

        shards = Folder(path=folder, gguf="").shards()
        files = (*shards, folder / HEAD) if is_classifier(ensemble) else shards
        sha256 = files_sha256(files, ensemble.context.cache)
        source = attrs.evolve(ensemble.source, files=files, sha256=sha256, build=ModuleBuilder(folder=folder))
        if has_own_head(ensemble) and not has_own_files(
            ensemble, hf_model(ensemble, "hf").folder(weights=True)
        ):
            weights = [attrs.evolve(w, stored="", also_stored=()) for w in source.blueprint.weights]
            return attrs.evolve(source, blueprint=attrs.evolve(source.blueprint, weights=tuple(weights)))
        return source

    def usage(self, ensemble: Exportable, place: str) -> str:
        """Transformers code; for a pooled head with pooling and head in plain torch."""
        return folder_code(ensemble, hf_model(ensemble, "hf"), place, self.precision(ensemble))

    def _files(self, ensemble: Exportable, base: Folder) -> list[PlannedFile]:
        """The files that `from_pretrained` loads."""
        found = planned_files(ensemble, encoder_files(ensemble), self.dtype)
        if has_own_files(ensemble, base):
            return [in_base_layout(file, tensors, file.path.name) for file, tensors in found]
        if has_own_head(ensemble):
            return sharded(under_parameter_names(ensemble, found), size_of(self.max_shard_size))
        return sharded([tensor for _, tensors in found for tensor in tensors], size_of(self.max_shard_size))

    def _write_index(self, ensemble: Exportable, folder: Path, files: list[PlannedFile]) -> None:
        """Copy the base's index if nothing in it changes; write one for several files, or if the base has one."""
        own = encoder_files(ensemble)[0].parent / INDEX
        if all(file.header for file in files) and own.is_file():
            shutil.copyfile(own, folder / INDEX)
        elif len(files) > 1 or own.is_file():
            write_text(folder / INDEX, json.dumps(index_of(files), indent=2) + "\n")


@attrs.frozen(kw_only=True)
class ModuleBuilder:
    """Builds the torch module from a folder."""

    folder: Path

    def __call__(self, blueprint: Blueprint, dtype: Any) -> Any:
        """The module with its weights in `dtype`, in evaluation mode. Raises `UsageError` naming a missing weight."""
        from safetensors.torch import load_file  # noqa: PLC0415 - torch takes seconds
        from transformers import AutoConfig  # noqa: PLC0415

        from ..models._hf.classifier_net import Classifier  # noqa: PLC0415
        from ..models._hf.library import as_usage_error  # noqa: PLC0415
        from ..models._hf.nets import load_module  # noqa: PLC0415

        with as_usage_error(f"{self.folder}: its configuration cannot be read"):
            config: Any = AutoConfig.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=False
            )
        if blueprint.architecture.startswith("causal-lm/"):
            return load_module(self.folder, config, "causal", dtype)
        config.use_cache = False  # only hidden states or logits are needed
        if blueprint.architecture.startswith("sequence-classifier/"):
            return load_module(self.folder, config, "sequence", dtype)
        encoder = load_module(self.folder, config, "encoder", dtype)
        settings = blueprint.config
        net = Classifier(encoder, config.hidden_size, settings["classes"], settings["pooling"])
        head = {name.removeprefix("head."): t for name, t in load_file(self.folder / HEAD).items()}
        net.head.load_state_dict(head)
        net.head.to(dtype)
        return net.eval()


@hookimpl
def register_exporters(register: Callable[[str, type[Any]], None]) -> None:
    """Register `hf`."""
    register("hf", Hf)
