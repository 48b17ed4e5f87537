"""From texts to tokens and back."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import numpy as np
import pytest

pytest.importorskip("torch", reason="Hugging Face models need torch")
pytest.importorskip("transformers", reason="Hugging Face models need transformers")

from boostlora.engine.contracts import Prompts, Texts
from boostlora.plugins.models.hf_causal_lm import HfCausalLm
from boostlora.plugins.models.hf_classifier import HfClassifier

from ..support import hf_toys
from .hf_cases import CAUSAL, CLASSES, PAIRS, PROMPTS, message, splits_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "model"


def test_causal_tokens_are_prompt_completion_and_end(folder: Path) -> None:
    model = HfCausalLm(path=str(hf_toys.causal(folder, "llama", bos=True)))
    tokenizer = model.reader.tokenizer
    tokens = model.encode(CAUSAL.train).inputs
    for i, (prompt, completion) in enumerate(zip(PROMPTS.prompts, PROMPTS.completions, strict=True)):
        head, tail = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in (prompt, completion))
        assert tokens.sequence(i).tolist() == [0, *head, *tail, 1]
        assert tokens.starts[i] == 1 + len(head)
    assert not tokens.cut.any()
    assert model.end_tokens == (1,)


def test_causal_empty_prompt_begins_with_the_opening_token(folder: Path) -> None:
    model = HfCausalLm(path=str(hf_toys.causal(folder)))
    tokens = model.encode(splits_of(Prompts(("",), ("good",))).train).inputs
    assert tokens.sequence(0)[0] == 0
    assert tokens.starts.tolist() == [1]


def test_causal_long_prompt_loses_its_beginning_and_keeps_its_completion(folder: Path) -> None:
    model = HfCausalLm(path=str(hf_toys.causal(folder, "llama", bos=True)), max_length=12)
    whole = HfCausalLm(path=str(folder)).encode(CAUSAL.train).inputs
    long = Prompts(("the mat " * 20 + "the cat", "the cat"), (" sat on the mat", " sat"))
    tokens = model.encode(splits_of(long).train).inputs
    assert tokens.cut.tolist() == [True, False]
    assert tokens.lengths[0] == 12
    assert tokens.sequence(0)[0] == 0
    np.testing.assert_array_equal(tokens.completion(0), whole.completion(0))
    assert model.decode(tokens.sequence(0)).endswith("cat sat on the mat")


def test_causal_completion_that_cannot_be_learned_is_refused_by_name(folder: Path) -> None:
    model = HfCausalLm(path=str(hf_toys.causal(folder)), max_length=6)
    empty = splits_of(Prompts(("hi", "the cat"), ("x", ""))).train
    assert message(lambda: model.encode(empty)) == 'example 2 ("the cat"): its completion is empty'
    long = splits_of(Prompts(("the cat",), ("zqzqzqzqzqzq",))).train
    said = message(lambda: model.encode(long))
    assert said.startswith('example 1 ("the cat"): its completion of ')
    assert said.endswith(" tokens does not fit into the model's 6 with a token before it (model.max_length)")


def test_causal_chat_template_wraps_the_prompt_and_opens_the_answer(folder: Path) -> None:
    model = HfCausalLm(path=str(hf_toys.causal(folder, "llama", bos=True, chat=True)), chat_template=True)
    tokens = model.encode(CAUSAL.train).inputs
    plain = model.reader.tokenizer("the cat", add_special_tokens=False)["input_ids"]
    assert tokens.sequence(0)[: tokens.starts[0]].tolist() == [3, *plain, 4]


def test_missing_causal_chat_template_is_refused(folder: Path) -> None:
    model = HfCausalLm(path=str(hf_toys.causal(folder)), chat_template=True)
    expected = "model.chat_template: the tokenizer has no chat template"
    assert message(lambda: model.encode(CAUSAL.train)) == expected


def test_causal_end_tokens_are_all_that_are_named_each_once(folder: Path) -> None:
    hf_toys.causal(folder)
    (folder / "generation_config.json").write_text('{"eos_token_id": [7, 1]}')
    assert HfCausalLm(path=str(folder)).end_tokens == (7, 1)


def test_classifier_long_texts_are_cut_and_marked(folder: Path) -> None:
    model = HfClassifier(path=str(hf_toys.encoder(folder)), max_length=6)
    tokens = model.encode(
        splits_of(Texts((("the cat",), ("the cat sat on the mat",))), ("a", "b")).train
    ).inputs
    assert tokens.cut.tolist() == [False, True]
    assert tokens.lengths.max() == 6
    assert tokens.starts.tolist() == tokens.lengths.tolist()
    assert tokens.sequence(1)[[0, -1]].tolist() == [2, 3]  # [CLS] … [SEP] survive


def test_classifier_pairs_have_token_types(folder: Path) -> None:
    model = HfClassifier(path=str(hf_toys.encoder(folder)))
    pairs = model.encode(splits_of(PAIRS, ("no", "yes")).train).inputs
    ids, types = pairs.ids[: pairs.offsets[1]], pairs.types[: pairs.offsets[1]]
    border = ids.tolist().index(3) + 1
    assert types.tolist() == [0] * border + [1] * (len(ids) - border)
    assert model.encode(CLASSES.train).inputs.types is None


def test_classifier_model_without_token_types_gets_none(folder: Path) -> None:
    model = HfClassifier(path=str(hf_toys.encoder(folder, "distilbert")))
    assert model.encode(splits_of(PAIRS, ("no", "yes")).train).inputs.types is None


def test_limits_are_those_of_positions_and_tokenizer(tmp_path: Path) -> None:
    bert = HfClassifier(path=str(hf_toys.encoder(tmp_path / "bert")))
    assert bert.reader.limit == 32  # the tokenizer's; positions would allow 40
    esm = HfClassifier(path=str(hf_toys.encoder(tmp_path / "esm", "esm")))
    assert esm.reader.limit == 64  # 66 positions, counted from the padding token's id + 1
    too_long = attrs.evolve(bert, max_length=33)
    assert (
        message(lambda: too_long.reader)
        == f"model.max_length = 33; {tmp_path / 'bert'} supports at most 32 tokens"
    )


def test_tokenizer_that_changed_in_its_folder_is_read_again_by_the_next_run(tmp_path: Path) -> None:
    folder = hf_toys.causal(tmp_path / "model")
    model = HfCausalLm(path=str(folder))
    before = model.reader.limit
    assert before != 9
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": 9}))
    assert HfCausalLm(path=str(folder)).reader.limit == 9
    assert model.reader.limit == before, "a run keeps what it began with"


CLOCKS = {
    "{{ strftime_now('%d %B %Y') }}": "26 July 2024",
    "{{ strftime_now('%H:%M:%S') }}": "00:00:00",
    "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% endif %}": "2024",
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_causal_chat_template_with_a_clock_is_reproducible(folder: Path, clock: str) -> None:
    reader = HfCausalLm(path=str(hf_toys.causal(folder, chat=True)), chat_template=True).reader
    reader.tokenizer.chat_template = clock + " {{ messages[0]['content'] }}"
    assert reader._rendered([{"role": "user", "content": "a"}]) == f"{CLOCKS[clock]} a"
    now = reader.tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)
    assert now != f"{CLOCKS[clock]} a", "afterwards the clock goes on"


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('no such role') }}",
        "{{ messages[0]['content'] + 1 }}",
        "{{ undefined.thing }}",
        "{% if %}",
        "{{ messages[0]['content'] | no_such_filter }}",
    ],
)
def test_failing_causal_chat_template_is_reported_with_its_key(folder: Path, template: str) -> None:
    model = HfCausalLm(path=str(hf_toys.causal(folder, chat=True)), chat_template=True)
    model.reader.tokenizer.chat_template = template
    said = message(lambda: model.encode(CAUSAL.train))
    assert said.startswith("model.chat_template: the tokenizer's template fails: ")
