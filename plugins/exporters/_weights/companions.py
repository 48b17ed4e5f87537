"""Files of a model's folder besides weights: configuration, tokenizer and other small files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....engine.contracts import Exportable
from ....engine.errors import RunError, UsageError
from ....engine.foundation.atomic import write_text
from ....engine.foundation.hashes import folder_files
from ...models._hf.model import HfModel
from ...models._scratch.model import ScratchModel

if TYPE_CHECKING:
    from ...models._hf.folder import Folder

COPIED = (
    *("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "*.codes"),
    *("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*"),
)
"""Copied files: those that are fetched with a model, and its licences."""
EXCLUDED = (
    *("*.index.json", "adapter_config.json", "quantize_config.json"),
    *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"),
)
"""Files that describe weights or layers which are not in the export."""
CACHE_FILES = ("manifest.json", "pretraining.json")
"""Cache files of models trained from scratch."""
TEMPLATES = "additional_chat_templates"
LABELLING = ("architectures", "id2label", "label2id", "problem_type", "pad_token_id")
"""Keys of a classifier's configuration: its class, its labels, and the token by which a decoder finds the last one of a text."""
SAMPLE = "The 3 quick brown foxes (naïve) jump over 12 lazy dogs: MKTAYIAK.\n\tdef f(x): return x"
"""Sample text on which a written tokenizer is checked."""


def hf_model(ensemble: Exportable, exporter: str) -> HfModel:
    """The model plugin for its Hugging Face folder. Raises `UsageError` for a model without one."""
    model = ensemble.model
    if isinstance(model, ScratchModel):
        return model.at(ensemble.source.files[0].parent)
    if isinstance(model, HfModel):
        return model
    raise UsageError(
        f"exporter {exporter} exports models that transformers can load, and this is not one of them "
        f"({ensemble.source.blueprint.architecture}); use --to safetensors"
    )


def encoder_files(ensemble: Exportable) -> tuple[Path, ...]:
    """The files that transformers can load; a classifier's last file is its head."""
    files = ensemble.source.files
    return files[:-1] if is_classifier(ensemble) else files


def is_classifier(ensemble: Exportable) -> bool:
    """Whether it is an encoder with a head rather than a language model."""
    return ensemble.source.blueprint.architecture.startswith("classifier/")


def has_own_head(ensemble: Exportable) -> bool:
    """Whether it is a model for sequence classification with its architecture's own head."""
    return ensemble.source.blueprint.architecture.startswith("sequence-classifier/")


def has_own_files(ensemble: Exportable, folder: Folder) -> bool:
    """Whether the base's weights are the folder's own safetensors files, not a conversion."""
    shards = folder.shards()
    return bool(shards) and [s.resolve() for s in shards] == [f.resolve() for f in encoder_files(ensemble)]


def write_companions(ensemble: Exportable, model: HfModel, folder: Path, *, dtype: str) -> None:
    """Write configuration, tokenizer and other small files; the configuration names `dtype` unless it is `stored`."""
    base = model.folder(weights=True)
    if base.gguf:
        _write_from_gguf(ensemble, model, folder, dtype)
    else:
        made_here = isinstance(ensemble.model, ScratchModel)
        for path in _small_files(base.path, made_here=made_here):
            shutil.copyfile(path, folder / path.name)
        if (base.path / TEMPLATES).is_dir():
            shutil.copytree(base.path / TEMPLATES, folder / TEMPLATES)
        if dtype != "stored":
            _set_dtype(folder / "config.json", dtype)
        if has_own_head(ensemble):
            _set_labels(folder / "config.json", ensemble.source.blueprint.config["hf"])
    _check_tokenizer(model, folder)


def _small_files(base: Path, *, made_here: bool) -> Iterator[Path]:
    for name, path in folder_files(base).items():
        wanted = any(fnmatchcase(name, pattern) for pattern in COPIED)
        left = any(fnmatchcase(name, pattern) for pattern in (*EXCLUDED, *(CACHE_FILES if made_here else ())))
        if "/" not in name and wanted and not left:
            yield path


def _set_dtype(path: Path, dtype: str) -> None:
    """Set the dtype in a configuration, also under the old key if it has one."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    keys = {"dtype"} | ({"torch_dtype"} & content.keys())
    write_text(
        path, json.dumps({**content, **dict.fromkeys(keys, dtype)}, indent=2, ensure_ascii=False) + "\n"
    )


def _set_labels(path: Path, hf: Mapping[str, Any]) -> None:
    """Set in a configuration what a classification pipeline reads; the file stays as it is if it says all of it."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    wanted = {name: hf[name] for name in LABELLING}
    if {name: content.get(name) for name in wanted} != wanted:
        write_text(path, json.dumps({**content, **wanted}, indent=2, ensure_ascii=False) + "\n")


def _write_from_gguf(ensemble: Exportable, model: HfModel, folder: Path, dtype: str) -> None:
    """Write configuration and tokenizer as transformers reads them from the GGUF file."""
    from transformers import GenerationConfig  # noqa: PLC0415 - seconds to import
    from transformers.models.auto.modeling_auto import (  # noqa: PLC0415
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_MAPPING_NAMES,
    )

    from ...models._hf.library import quiet  # noqa: PLC0415

    base, config = model.folder(weights=True), model.folder().config()
    names = MODEL_MAPPING_NAMES if is_classifier(ensemble) else MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    config.architectures = [names[config.model_type]]
    config.dtype = "float32" if dtype == "stored" else dtype
    config.name_or_path = ""
    with quiet():
        config.save_pretrained(folder)
        model.reader.tokenizer.save_pretrained(folder)
        if not is_classifier(ensemble):
            generation: Any = GenerationConfig.from_model_config(config)
            generation.eos_token_id = list(model.end_tokens) or None
            generation.save_pretrained(folder)
    for name, path in folder_files(base.path).items():
        if name.upper().startswith(("LICENSE", "LICENCE", "NOTICE", "USE_POLICY")):
            shutil.copyfile(path, folder / name)


def _check_tokenizer(model: HfModel, folder: Path) -> None:
    """Compare the written tokenizer with the model's. Raises `RunError` if tokens differ."""
    from transformers import AutoTokenizer  # noqa: PLC0415

    from ...models._hf.library import as_usage_error  # noqa: PLC0415

    with as_usage_error(f"{folder}: the tokenizer cannot be loaded again"):
        written = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    # The sample may exceed the model's length limit: suppress that warning.
    found, own = (t(SAMPLE, verbose=False)["input_ids"] for t in (written, model.reader.tokenizer))
    if found != own:
        raise RunError(f"{folder}: the written tokenizer gives other tokens than the model's own")
