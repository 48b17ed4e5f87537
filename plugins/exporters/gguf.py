"""The merged model as a GGUF file, for llama.cpp and everything that is built on it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs

from ...engine.contracts import Exportable, ModelSource
from ...engine.errors import UsageError
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl
from ..models._hf.model import HfModel

if TYPE_CHECKING:
    from ._gguf.fresh import Fresh
    from ._gguf.template import Template


@attrs.frozen(kw_only=True)
class Gguf:
    """One GGUF file. Llama and Qwen2, with the architectures that GGUF counts among them, such as Mistral and SmolLM2.

    Where the base was a GGUF file, the export is the same file, metadata and all: what no round changed keeps its bytes, in its own
    quantisation, and an adapted weight is written anew in `dtype`. So the numbers in it are those that were evaluated, which
    quantising again would change; llama.cpp's llama-quantize makes it smaller afterwards. A base in safetensors files is converted,
    with a byte-level BPE tokenizer; matrices that no round changed and that have 16 bits stay as they are stored.
    """

    NAME: ClassVar[str] = "gguf"

    dtype: Literal["float32", "float16", "bfloat16"] = option(
        "float32",
        "of adapted weights, and of matrices that were stored in float32; merged weights are float32 sums, which 16 bits round",
    )
    dequantise: bool = option(
        False,
        "write in dtype what was quantised, too, whether a round changed it or not: a larger file, with which llama.cpp comes closer to "
        "what was evaluated, since it rounds what it multiplies with quantised weights",
    )

    def check(self, ensemble: Exportable) -> None:
        """Raise `UsageError` for a model or a tokenizer that cannot be written, or that transformers would read wrongly."""
        family = ensemble.source.blueprint.architecture
        known = family.startswith("causal-lm/") and "hf" in ensemble.source.blueprint.config
        if ensemble.source.build is None or not known:
            raise UsageError(
                f"exporter {self.NAME} writes causal language models, and this one is of the architecture {family}; "
                "--to safetensors takes any"
            )
        missing = [n for n in ("torch", "transformers", "gguf") if importlib.util.find_spec(n) is None]
        if missing:
            raise UsageError(
                f"exporter {self.NAME} needs pip install 'boostlora[gguf]' ({', '.join(missing)} is missing)"
            )
        self._contents(ensemble)

    def precision(self, ensemble: Exportable) -> str:
        """The dtype of adapted weights; a copy of a file in which nothing changed has lost nothing."""
        from ._gguf.template import template_of  # noqa: PLC0415 - gguf may be missing

        copied = template_of(ensemble) and not ensemble.rounds and not self.dequantise
        return "float32" if copied else self.dtype

    def write(self, ensemble: Exportable, folder: Path) -> None:
        """The file, named after the run."""
        contents, place = self._contents(ensemble), folder / _file(ensemble)
        contents.write(ensemble, place, self.dtype, dequantise=self.dequantise)

    def reload(self, ensemble: Exportable, folder: Path) -> ModelSource:
        """The module that transformers makes of the file alone."""
        from ._gguf.loader import FromFile  # noqa: PLC0415

        return attrs.evolve(ensemble.source, build=FromFile(folder=folder, name=_file(ensemble)))

    def usage(self, ensemble: Exportable, place: str) -> str:
        """Lines for transformers, and the command lines of llama.cpp in comments."""
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

    def _contents(self, ensemble: Exportable) -> Template | Fresh:
        """What is to be written."""
        from ._gguf.fresh import Fresh  # noqa: PLC0415
        from ._gguf.template import Template, template_of  # noqa: PLC0415

        template = template_of(ensemble)
        if template is not None:
            return Template.open(template, ensemble)
        return Fresh.of(ensemble, _tokenizer(ensemble))


def _file(ensemble: Exportable) -> str:
    return f"{ensemble.name}.gguf"


def _tokenizer(ensemble: Exportable) -> Any:
    """The model's own; that of a model made from nothing lies beside its weights."""
    model = ensemble.model
    if isinstance(model, HfModel):
        return model.reader.tokenizer
    from transformers import AutoTokenizer  # noqa: PLC0415 - seconds

    return AutoTokenizer.from_pretrained(ensemble.source.files[0].parent, local_files_only=True)


@hookimpl
def register_exporters(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `gguf`."""
    register("gguf", Gguf)
