"""Example code that loads an adapter and runs it."""

from __future__ import annotations

from collections.abc import Sequence

from ....engine.contracts import Exportable
from .places import base_location, tokenizer_location
from .targets import HEAD_FILE, is_classifier

POOLED = {
    "mean": "pooled = (hidden * mask).sum(1) / mask.sum(1)",
    "max": "pooled = hidden.masked_fill(mask == 0, -torch.inf).amax(1)",
    "cls": "pooled = hidden[:, 0]",
    "last": "pooled = hidden[torch.arange(len(hidden)), tokens.attention_mask.sum(1) - 1]",
}
"""Pooling of `hidden (n, length, d)`, right-padded."""
PROTEIN, PROSE = "MKTAYIAKQRQISFVK", "the cat sat"


def loading_code(ensemble: Exportable, place: str, rounds: Sequence[str] = (), note: str = "") -> str:
    """Code that loads the adapter in `place`, or those in its folders `rounds`, and computes `logits` of `texts`."""
    classifier = is_classifier(ensemble.source.blueprint)
    kind, name = ("AutoModel", "encoder") if classifier else ("AutoModelForCausalLM", "model")
    first = f"{place}/{rounds[0]}" if rounds else place
    named = f", adapter_name={rounds[0]!r}" if rounds else ""
    lines = [
        "import torch",
        "from peft import PeftModel",
        *(["from safetensors.torch import load_file"] if classifier else []),
        f"from transformers import {kind}, AutoTokenizer",
        "",
        f"base = {kind}.from_pretrained({base_location(ensemble).arguments()}, dtype='auto')",
        f"{name} = PeftModel.from_pretrained(base, {first!r}{named})",
        *_rounds(name, place, rounds),
        *_tokenizer(ensemble),
        *(_classifying(ensemble, place) if classifier else _continuing(ensemble)),
        *(["", *(f"# {line}" for line in note.splitlines())] if note else []),
    ]
    return "\n".join(lines) + "\n"


def _rounds(name: str, place: str, rounds: Sequence[str]) -> list[str]:
    if not rounds:
        return []
    return [
        f"rounds = {list(rounds)!r}",
        "for each in rounds[1:]:",
        f"    {name}.load_adapter({place + '/'!r} + each, adapter_name=each)",
        f"{name}.base_model.set_adapter(rounds)  # rounds[:t]: the model as it was after t of them",
        f"# as one: {name}.add_weighted_adapter(rounds, [1.0] * len(rounds), 'all', combination_type='cat')",
    ]


def _tokenizer(ensemble: Exportable) -> list[str]:
    more = ", padding_side='right'" if is_classifier(ensemble.source.blueprint) else ""
    gguf = getattr(ensemble.model, "gguf", "")
    more += f", gguf_file={gguf!r}" if gguf else ""
    return [f"tokenizer = AutoTokenizer.from_pretrained({tokenizer_location(ensemble).arguments()}{more})"]


def _continuing(ensemble: Exportable) -> list[str]:
    asked = ["tokens = tokenizer(texts, return_tensors='pt')"]
    if getattr(ensemble.model, "chat_template", False):
        asked = [
            "chats = [[{'role': 'user', 'content': text}] for text in texts]",
            "asked = tokenizer.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)",
            "tokens = tokenizer(asked, add_special_tokens=False, return_tensors='pt')",
        ]
    return [
        f"texts = [{PROSE!r}]",
        *asked,
        "with torch.no_grad():",
        "    logits = model(**tokens).logits[:, -1]  # of the next token; model.generate(**tokens) goes on",
    ]


def _classifying(ensemble: Exportable, place: str) -> list[str]:
    protein = ensemble.source.blueprint.architecture == "classifier/esm"
    return [
        f"head = load_file({place + '/' + HEAD_FILE!r})",
        f"texts = [{PROTEIN if protein else PROSE!r}]",
        "tokens = tokenizer(texts, padding=True, truncation=True, return_tensors='pt')",
        "with torch.no_grad():",
        "    hidden = encoder(**tokens).last_hidden_state",
        "mask = tokens.attention_mask.unsqueeze(-1)",
        POOLED[ensemble.source.blueprint.config["pooling"]],
        "logits = pooled.float() @ head['head.weight'].T + head['head.bias']",
    ]
