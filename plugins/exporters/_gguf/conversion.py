"""Conversion of a safetensors model to GGUF."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from gguf import GGML_QUANT_VERSION, Keys
from gguf import GGUFValueType as Kind
from safetensors import safe_open

from ....engine.contracts import Exportable, WeightInfo
from ....engine.errors import UsageError
from .files import TYPES, Field, Tensor, Type, cast, file_type, write
from .names import Names, rounds_note
from .vocabulary import vocabulary

ARCHITECTURES: Mapping[str, str] = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
"""GGUF architectures by Hugging Face's `model_type`."""
EXPECTED: Mapping[str, Mapping[str, Any]] = {
    "llama": {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False},
    "mistral": {"hidden_act": "silu", "sliding_window": None},
    "qwen2": {"hidden_act": "silu", "use_sliding_window": False},
    "qwen3": {"hidden_act": "silu", "attention_bias": False, "use_sliding_window": False, "head_dim": 128},
}
"""Values that GGUF, or transformers' reader of it, assumes for settings that it cannot store."""
BY_CONVERTER = "write --to hf, and convert that with llama.cpp's convert_hf_to_gguf.py"


@attrs.frozen(kw_only=True, eq=False)
class Conversion:
    """The content of a converted file."""

    names: Names
    vocabulary: Sequence[Field]

    @classmethod
    def of(cls, ensemble: Exportable, tokenizer: Any) -> Conversion:
        """Raise `UsageError` for a model or a tokenizer that GGUF cannot represent."""
        blueprint = ensemble.source.blueprint
        family = blueprint.architecture.partition("/")[2]
        if family not in ARCHITECTURES:
            raise UsageError(
                f"exporter gguf: the architecture {family} is not supported ({', '.join(ARCHITECTURES)}); "
                f"{BY_CONVERTER}"
            )
        names = Names.of(ARCHITECTURES[family], blueprint)
        _check(family, names.config)
        for info in blueprint.weights:
            names.tensor(info.name)
        return cls(names=names, vocabulary=vocabulary(tokenizer, names.config["vocab_size"]))

    def write(self, ensemble: Exportable, place: Path, dtype: str, *, dequantise: bool) -> None:
        """Write all weights, merged.

        Matrices have `dtype`; unchanged 16-bit matrices keep theirs. Vectors are float32, as llama.cpp requires.
        """
        tensors = [self._tensor(ensemble, info, TYPES[dtype]) for info in ensemble.source.blueprint.weights]
        fields = [*self._general(ensemble, TYPES[dtype], tensors), *self._sizes(), *self.vocabulary]
        write(place, fields, tensors, ensemble.report)

    def _tensor(self, ensemble: Exportable, info: WeightInfo, wanted: Type) -> Tensor:
        changed = bool(ensemble.updates(info.name))
        kept = TYPES.get(info.dtype, Type.F32)
        kind = wanted if changed or kept == Type.F32 else kept
        kind = kind if len(info.shape) > 1 else Type.F32

        def read() -> Any:
            values = ensemble.merged(info.name) if changed else _stored(ensemble.source.files, info)
            return cast(info.name, self.names.rows(info.name, values), kind)

        return Tensor(self.names.tensor(info.name), info.shape, kind, read)

    def _general(self, ensemble: Exportable, kind: Type, tensors: Sequence[Tensor]) -> Iterator[Field]:
        changed = sum(bool(ensemble.updates(site.name)) for site in ensemble.sites)
        yield Field(Keys.General.ARCHITECTURE, self.names.architecture, Kind.STRING)
        yield Field(Keys.General.TYPE, "model", Kind.STRING)
        yield Field(Keys.General.NAME, ensemble.name, Kind.STRING)
        if changed:
            yield Field(Keys.General.DESCRIPTION, rounds_note(ensemble, changed, kind), Kind.STRING)
        yield Field(Keys.General.FILE_TYPE, file_type(tensors), Kind.UINT32)
        yield Field(Keys.General.QUANTIZATION_VERSION, GGML_QUANT_VERSION, Kind.UINT32)

    def _sizes(self) -> Iterator[Field]:
        arch, hf = self.names.architecture, self.names.config
        head = hf.get("head_dim") or hf["hidden_size"] // hf["num_attention_heads"]
        whole = {
            Keys.LLM.BLOCK_COUNT: hf["num_hidden_layers"],
            Keys.LLM.CONTEXT_LENGTH: hf["max_position_embeddings"],
            Keys.LLM.EMBEDDING_LENGTH: hf["hidden_size"],
            Keys.LLM.FEED_FORWARD_LENGTH: hf["intermediate_size"],
            Keys.LLM.VOCAB_SIZE: hf["vocab_size"],
            Keys.Attention.HEAD_COUNT: hf["num_attention_heads"],
            Keys.Attention.HEAD_COUNT_KV: hf["num_key_value_heads"],
            Keys.Attention.KEY_LENGTH: head,
            Keys.Attention.VALUE_LENGTH: head,
            Keys.Rope.DIMENSION_COUNT: head,
        }
        numbers = {Keys.Attention.LAYERNORM_RMS_EPS: hf["rms_norm_eps"], Keys.Rope.FREQ_BASE: _rope(hf)[1]}
        for key, value in whole.items():
            yield Field(key.format(arch=arch), int(value), Kind.UINT32)
        for key, value in numbers.items():
            yield Field(key.format(arch=arch), float(value), Kind.FLOAT32)


def _check(family: str, hf: Mapping[str, Any]) -> None:
    """Raise `UsageError` naming settings that would be lost."""
    wrong = [
        f"{key} = {hf.get(key)}" for key, value in EXPECTED[family].items() if hf.get(key, value) != value
    ]
    kind, _ = _rope(hf)
    wrong += [f"rope_type = {kind}"] if kind != "default" else []
    own = hf.get("head_dim")
    if family == "qwen2" and own and own * hf["num_attention_heads"] != hf["hidden_size"]:
        wrong.append(f"head_dim = {own}")
    if wrong:
        raise UsageError(
            f"exporter gguf: transformers would read {family} from GGUF without {', '.join(wrong)}, and compute something "
            f"else; {BY_CONVERTER}"
        )


def _rope(hf: Mapping[str, Any]) -> tuple[str, float]:
    """Type and base of the rotary embedding; transformers 5 names the settings `rope_parameters`."""
    rope = hf.get("rope_parameters") or hf.get("rope_scaling") or {}
    base = rope.get("rope_theta") or hf.get("rope_theta") or 10000.0
    return str(rope.get("rope_type") or rope.get("type") or "default"), float(base)


def _stored(files: Sequence[Path], info: WeightInfo) -> Any:
    """A base weight `(d_out, d_in)` in float32, or in float64 if it is stored so."""
    stored = info.stored or info.name
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            if stored in tensors.keys():  # noqa: SIM118 - no mapping
                found = tensors.get_tensor(stored)
                wide = found if str(found.dtype) == "torch.float64" else found.float()
                return wide.T.numpy() if info.transposed else wide.numpy()
    raise UsageError(f'the model\'s files have no weight "{stored}"')
