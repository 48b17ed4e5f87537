"""The merged model as a folder that transformers loads."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs

from ...engine.contracts import Blueprint, Exportable, ModelSource
from ...engine.errors import UsageError
from ...engine.foundation.atomic import write_text
from ...engine.foundation.hashes import files_sha256
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl
from ._weights import sentences
from ._weights.companions import encoder_files, has_own_files, hf_model, is_classifier, write_companions
from ._weights.dtype_loss import precision_of, warn_of_loss
from ._weights.layout import INDEX, PlannedFile, as_the_base, in_shards, index_of, planned, size_of
from ._weights.tensor_writer import compare_files, write_files
from ._weights.usage import of_folder

if TYPE_CHECKING:
    from ..models._hf.folder import Folder

HEAD = "head.safetensors"


@attrs.frozen(kw_only=True)
class Hf:
    """A folder for `from_pretrained`: weights, configuration, tokenizer; a classifier's head beside its encoder.

    Weights lie as the base's do: the same files, names, order and dtypes, unless the base was converted (GGUF, .bin). A
    classifier is an encoder for `AutoModel`, with `head.safetensors`; where sentence-transformers can pool as it does, that library
    loads it too, and its embeddings are the logits. Every tensor is read back and compared.
    """

    dtype: Literal["stored", "float32", "bfloat16", "float16"] = option(
        "stored", "of the weights; stored: that which each has in the base's files"
    )
    max_shard_size: str = option("5GB", "where the base was converted: bytes of a file at most")

    def check(self, ensemble: Exportable) -> None:
        """Raise `UsageError` where transformers is missing or does not load such a model."""
        hf_model(ensemble, "hf")
        missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
        if missing:
            raise UsageError(
                f"exporter hf needs pip install 'boostlora[hf]' ({', '.join(missing)} is missing)"
            )
        size_of(self.max_shard_size)

    def precision(self, ensemble: Exportable) -> str:
        """The dtype of the adapted weights, the coarsest where they have several."""
        return precision_of(ensemble, self.dtype)

    def write(self, ensemble: Exportable, folder: Path) -> None:
        """Small files, then weights, tensor by tensor; then all is read back. Raises `RunError` naming a tensor that is not as written."""
        model = hf_model(ensemble, "hf")
        warn_of_loss(ensemble, self.dtype)
        write_companions(ensemble, model, folder, dtype=self.dtype)
        files = self._files(ensemble, model.folder(weights=True))
        if is_classifier(ensemble):
            head = planned(ensemble, ensemble.source.files[-1:], self.dtype)
            files += [as_the_base(file, tensors, HEAD) for file, tensors in head]
            if sentences.can_say(ensemble, model):
                files.append(sentences.dense([tensor for _, tensors in head for tensor in tensors]))
                sentences.write_modules(ensemble, model, folder)
        write_files(ensemble, folder, files)
        self._write_index(ensemble, folder, [f for f in files if f.name.startswith("model")])
        compare_files(ensemble, folder, files)

    def reload(self, ensemble: Exportable, folder: Path) -> ModelSource:
        """What `from_pretrained` makes of the folder, and nothing else; a classifier's head from `head.safetensors`."""
        from ..models._hf.folder import Folder  # noqa: PLC0415 - seconds of imports

        shards = Folder(path=folder, gguf="").shards()
        files = (*shards, folder / HEAD) if is_classifier(ensemble) else shards
        sha256 = files_sha256(files, ensemble.context.cache)
        return attrs.evolve(ensemble.source, files=files, sha256=sha256, build=Build(folder=folder))

    def usage(self, ensemble: Exportable, place: str) -> str:
        """transformers, and for a classifier the pooling and the head in plain torch."""
        return of_folder(ensemble, hf_model(ensemble, "hf"), place, self.precision(ensemble))

    def _files(self, ensemble: Exportable, base: Folder) -> list[PlannedFile]:
        """The files of the language model or the encoder."""
        found = planned(ensemble, encoder_files(ensemble), self.dtype)
        if has_own_files(ensemble, base):
            return [as_the_base(file, tensors, file.path.name) for file, tensors in found]
        return in_shards([tensor for _, tensors in found for tensor in tensors], size_of(self.max_shard_size))

    def _write_index(self, ensemble: Exportable, folder: Path, files: list[PlannedFile]) -> None:
        """The base's own index, where nothing in it changes; none for a single file that the base has none for."""
        own = encoder_files(ensemble)[0].parent / INDEX
        if all(file.header for file in files) and own.is_file():
            shutil.copyfile(own, folder / INDEX)
        elif len(files) > 1 or own.is_file():
            write_text(folder / INDEX, json.dumps(index_of(files), indent=2) + "\n")


@attrs.frozen(kw_only=True)
class Build:
    """Makes the torch module of what is in a folder."""

    folder: Path

    def __call__(self, blueprint: Blueprint, dtype: Any) -> Any:
        """The module with its weights in `dtype`, in evaluation mode. Raises `UsageError` naming a weight that is missing."""
        from safetensors.torch import load_file  # noqa: PLC0415 - torch takes seconds
        from transformers import AutoConfig  # noqa: PLC0415

        from ..models._hf.classifier_net import Classifier  # noqa: PLC0415
        from ..models._hf.library import told  # noqa: PLC0415
        from ..models._hf.nets import loaded  # noqa: PLC0415

        with told(f"{self.folder}: its configuration cannot be read"):
            config: Any = AutoConfig.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=False
            )
        if not blueprint.architecture.startswith("classifier/"):
            return loaded(self.folder, config, "causal", dtype)
        config.use_cache = False  # a decoder's hidden states are wanted, not its memory
        encoder = loaded(self.folder, config, "encoder", dtype)
        told_of = blueprint.config
        net = Classifier(encoder, config.hidden_size, told_of["classes"], told_of["pooling"])
        head = {name.removeprefix("head."): t for name, t in load_file(self.folder / HEAD).items()}
        net.head.load_state_dict(head)
        net.head.to(dtype)
        return net.eval()


@hookimpl
def register_exporters(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `hf`."""
    register("hf", Hf)
