"""The merged weights alone, of any architecture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import attrs

from ...engine.contracts import Blueprint, Exportable, ModelSource
from ...engine.foundation.atomic import write_text
from ...engine.foundation.hashes import files_sha256
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl
from ._weights.dtype_loss import precision_of, warn_of_loss
from ._weights.layout import INDEX, PlannedFile, in_shards, index_of, planned, size_of
from ._weights.tensor_writer import compare_files, write_files
from ._weights.tensors import CODES, numpy_dtype
from ._weights.usage import of_arrays


@attrs.frozen(kw_only=True)
class Safetensors:
    """`model.safetensors`: every tensor of the base's files under its name there, adapted weights merged.

    Beyond `max_shard_size` there are several files, and `model.safetensors.index.json` says what is where. No torch is needed for
    models that need none. Every tensor is read back and compared.
    """

    dtype: Literal["stored", "float64", "float32", "bfloat16", "float16"] = option(
        "stored", "of the weights; stored: that which each has in the base's files"
    )
    max_shard_size: str = option("5GB", "bytes of a file at most, such as 500MB or 2GiB")

    def check(self, ensemble: Exportable) -> None:
        """Raise `UsageError` for a size that is none, and where bfloat16 needs a library that is missing."""
        size_of(self.max_shard_size)
        numpy_dtype(CODES[self.precision(ensemble)])
        self._files(ensemble)

    def precision(self, ensemble: Exportable) -> str:
        """The dtype of the adapted weights, the coarsest where they have several."""
        return precision_of(ensemble, self.dtype)

    def write(self, ensemble: Exportable, folder: Path) -> None:
        """Weights, tensor by tensor; then all are read back. Raises `RunError` naming a tensor that is not as written."""
        warn_of_loss(ensemble, self.dtype)
        files = self._files(ensemble)
        write_files(ensemble, folder, files)
        if len(files) > 1:
            write_text(folder / INDEX, json.dumps(index_of(files), indent=2) + "\n")
        compare_files(ensemble, folder, files)

    def reload(self, ensemble: Exportable, folder: Path) -> ModelSource:
        """The written files in place of the base's; a module is built as the base's is, and every weight replaced by what was written."""
        source = ensemble.source
        files = tuple(sorted(folder.glob("model*.safetensors")))
        build = None if source.build is None else Build(base=source.build, files=files)
        sha256 = files_sha256(files, ensemble.context.cache)
        return attrs.evolve(source, files=files, sha256=sha256, build=build)

    def usage(self, ensemble: Exportable, place: str) -> str:
        """NumPy for a perceptron; else how a module of the user's takes the weights."""
        names = [file.name for file in self._files(ensemble)]
        return of_arrays(ensemble, place, names, self.precision(ensemble))

    def _files(self, ensemble: Exportable) -> list[PlannedFile]:
        """Every tensor once; of a name that two files have, the one that is the model's."""
        found = {t.name: t for _, ts in planned(ensemble, ensemble.source.files, self.dtype) for t in ts}
        return in_shards(list(found.values()), size_of(self.max_shard_size))


@attrs.frozen(kw_only=True)
class Build:
    """Makes the base's module with the weights of other files."""

    base: Callable[[Blueprint, Any], Any]
    files: tuple[Path, ...]

    def __call__(self, blueprint: Blueprint, dtype: Any) -> Any:
        """The module with its weights in `dtype`, in evaluation mode. Raises `KeyError` for a weight that no file has.

        A module of the user's takes them as users load them: under every name that the files have. Files of other models have names of
        their own.
        """
        import torch  # noqa: PLC0415 - only models that are torch modules come here
        from safetensors.torch import load_file  # noqa: PLC0415

        module = self.base(blueprint, dtype)
        tensors = {name: tensor for file in self.files for name, tensor in load_file(file).items()}
        for weight in blueprint.weights:
            if (weight.stored or weight.name) not in tensors:
                raise KeyError(weight.name)
        if blueprint.architecture == "torch-module":
            module.load_state_dict(tensors, strict=False)
            return module
        parameters = dict(module.named_parameters())
        with torch.no_grad():
            for weight in blueprint.weights:
                for name in (weight.stored or weight.name, *weight.also_stored):
                    parameters[weight.name].copy_(tensors[name])
        return module


@hookimpl
def register_exporters(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `safetensors`."""
    register("safetensors", Safetensors)
