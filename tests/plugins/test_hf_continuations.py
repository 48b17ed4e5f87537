"""Texts that go on behind a prompt, with tokenizers of several makes; and stop strings that are special tokens."""

import ast
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("transformers", reason="tokenizers come with transformers")

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from boostlora.engine.boosting.generation import request_for
from boostlora.engine.contracts import Decoding, Prompts
from boostlora.plugins.models._hf.reader import Reader

PROMPT = 'def double(x):\n    """Twice x."""\n'
BODY = "    y = x\n    return 2 * y\n"
SPACE = "\u2581"
UNKNOWN = {"unk_token": "<unk>"}
SPECIAL = {"eos_token": "</s>", "additional_special_tokens": ["<|im_end|>"]}
LETTERS = sorted(set(PROMPT + BODY + "abcdefghijklmnopqrstuvwxyz0123456789#.é"))


def reader_of(raw, **special):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, **special)
    return Reader(tokenizer=tokenizer, limit=None, vocabulary=None, end_tokens=(2,), takes_types=False)


def llama_2():
    """As Llama 2, Mistral 7B and CodeLlama have it: a space before every text, dropped again before the first token."""
    characters = sorted({SPACE if c == " " else c for c in LETTERS})
    vocabulary = {
        t: i
        for i, t in enumerate(["<unk>", "<s>", "</s>", "<|im_end|>", *characters, SPACE * 4, SPACE + "y"])
    }
    merges = [(SPACE, SPACE), (SPACE * 2, SPACE * 2), (SPACE, "y")]
    vocabulary[SPACE * 2] = len(vocabulary)
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, **UNKNOWN))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    raw.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return reader_of(raw, **UNKNOWN, **SPECIAL)


def metaspace(scheme):
    """As T5 and XLM-R ("always"), and as Llama 3's converted kin ("first")."""
    characters = sorted({SPACE if c == " " else c for c in LETTERS})
    vocabulary = {t: i for i, t in enumerate(["<unk>", "<s>", "</s>", "<|im_end|>", *characters])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[], **UNKNOWN))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme=scheme, split=False)
    raw.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme=scheme, split=False)
    return reader_of(raw, **UNKNOWN, **SPECIAL)


def bytes_(prefix=False):
    """As GPT-2, Qwen and Llama 3; with a space before every text, as RoBERTa may have it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {t: i for i, t in enumerate(["<|endoftext|>", "<s>", "</s>", "<|im_end|>", *alphabet])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    raw.decoder = decoders.ByteLevel()
    return reader_of(raw, **SPECIAL)


READERS = {
    "llama 2": llama_2,
    "metaspace always": lambda: metaspace("always"),
    "metaspace first": lambda: metaspace("first"),
    "bytes": bytes_,
    "bytes behind a space": lambda: bytes_(prefix=True),
}
PAIRS = [
    (PROMPT, BODY),
    ("def f(y):", " y"),
    ("a ", "b"),
    ("a", " b"),
    ("2 * ", "y"),
    ("x", "\n\ny"),
    ("x\n", "  y"),
    ("", "y = x"),
    ("é", "é y"),
]


@pytest.fixture(params=READERS)
def reader(request):
    return READERS[request.param]()


@pytest.mark.parametrize(("prompt", "completion"), PAIRS)
def test_tokens_of_a_completion_are_those_of_its_text_behind_the_prompt(reader, prompt, completion):
    tokens = reader.prompts(Prompts((prompt,), (completion,)), chat=False, end=False)
    start = int(tokens.starts[0])
    asked, written = tokens.sequence(0)[:start], tokens.completion(0)
    assert reader.decode(written, asked) == completion
    whole = reader.tokenizer.decode(tokens.sequence(0).tolist(), skip_special_tokens=True)
    assert whole.endswith(prompt + completion)
    assert len(whole) <= len(prompt + completion) + 1, "a space that opens the text, at most"


def test_output_of_a_perfect_model_is_a_program_that_parses(reader):
    tokenised = lambda text: reader.tokenizer(text, add_special_tokens=False)["input_ids"]  # noqa: E731
    whole, asked = tokenised(PROMPT + BODY), tokenised(PROMPT)
    assert whole[: len(asked)] == asked
    written = np.array(whole[len(asked) :], dtype=np.int32)
    assert reader.decode(written, np.array(asked, dtype=np.int32)) == BODY
    ast.parse(PROMPT + reader.decode(written, np.array(asked, dtype=np.int32)))


def test_completion_is_trained_on_the_tokens_that_the_whole_text_has(reader):
    tokens = reader.prompts(Prompts((PROMPT,), (BODY,)), chat=False, end=False)
    whole = reader.tokenizer(PROMPT + BODY, add_special_tokens=False)["input_ids"]
    assert tokens.sequence(0).tolist() == whole


def test_stop_string_that_is_a_special_token_ends_an_answer(reader):
    assert reader.special_token("<|im_end|>") == 3
    assert reader.special_token("<|im_") is None
    assert reader.special_token("y") is None
    decoding = Decoding(max_new_tokens=8, stop=("Question:", "<|im_end|>", "<|im_end|>\n"))
    request = request_for(SimpleNamespace(text_model=reader), decoding, 1, np.random.default_rng(0))
    assert request.end_tokens == (2, 3)
    assert request.stop == decoding.stop
