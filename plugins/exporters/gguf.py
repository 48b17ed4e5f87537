"""The merged model as a GGUF file, for llama.cpp and software built on it."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs

from ...engine.contracts import Blueprint, Exportable, ModelSource
from ...engine.errors import UsageError
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.libraries import require_libraries
from ..models._hf.model import HfModel

if TYPE_CHECKING:
    from ._gguf.conversion import Conversion
    from ._gguf.template import Template


@attrs.frozen(kw_only=True)
class Gguf:
    """One GGUF file for Llama and Qwen2, including architectures that GGUF treats as such: Mistral, SmolLM2 and others.

    If the base is a GGUF file, the export is the same file including metadata: unchanged tensors keep their bytes and quantisation,
    and adapted weights are written in `dtype`. The weights are so the evaluated ones, which requantisation would change;
    llama.cpp's llama-quantize can shrink the file afterwards. A base in safetensors is converted, with a byte-level BPE tokenizer;
    unchanged 16-bit matrices stay as stored.
    """

    NAME: ClassVar[str] = "gguf"

    dtype: Literal["float32", "float16", "bfloat16"] = option(
        "float32",
        "dtype of adapted weights and of matrices stored in float32; merged weights are float32 sums, which 16 bits round",
    )
    dequantise: bool = option(
        False,
        "also write quantised tensors in dtype, changed or not: a larger file that brings llama.cpp closer to the evaluated model, "
        "since it quantises the activations that it multiplies with quantised weights",
    )

    def check(self, ensemble: Exportable) -> None:
        """Raise `UsageError` for an unsupported model or tokenizer, or one that transformers would misread."""
        family = ensemble.source.blueprint.architecture
        known = family.startswith("causal-lm/") and "hf" in ensemble.source.blueprint.config
        if ensemble.source.build is None or not known:
            raise UsageError(
                f"exporter {self.NAME} exports causal language models, and this one has the architecture {family}; "
                "--to safetensors exports any"
            )
        require_libraries(f"exporter {self.NAME}", "gguf", "torch", "transformers", "gguf")
        self._contents(ensemble)

    def precision(self, ensemble: Exportable) -> str:
        """The dtype of adapted weights; float32 for an unchanged copy of the file, which is exact."""
        from ._gguf.template import template_of  # noqa: PLC0415 - gguf may be missing

        copied = template_of(ensemble) and not ensemble.rounds and not self.dequantise
        return "float32" if copied else self.dtype

    def write(self, ensemble: Exportable, folder: Path) -> None:
        """Write the file, named after the run."""
        contents, place = self._contents(ensemble), folder / _file(ensemble)
        contents.write(ensemble, place, self.dtype, dequantise=self.dequantise)

    def reload(self, ensemble: Exportable, folder: Path) -> ModelSource:
        """The module that transformers loads from the file alone."""
        return attrs.evolve(ensemble.source, build=GgufBuilder(folder=folder, name=_file(ensemble)))

    def usage(self, ensemble: Exportable, place: str) -> str:
        """Transformers code, with llama.cpp's command lines in comments."""
        file = _file(ensemble)
        lines = [
            "import torch",
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "",
            f"model = AutoModelForCausalLM.from_pretrained({place!r}, gguf_file={file!r}, dtype=torch.float32)",
            f"tokenizer = AutoTokenizer.from_pretrained({place!r}, gguf_file={file!r})",
            "texts = ['The answer is']",
            "with torch.no_grad():",
            "    logits = model(**tokenizer(texts, return_tensors='pt')).logits[:, -1]",
            "# llama.cpp runs it, serves it, and makes it smaller:",
            f"#   llama-cli -m {place}/{file}",
            f"#   llama-server -m {place}/{file}",
            f"#   llama-quantize {place}/{file} smaller.gguf Q8_0",
        ]
        return "\n".join(lines) + "\n"

    def _contents(self, ensemble: Exportable) -> Template | Conversion:
        """The content of the file: the base's GGUF file with replaced weights, or a conversion."""
        from ._gguf.conversion import Conversion  # noqa: PLC0415
        from ._gguf.template import Template, template_of  # noqa: PLC0415

        template = template_of(ensemble)
        if template is not None:
            return Template.open(template, ensemble)
        return Conversion.of(ensemble, _tokenizer(ensemble))


@attrs.frozen(kw_only=True)
class GgufBuilder:
    """Builds the torch module from the file `name` in `folder`, including its configuration."""

    folder: Path
    name: str

    def __call__(self, blueprint: Blueprint, dtype: Any) -> Any:
        """The module in evaluation mode, its weights dequantised to `dtype`. Raises `UsageError` with transformers' reason."""
        from transformers import AutoConfig  # noqa: PLC0415 - seconds

        from ..models._hf.library import as_usage_error  # noqa: PLC0415
        from ..models._hf.nets import load_module  # noqa: PLC0415

        with as_usage_error(f"{self.folder / self.name}: transformers cannot read it"):
            config = AutoConfig.from_pretrained(self.folder, gguf_file=self.name, local_files_only=True)
        with redirect_stderr(io.StringIO()):  # a progress bar that cannot be disabled
            return load_module(self.folder, config, "causal", dtype, gguf=self.name)


def _file(ensemble: Exportable) -> str:
    return f"{ensemble.name}.gguf"


def _tokenizer(ensemble: Exportable) -> Any:
    """The model's tokenizer; a model trained from scratch has it in the folder of its weights."""
    model = ensemble.model
    if isinstance(model, HfModel):
        return model.reader.tokenizer
    from transformers import AutoTokenizer  # noqa: PLC0415 - seconds

    return AutoTokenizer.from_pretrained(ensemble.source.files[0].parent, local_files_only=True)


@hookimpl
def register_exporters(register: Callable[[str, type[Any]], None]) -> None:
    """Register `gguf`."""
    register("gguf", Gguf)
