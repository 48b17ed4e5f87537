"""Example code that loads an export without this package, and runs it."""

from __future__ import annotations

import json

from ....engine.contracts import Exportable
from ...models._hf.model import HfModel
from .companions import has_own_head, is_classifier

POOLED = {
    "mean": "(hidden * seen).sum(1) / seen.sum(1)",
    "max": "hidden.masked_fill(seen == 0, -torch.inf).amax(1)",
    "cls": "hidden[:, 0]",
    "last": "hidden[torch.arange(len(texts)), seen.sum((1, 2)) - 1]",
}
"""Pooling of `hidden (n, length, d)`, right-padded."""


def folder_code(ensemble: Exportable, model: HfModel, place: str, dtype: str) -> str:
    """Code for a transformers folder."""
    if has_own_head(ensemble):
        return _own_head(ensemble, model, place, dtype)
    return (_classifier if is_classifier(ensemble) else _causal)(ensemble, model, place, dtype)


def _causal(ensemble: Exportable, model: HfModel, place: str, dtype: str) -> str:
    del ensemble
    chat = getattr(model, "chat_template", False)
    asked = (
        'chats = [tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False, '
        "add_generation_prompt=True) for text in texts]\n"
        'batch = tokenizer(chats, add_special_tokens=False, return_tensors="pt")'
        if chat
        else 'batch = tokenizer(texts, return_tensors="pt")'
    )
    return f"""\
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = {json.dumps(place)}
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.{dtype}).eval()

texts = ["1 + 2 ="]
{asked}
with torch.no_grad():
    logits = model(**batch).logits[:, -1]  # of the next token
    written = model.generate(**batch, max_new_tokens=8, do_sample=False)
print(tokenizer.batch_decode(written))
"""


def _classifier(ensemble: Exportable, model: HfModel, place: str, dtype: str) -> str:
    config = ensemble.source.blueprint.config
    texts, more, padding, cut = _tokenisation(ensemble, model)
    return f"""\
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

folder = {json.dumps(place)}
tokenizer = AutoTokenizer.from_pretrained(folder{more})
{padding}encoder = AutoModel.from_pretrained(folder, dtype=torch.{dtype}).eval()
head = {{name: tensor.float() for name, tensor in load_file(f"{{folder}}/head.safetensors").items()}}

texts = {texts}
batch = tokenizer(texts, padding=True{cut}, return_tensors="pt")
with torch.no_grad():
    hidden = encoder(**batch).last_hidden_state.float()
    seen = batch["attention_mask"].unsqueeze(-1)
    vectors = {POOLED[config["pooling"]]}
    logits = vectors @ head["head.weight"].T + head["head.bias"]
print(logits)
"""


def _own_head(ensemble: Exportable, model: HfModel, place: str, dtype: str) -> str:
    config = ensemble.source.blueprint.config
    texts, more, padding, cut = _tokenisation(ensemble, model)
    order = list(config["order"])
    sorted_ = (
        ""
        if order == sorted(order)
        else f"logits = logits[:, {order}]  # in the order of the task's classes\n"
    )
    return f"""\
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

folder = {json.dumps(place)}
tokenizer = AutoTokenizer.from_pretrained(folder{more})
{padding}model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.{dtype}).eval()

texts = {texts}
print(pipeline("text-classification", model=model, tokenizer=tokenizer)(texts{cut}))

batch = tokenizer(texts, padding=True{cut}, return_tensors="pt")
with torch.no_grad():
    logits = model(**batch).logits
{sorted_}print(logits)
"""


def _tokenisation(ensemble: Exportable, model: HfModel) -> tuple[str, str, str, str]:
    """Example texts, and what the tokenizer needs for a batch: options on loading, a padding token, and the limit of tokens."""
    protein = ensemble.source.blueprint.config["hf"]["model_type"] == "esm"
    texts = '["MKTAYIAKQR", "GLFDIVKKVV"]' if protein else '["one text", "another, longer one"]'
    reader = model.reader
    more = "" if reader.tokenizer.padding_side == "right" else ', padding_side="right"'
    padding = "" if reader.tokenizer.pad_token else "tokenizer.pad_token = tokenizer.eos_token\n"
    cut = "" if reader.limit is None else f", truncation=True, max_length={reader.limit}"
    return texts, more, padding, cut


def array_code(ensemble: Exportable, place: str, files: list[str], dtype: str) -> str:
    """Code for weights only: an MLP in NumPy; anything else needs its module."""
    blueprint = ensemble.source.blueprint
    paths = [json.dumps(f"{place}/{name}") for name in files]
    loading = f"weights = load_file({paths[0]})\n"
    if len(paths) > 1:
        loading = f"weights = {{}}\nfor file in [{', '.join(paths)}]:\n    weights |= load_file(file)\n"
    if blueprint.architecture == "mlp":
        library, rest = "numpy", _perceptron(ensemble)
    else:
        library = "torch"
        rest = "# module.load_state_dict(weights), where the module's names are those of the base's files\n"
    first = (
        "import ml_dtypes  # teaches NumPy bfloat16\n" if dtype == "bfloat16" and library == "numpy" else ""
    )
    numpy = "import numpy as np\n" if library == "numpy" else ""
    return f"""\
{first}{numpy}from safetensors.{library} import load_file

{loading}
{rest}"""


def _perceptron(ensemble: Exportable) -> str:
    blueprint = ensemble.source.blueprint
    config = blueprint.config
    columns = next(w.shape[1] for w in blueprint.weights if w.name == "layers.0.weight")
    step = "np.maximum(z, 0)" if config["activation"] == "relu" else "np.tanh(z)"
    return f"""\
W = {{name: weight.astype(np.float64) for name, weight in weights.items()}}
rows = np.linspace(-1, 1, {2 * columns}).reshape(2, {columns})  # two examples
x = rows
for i in range({len(config["hidden"])}):
    z = x @ W[f"layers.{{i}}.weight"].T + W[f"layers.{{i}}.bias"]
    x = {step}
logits = x @ W["head.weight"].T + W["head.bias"]
print(logits)
"""
