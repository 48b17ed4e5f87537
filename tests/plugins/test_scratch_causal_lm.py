"""`scratch-causal-lm`: made from nothing, trained on the task's texts, and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="models made from nothing need torch")
pytest.importorskip("transformers", reason="models made from nothing need transformers")

import attrs
import torch

from boostlora.engine.contracts import Examples, Prompts, Splits
from boostlora.engine.errors import NonFiniteError
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.testing import ModelContract
from boostlora.plugins.models.scratch_causal_lm import ScratchCausalLm

from .hf_cases import CLASSES, assert_module_is_the_files, get, message, splits_of

TINY: Any = {
    "layers": 2, "hidden": 16, "heads": 2, "kv_heads": 1, "intermediate": 24, "max_length": 24,
    "pretrain_steps": 6, "pretrain_batch": 8,
}  # fmt: skip


def sums(numbers: range) -> Prompts:
    pairs = [(a, b) for a in numbers for b in numbers]
    return Prompts(tuple(f"{a}+{b}=" for a, b in pairs), tuple(str(a + b) for a, b in pairs))


ADDITIONS = splits_of(sums(range(8)))


def measured(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "pretraining.json").read_text())


class TestScratchQwen2(ModelContract):
    def make(self):
        return ScratchCausalLm(**TINY)

    def splits(self):
        return ADDITIONS


class TestScratchLlama(TestScratchQwen2):
    def make(self):
        return ScratchCausalLm(**TINY, family="llama")


@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_scratch_lm_is_the_architecture_that_backends_know(family: str, tmp_path: Path) -> None:
    source = get(ScratchCausalLm(**TINY, family=family), ADDITIONS, tmp_path)
    assert source.blueprint.architecture == f"causal-lm/{family}"
    assert sum(w.role == "linear" for w in source.blueprint.weights) == 14
    assert_module_is_the_files(source)


def test_scratch_lm_same_seed_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    model = ScratchCausalLm(**TINY)
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    first = get(model, ADDITIONS, tmp_path / "a").sha256
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(99)
    torch.set_num_threads(2)
    try:
        assert get(model, ADDITIONS, tmp_path / "b").sha256 == first
    finally:
        torch.set_num_threads(threads)
    other = model.source(ADDITIONS, RunContext(cache=tmp_path / "c"), np.random.default_rng(1))
    assert other.sha256 != first


@pytest.mark.parametrize(
    "change", [{"pretrain_lr": 2e-3}, {"pretrain_steps": 7}, {"pretrain_schedule": "cosine"}, {"hidden": 20}]
)
def test_scratch_lm_other_options_are_another_model(change: dict[str, Any], tmp_path: Path) -> None:
    first = get(ScratchCausalLm(**TINY), ADDITIONS, tmp_path)
    assert get(ScratchCausalLm(**{**TINY, **change}), ADDITIONS, tmp_path).sha256 != first.sha256


def test_scratch_lm_in_the_cache_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[tuple[str, int, int]]()
    context = RunContext(cache=tmp_path, report=lambda *what: told.append(what))
    model = ScratchCausalLm(**TINY)
    first = model.source(ADDITIONS, context, np.random.default_rng(0))
    assert told[-1] == ("pretraining", 6, 6)
    told.clear()
    again = model.source(ADDITIONS, context, np.random.default_rng(0))
    assert (again.sha256, again.files, told) == (first.sha256, first.files, [])
    first.files[0].write_bytes(first.files[0].read_bytes()[:-4] + b"\0\0\0\1")
    assert model.source(ADDITIONS, context, np.random.default_rng(0)).sha256 == first.sha256
    assert told, "damaged weights were to be trained anew"


def test_scratch_lm_blueprint_and_tokens_come_without_training(tmp_path: Path) -> None:
    model = ScratchCausalLm(**TINY)
    blueprint = model.blueprint(ADDITIONS)
    assert not list(model.skeleton().glob("*.safetensors"))
    source = get(model, ADDITIONS, tmp_path)
    assert source.blueprint == blueprint
    trained = model.at(source.files[0].parent)
    np.testing.assert_array_equal(
        model.encode(ADDITIONS.train).inputs.ids, trained.encode(ADDITIONS.train).inputs.ids
    )
    assert model.end_tokens == trained.end_tokens == (2,)


@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_scratch_lm_a_byte_is_a_token_between_beginning_and_end(family: str) -> None:
    texts = Prompts(("Was ist\t12+30?\n", "", "  a  "), (" Zwölf & 30 = 42 ", "x", "'ll  "))
    model = ScratchCausalLm(**TINY | {"max_length": 64}, family=family)
    tokens = model.encode(splits_of(texts).train).inputs
    for i, (prompt, completion) in enumerate(zip(texts.prompts, texts.completions, strict=True)):
        sequence = tokens.sequence(i)
        assert len(sequence) == 1 + len((prompt + completion).encode()) + 1
        assert (sequence[0], sequence[-1], tokens.starts[i]) == (1, 2, 1 + len(prompt))
        assert model.decode(sequence) == prompt + completion
    assert model.blueprint(splits_of(texts)).config["hf"]["vocab_size"] == 4 + 256


def test_scratch_lm_folder_is_loaded_by_transformers(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = get(ScratchCausalLm(**TINY), ADDITIONS, tmp_path).files[0].parent
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("1 +1")["input_ids"] == [1, *tokenizer.convert_tokens_to_ids(list("1Ġ+1"))]
    assert tokenizer.decode(tokenizer("1 +1")["input_ids"], skip_special_tokens=True) == "1 +1"
    module = AutoModelForCausalLM.from_pretrained(folder)
    assert module.generation_config.eos_token_id == tokenizer.eos_token_id == 2


def test_scratch_lm_inputs_of_another_kind_are_refused() -> None:
    assert "scratch-causal-lm takes prompts with completions" in message(
        lambda: ScratchCausalLm(**TINY).blueprint(CLASSES)
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"hidden": 18}, "multiple of 2 heads = 4"), ({"kv_heads": 3, "heads": 2}, "divide heads = 2")],
)
def test_scratch_lm_with_an_impossible_shape_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ScratchCausalLm(**{**TINY, **wrong})


def test_scratch_lm_learns_the_source_domain_when_given(tmp_path: Path) -> None:
    source = splits_of(sums(range(3))).train
    with_source = attrs.evolve(ADDITIONS, source=source)
    alone = Splits(train=source, validation=source, test=source, classes=())
    model = ScratchCausalLm(**TINY)
    assert get(model, with_source, tmp_path / "a").sha256 == get(model, alone, tmp_path / "b").sha256


def test_scratch_lm_stops_at_the_requested_accuracy(tmp_path: Path) -> None:
    parity = Prompts(tuple(f"{a:02d}" for a in range(100)), tuple("eo"[a % 2] for a in range(100)))
    splits = splits_of(parity)
    options = {**TINY, "pretrain_steps": 400, "pretrain_lr": 1e-2, "pretrain_batch": 16}
    stopped = get(ScratchCausalLm(**options, stop_at=0.8, check_every=5), splits, tmp_path)
    found = measured(stopped.files[0].parent)
    assert found["accuracy"] >= 0.8
    assert (found["held_out"], found["steps"] % 5) == (10, 0)
    assert found["steps"] < 400
    assert "accuracy" not in measured(get(ScratchCausalLm(**TINY), splits, tmp_path).files[0].parent)


def test_scratch_lm_accuracy_of_pretraining_is_that_of_the_weights(tmp_path: Path) -> None:
    """What is counted as right is judged again, one sequence at a time and without padding."""
    from boostlora.plugins.models._scratch.decoder import sequence_accuracy

    model = ScratchCausalLm(**{**TINY, "pretrain_steps": 150, "pretrain_lr": 1e-2})
    source = get(model, ADDITIONS, tmp_path)
    module = source.build(source.blueprint, torch.float32)
    tokens = model.encode(ADDITIONS.train).inputs
    right = list[bool]()
    for sequence, start in zip(tokens, tokens.starts, strict=True):
        ids = torch.tensor(sequence.astype(np.int64))
        with torch.no_grad():
            likeliest = module(input_ids=ids[None]).logits[0, start - 1 : -1].argmax(-1)
        right.append(bool((likeliest == ids[start:]).all()))
    assert 0.05 < np.mean(right) < 0.95, "a share that could be told from none and all"
    assert sequence_accuracy(module, tokens, 0) == pytest.approx(np.mean(right), abs=1e-12)


def test_scratch_lm_nan_loss_is_reported(tmp_path: Path) -> None:
    model = ScratchCausalLm(**{**TINY, "pretrain_steps": 50}, pretrain_lr=1e30)
    with pytest.raises(NonFiniteError, match=r"diverged at step \d+ of 50; lower model.pretrain_lr"):
        get(model, ADDITIONS, tmp_path)


def test_interrupted_scratch_lm_leaves_no_partial_model(tmp_path: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    model = ScratchCausalLm(**TINY)
    with pytest.raises(KeyboardInterrupt):
        model.source(ADDITIONS, RunContext(cache=tmp_path, report=interrupt), np.random.default_rng(0))
    assert not [p for p in (tmp_path / "models").iterdir() if p.suffix != ".lock"]
    whole = get(model, ADDITIONS, tmp_path)
    assert whole.sha256 == get(model, ADDITIONS, tmp_path / "other").sha256


def test_scratch_lm_prompts_are_inputs_but_not_targets(tmp_path: Path) -> None:
    model = ScratchCausalLm(**{**TINY, "pretrain_steps": 200, "pretrain_lr": 1e-2})
    letters = np.random.default_rng(0).integers(0, 26, (64, 6))
    prompts = tuple("".join(chr(97 + c) for c in row) for row in letters)
    examples = Examples(
        ids=np.arange(64), inputs=Prompts(prompts, ("!",) * 64), labels=np.zeros(64, dtype=np.int64)
    )
    splits = Splits(train=examples, validation=examples, test=examples, classes=())
    source = get(model, splits, tmp_path)
    module = source.build(source.blueprint, torch.float32)
    ids = torch.tensor(np.stack(list(model.encode(examples).inputs)).astype(np.int64))
    with torch.no_grad():
        losses = torch.nn.functional.cross_entropy(
            module(input_ids=ids).logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none"
        ).mean(dim=0)
    assert losses[-2:].max() < 0.05, "completion and end token are known"
    assert losses[:6].min() > np.log(26), "prompts are not: no better than chance among letters"
