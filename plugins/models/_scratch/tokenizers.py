"""Byte-level and residue-level tokenizers, which need no training."""

# ruff: noqa: S106 - special tokens of a vocabulary, no passwords

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import EsmTokenizer, PreTrainedTokenizerFast

from .residues import VOCABULARY


def causal_tokenizer(max_length: int) -> PreTrainedTokenizerFast:
    """`<bos>` and the bytes; pad, bos, eos and unk are tokens 0 to 3."""
    raw = _bytes(("<pad>", "<bos>", "<eos>", "<unk>"))
    raw.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        model_max_length=max_length,
    )


def bert_tokenizer(max_length: int) -> PreTrainedTokenizerFast:
    """`[CLS] a [SEP]`, or `[CLS] a [SEP] b [SEP]` with types 0 and 1."""
    raw = _bytes(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=max_length,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def esm_tokenizer(folder: Path, max_length: int) -> EsmTokenizer:
    """ESM-2's tokenizer: `<cls> a <eos>`, or `<cls> a <eos> b <eos>`; writes its vocabulary file to the folder."""
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(VOCABULARY), encoding="utf-8")
    return EsmTokenizer(str(vocabulary), model_max_length=max_length)


def _bytes(special: tuple[str, ...]) -> Any:
    """Byte-level BPE without merges: every byte is a token.

    It must be byte-level BPE, since transformers loads the tokenizer of any Qwen2 as such.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate((*special, *letters))}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    return raw
