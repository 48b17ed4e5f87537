"""A byte-level BPE tokenizer as GGUF metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gguf import GGUFValueType as Kind
from gguf import Keys, TokenType

from ....engine.errors import UsageError
from .files import Field

_LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPLITS: Mapping[str, str] = {
    rf"{_SHORT}|{_LETTERS}|\p{{N}}{{1,3}}|{_REST}": "llama-bpe",
    rf"{_SHORT}|{_LETTERS}|\p{{N}}|{_REST}": "qwen2",
}
"""llama.cpp's names of pre-tokenizers, by their regular expression in tokenizer.json."""
SPECIAL = {
    "bos": Keys.Tokenizer.BOS_ID,
    "eos": Keys.Tokenizer.EOS_ID,
    "unk": Keys.Tokenizer.UNK_ID,
    "sep": Keys.Tokenizer.SEP_ID,
    "pad": Keys.Tokenizer.PAD_ID,
    "mask": Keys.Tokenizer.MASK_ID,
}


class UnsupportedTokenizerError(Exception):
    """A property of a tokenizer that GGUF cannot represent."""


def vocabulary(tokenizer: Any, size: int) -> list[Field]:
    """The fields of a tokenizer for a model with `size` tokens. Raises `UsageError` naming what GGUF cannot represent."""
    try:
        return list(_fields(tokenizer, size))
    except UnsupportedTokenizerError as reason:
        raise UsageError(
            f"exporter gguf: the tokenizer cannot be written: {reason}; write --to hf, and convert that with "
            "llama.cpp's convert_hf_to_gguf.py"
        ) from reason


def _fields(tokenizer: Any, size: int) -> Iterator[Field]:
    content = _content(tokenizer)
    model, merges = content["model"], _merges(content["model"])
    tokens, kinds = _tokens(model["vocab"], content["added_tokens"], size)
    first, last = _added(tokenizer)
    yield Field(Keys.Tokenizer.MODEL, "gpt2", Kind.STRING)
    yield Field(Keys.Tokenizer.PRE, _pre(content, has_merges=bool(merges)), Kind.STRING)
    yield Field(Keys.Tokenizer.LIST, tokens, Kind.ARRAY, Kind.STRING)
    yield Field(Keys.Tokenizer.TOKEN_TYPE, kinds, Kind.ARRAY, Kind.INT32)
    yield Field(Keys.Tokenizer.MERGES, merges, Kind.ARRAY, Kind.STRING)
    for name, key in SPECIAL.items():
        found = getattr(tokenizer, f"{name}_token_id", None)
        if found is not None and found < size:
            yield Field(key, int(found), Kind.UINT32)
    yield Field(Keys.Tokenizer.ADD_BOS, first, Kind.BOOL)
    yield Field(Keys.Tokenizer.ADD_EOS, last, Kind.BOOL)
    yield Field(Keys.Tokenizer.ADD_PREFIX, value=False, type=Kind.BOOL)
    yield from _templates(getattr(tokenizer, "chat_template", None))


def _content(tokenizer: Any) -> dict[str, Any]:
    """The content of tokenizer.json, if it is plain byte-level BPE. Raises `UnsupportedTokenizerError`."""
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise UnsupportedTokenizerError("it has no tokenizer.json")
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    model, normalizer, decoder = content["model"], content["normalizer"], content["decoder"]
    if model["type"] != "BPE" or model.get("byte_fallback") or (decoder or {}).get("type") != "ByteLevel":
        raise UnsupportedTokenizerError(f"it is {model['type']}, and not byte-level BPE")
    if any(model.get(key) for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix")):
        raise UnsupportedTokenizerError("its BPE has dropout, or marks parts of words")
    # llama.cpp does not normalise; its converter also ignores NFC, which most texts are in already.
    if normalizer is not None and normalizer["type"] != "NFC":
        raise UnsupportedTokenizerError(f"it changes texts first ({normalizer['type']})")
    return content


def _merges(model: Mapping[str, Any]) -> list[str]:
    """Merges as pairs separated by a space, which no byte-level token contains."""
    pairs = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
    return [" ".join(pair) for pair in pairs]


def _tokens(vocab: Mapping[str, int], added: Sequence[Any], size: int) -> tuple[list[str], list[int]]:
    """Every token's text and type, by id; unused ids are filled with padding tokens.

    Added tokens outside the model's vocabulary are dropped: transformers adds Qwen2's end token to any of its tokenizers.
    """
    known = {index: (text, TokenType.NORMAL) for text, index in vocab.items()}
    for token in added:
        kind = TokenType.CONTROL if token["special"] else TokenType.USER_DEFINED
        if token["id"] < size:
            known[token["id"]] = (token["content"], kind)
    if max(known) >= size:
        raise UnsupportedTokenizerError(f"it has token {max(known)}, and the model knows {size}")
    filled = [known.get(i, (f"[PAD{i}]", TokenType.UNUSED)) for i in range(size)]
    return [text for text, _ in filled], [int(kind) for _, kind in filled]


def _pre(content: Mapping[str, Any], *, has_merges: bool) -> str:
    """llama.cpp's name of the pre-tokenizer. Raises `UnsupportedTokenizerError` if it has none."""
    steps = _steps(content["pre_tokenizer"])
    kinds, last = [step["type"] for step in steps], steps[-1] if steps else {}
    ignoring = bool(content["model"].get("ignore_merges"))
    name = None
    if kinds and kinds[-1] == "ByteLevel" and not last["add_prefix_space"]:
        if kinds == ["ByteLevel"]:
            # Without merges every token is one byte, and pre-tokenization does not matter.
            name = "gpt-2" if last.get("use_regex", True) or not has_merges else None
        elif (
            kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"] and last.get("use_regex", True)
        ):
            name = "smollm"
        elif kinds == ["Split", "ByteLevel"] and not last.get("use_regex", True) and not steps[0]["invert"]:
            name = SPLITS.get(steps[0]["pattern"].get("Regex", ""))
    # Of these, llama.cpp implements `ignore_merges` only for Llama 3.
    if name is None or ignoring != (name == "llama-bpe"):
        raise UnsupportedTokenizerError(
            f"its pre-tokenizer ({', '.join(kinds) or 'none'}) has no name in llama.cpp"
        )
    return name


def _steps(part: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    if part is None:
        return []
    return (
        [step for p in part["pretokenizers"] for step in _steps(p)] if part["type"] == "Sequence" else [part]
    )


def _added(tokenizer: Any) -> tuple[bool, bool]:
    """Whether it adds BOS before and EOS after a text; tested, since there are many ways to configure it."""
    whole, plain = (tokenizer("a", add_special_tokens=s)["input_ids"] for s in (True, False))
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    for first in (False, True):
        for last in (False, True):
            if whole == [bos] * first + plain + [eos] * last:
                return first, last
    raise UnsupportedTokenizerError("it adds more than a BOS and an EOS token to a text")


def _templates(template: Any) -> Iterator[Field]:
    """The chat template; if there are several, the one named `default`."""
    named = template if isinstance(template, Mapping) else {"default": template}
    if named.get("default"):
        yield Field(Keys.Tokenizer.CHAT_TEMPLATE, named["default"], Kind.STRING)
