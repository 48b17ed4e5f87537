"""The merged weights of any architecture, as safetensors."""

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
from ._weights.dtype_loss import precision_of, warn_of_precision_loss
from ._weights.layout import INDEX, PlannedFile, index_of, planned_files, sharded, size_of
from ._weights.row_scorer import RowScorer
from ._weights.tensor_writer import compare_files, write_files
from ._weights.tensors import CODES, numpy_dtype
from ._weights.usage import array_code


@attrs.frozen(kw_only=True)
class Safetensors:
    """`model.safetensors`: every tensor of the base's files under its stored name, adapted weights merged.

    Beyond `max_shard_size`, the weights are sharded, with the index `model.safetensors.index.json`. torch is needed only if the model
    needs it. Every tensor is read back and compared. An MLP on a table also gets its preprocessing, as JSON and arrays, and `score.py`, which
    scores raw rows without this package.
    """

    dtype: Literal["stored", "float64", "float32", "bfloat16", "float16"] = option(
        "stored", "dtype of the weights; stored: that of each weight in the base's files"
    )
    max_shard_size: str = option("5GB", "maximum size of a file, such as 500MB or 2GiB")

    def check(self, ensemble: Exportable) -> None:
        """Raise `UsageError` for an invalid size, or if ml-dtypes is missing for bfloat16."""
        size_of(self.max_shard_size)
        numpy_dtype(CODES[self.precision(ensemble)])
        self._files(ensemble)

    def precision(self, ensemble: Exportable) -> str:
        """The coarsest dtype of the adapted weights."""
        return precision_of(ensemble, self.dtype)

    def write(self, ensemble: Exportable, folder: Path) -> None:
        """Write the weights tensor by tensor, then read all back. Raises `RunError` naming a tensor that differs."""
        warn_of_precision_loss(ensemble, self.dtype)
        files = self._files(ensemble)
        write_files(ensemble, folder, files)
        if len(files) > 1:
            write_text(folder / INDEX, json.dumps(index_of(files), indent=2) + "\n")
        compare_files(ensemble, folder, files)
        if scorer := self._scorer(ensemble):
            scorer.write(folder)

    def reload(self, ensemble: Exportable, folder: Path) -> ModelSource:
        """The source with the written files; a module is built like the base's, with every weight replaced.

        Raises `RunError` if the preprocessing is not the run's.
        """
        if scorer := self._scorer(ensemble):
            scorer.check(folder)
        source = ensemble.source
        files = tuple(sorted(folder.glob("model*.safetensors")))
        build = None if source.build is None else ModuleBuilder(base=source.build, files=files)
        sha256 = files_sha256(files, ensemble.context.cache)
        return attrs.evolve(source, files=files, sha256=sha256, build=build)

    def usage(self, ensemble: Exportable, place: str) -> str:
        """How to score a row of a table; NumPy code for another MLP; else how to load the weights into the user's module."""
        if scorer := self._scorer(ensemble):
            return scorer.usage(place)
        names = [file.name for file in self._files(ensemble)]
        return array_code(ensemble, place, names, self.precision(ensemble))

    def _scorer(self, ensemble: Exportable) -> RowScorer | None:
        names = [file.name for file in self._files(ensemble)]
        return RowScorer.of(ensemble, names, self.precision(ensemble))

    def _files(self, ensemble: Exportable) -> list[PlannedFile]:
        """Every tensor once; if two files have a name, the later one, which is the model's."""
        found = {
            t.name: t for _, ts in planned_files(ensemble, ensemble.source.files, self.dtype) for t in ts
        }
        return sharded(list(found.values()), size_of(self.max_shard_size))


@attrs.frozen(kw_only=True)
class ModuleBuilder:
    """Builds the base's module with the weights of other files."""

    base: Callable[[Blueprint, Any], Any]
    files: tuple[Path, ...]

    def __call__(self, blueprint: Blueprint, dtype: Any) -> Any:
        """The module with its weights in `dtype`, in evaluation mode. Raises `KeyError` for a missing weight.

        A user's module is loaded by `load_state_dict`, with every name in the files; other models may have other names in their files.
        """
        import torch  # noqa: PLC0415 - only torch modules are built
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
    """Register `safetensors`."""
    register("safetensors", Safetensors)
