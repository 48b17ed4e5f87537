"""Tiny Hugging Face models and tokenizers, made on the spot and saved as users' folders are."""

# ruff: noqa: S106 - special tokens of a vocabulary, no passwords

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    EsmConfig,
    EsmTokenizer,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    RobertaConfig,
)
from transformers.utils import logging

SENTENCES = [
    "the cat sat on the mat", "a dog ran to the house", "good morning and good night", "bad weather, bad mood",
    "what is the sum of 12 and 30?", "Question: 3 + 4 = ? Answer: 7", "0 1 2 3 4 5 6 7 8 9",
]  # fmt: skip
SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_hidden_layers": 2}
CHAT = "{% for m in messages %}<u>{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"


def quiet() -> None:
    """No progress bars in the tests' output."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def byte_tokenizer(*, bos: bool = False, chat: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level BPE of a few hundred tokens; `<s>`, `</s>` and `<pad>` are 0, 1 and 2."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "</s>", "<pad>", "<u>", "<a>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(SENTENCES, trainer)
    if bos:
        raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    found = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>", model_max_length=64
    )
    if chat:
        found.chat_template = CHAT
    return found


def wordpiece_tokenizer() -> PreTrainedTokenizerFast:
    """BERT's way: lower case, word pieces, `[CLS] a [SEP] b [SEP]` with types 0 and 1."""
    # Its vocabulary is made by hand: the library's trainer breaks ties otherwise in every process.
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    split = [splitter.pre_tokenize_str(normalizer.normalize_str(text)) for text in SENTENCES]
    words = sorted({word for text in split for word, _ in text})
    letters = sorted(set("".join(words)))
    pieces = [*letters, *(f"##{letter}" for letter in letters), *(word for word in words if len(word) > 1)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *pieces]
    raw = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(vocabulary)}, unk_token="[UNK]"))
    raw.normalizer, raw.pre_tokenizer = normalizer, splitter
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
        model_max_length=32,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def causal(
    folder: Path, family: str = "qwen2", *, bos: bool = False, chat: bool = False, **config: Any
) -> Path:
    """A causal language model with random weights and its tokenizer; `config` goes to the configuration."""
    tokenizer = byte_tokenizer(bos=bos, chat=chat)
    ids = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    made: Any = {
        "qwen2": lambda: Qwen2Config(
            **ids, **SIZES, num_key_value_heads=1, max_position_embeddings=64, tie_word_embeddings=True
        ),
        "llama": lambda: LlamaConfig(
            **ids, **SIZES, num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False
        ),
        "gpt2": lambda: GPT2Config(**ids, n_embd=16, n_head=2, n_layer=2, n_positions=48),
    }[family]()
    for key, value in config.items():
        setattr(made, key, value)
    return _save(folder, AutoModelForCausalLM, made, tokenizer)


def encoder(folder: Path, family: str = "bert", **save: Any) -> Path:
    """An encoder with random weights and its tokenizer, as `AutoModel` saves it."""
    if family == "esm":
        vocabulary = folder.parent / "vocab.txt"
        vocabulary.write_text(
            "\n".join(
                ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"]
            )
        )
        made: Any = EsmConfig(
            **SIZES,
            vocab_size=33,
            pad_token_id=1,
            mask_token_id=32,
            position_embedding_type="rotary",
            token_dropout=True,
            max_position_embeddings=66,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        return _save(folder, AutoModel, made, EsmTokenizer(str(vocabulary)), **save)
    tokenizer = wordpiece_tokenizer()
    ids = {"vocab_size": len(tokenizer), "pad_token_id": 0}
    made = {
        "bert": lambda: BertConfig(**ids, **SIZES, max_position_embeddings=40, type_vocab_size=2),
        "distilbert": lambda: DistilBertConfig(
            **ids, dim=16, hidden_dim=24, n_heads=2, n_layers=2, max_position_embeddings=40
        ),
        "roberta": lambda: RobertaConfig(**ids, **SIZES, max_position_embeddings=40, type_vocab_size=1),
        "qwen2": lambda: Qwen2Config(**ids, **SIZES, num_key_value_heads=1, max_position_embeddings=40),
    }[family]()
    return _save(folder, AutoModel, made, tokenizer, **save)


def labelled(
    folder: Path, family: str = "bert", labels: Sequence[str] = ("good", "bad"), **config: Any
) -> Path:
    """A classifier of sequences with random weights, its own head and class names; `config` goes to the configuration.

    The decoder's padding token is 2, other than the zero that pads most batches.
    """
    tokenizer = wordpiece_tokenizer() if family != "qwen2" else byte_tokenizer()
    if family != "bert":
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    made: Any = {
        "bert": lambda: BertConfig(**ids, **SIZES, max_position_embeddings=40, type_vocab_size=2),
        "distilbert": lambda: DistilBertConfig(
            **ids, dim=16, hidden_dim=24, n_heads=2, n_layers=2, max_position_embeddings=40
        ),
        "roberta": lambda: RobertaConfig(**ids, **SIZES, max_position_embeddings=40, type_vocab_size=1),
        "qwen2": lambda: Qwen2Config(**ids, **SIZES, num_key_value_heads=1, max_position_embeddings=40),
    }[family]()
    made.id2label = dict(enumerate(labels))
    made.label2id = {label: i for i, label in enumerate(labels)}
    for key, value in config.items():
        setattr(made, key, value)
    return _save(folder, AutoModelForSequenceClassification, made, tokenizer)


def _save(folder: Path, automatic: Any, config: Any, tokenizer: Any, **save: Any) -> Path:
    quiet()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = automatic.from_config(config)
        for (
            parameter
        ) in module.parameters():  # away from zero biases and unit gains, which would hide mistakes
            parameter.data.add_(torch.randn_like(parameter) * 0.05)
    module.save_pretrained(folder, **save)
    tokenizer.save_pretrained(folder)
    return folder


def rewrite(folder: Path, rename: Any) -> None:
    """Save the weights again under other names."""
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    renamed = {rename(name): tensor for name, tensor in load_file(file).items()}
    save_file(renamed, file, metadata={"format": "pt"})


def as_bin(folder: Path) -> None:
    """Keep the weights as PyTorch's own pickle alone, as old folders do."""
    from safetensors.torch import load_file

    file = folder / "model.safetensors"
    torch.save(load_file(file), folder / "pytorch_model.bin")
    file.unlink()


def config_of(folder: Path, **changes: Any) -> None:
    """Change keys of a folder's config.json."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def shard(folder: Path) -> Path:
    """Lay the weights into two files and an index, as large models come."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, where = sorted(tensors), dict[str, str]()
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder
