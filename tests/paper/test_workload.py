"""The estimate of a language model's work, counted by hand on a model and texts of a few tokens."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import numpy as np
import pytest

from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.workload import ACCELERATORS, SERVED_BATCH, Workload, workload_of
from boostlora.engine.contracts import DenseDelta, FreeFactors, Parametrisation
from boostlora.engine.registry import Registry
from boostlora.engine.spec.resolve import load_spec
from boostlora.engine.testing import assert_close

from ..support.commands import Command

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")

SPEC = """
name = "tiny"
rounds = 3

[task]
use = "language-modelling"
path = "rows.jsonl"
validation = 0.2
test = 0.3
correct = "loss"

[model]
use = "scratch-causal-lm"
layers = 2
hidden = 8
heads = 2
kv_heads = 1
intermediate = 16
max_length = 32

[adapter]
use = "tinylora"
rank = 1
u = 1

[optimizer]
steps = 5
batch_size = 4

[backend]
use = "torch"
device = "cpu"
dtype = "float32"
eval_tokens = 30
"""
GREEDY = ("task.correct=greedy", "task.max_new_tokens=6")
GRPO = (*GREEDY, "objective.use=grpo", "objective.group_size=2")

# By hand: 20 rows of a prompt of `<bos>` and two bytes, and a completion of a byte and `<eos>`.
ROWS, PROMPT, TARGETS, ROUNDS, STEPS, BATCH, WRITTEN = 20, 3, 2, 3, 5, 4, 6
LENGTH = PROMPT + TARGETS
EVALUATED = (ROUNDS + 1) * ROWS
VOCABULARY, HIDDEN, KV, INNER, LAYERS, ITEM = 260, 8, 4, 16, 2, 4
_ATTENTION = 2 * HIDDEN * HIDDEN + 2 * HIDDEN * KV + HIDDEN + 2 * KV  # q, o, k, v, and biases of q, k, v
WEIGHTS = (
    VOCABULARY * HIDDEN + LAYERS * (_ATTENTION + 3 * HIDDEN * INNER + 2 * HIDDEN) + HIDDEN
)  # and the norms


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workload")
    rows = [{"prompt": f"{i:02d}", "completion": str(i % 10)} for i in range(ROWS)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "tiny.toml").write_text(SPEC)
    return folder


def estimate(
    folder: Path,
    *settings: str,
    spec: str = "tiny.toml",
    generator: str = "native",
    parametrisations: list[Parametrisation] | None = None,
) -> Workload:
    """The workload of a plan; with a `generator` or `parametrisations` that are not the spec's own."""
    prepared = prepare(load_spec(str(folder / spec), Registry.load(), settings))
    found = prepared.plan.workload
    if generator != "native" or parametrisations is not None:
        slots = dict(prepared.spec.slots)
        slots["generator"] = attrs.evolve(slots["generator"], use=generator)
        found = workload_of(
            attrs.evolve(prepared.spec, slots=slots),
            prepared.spec.model.blueprint(prepared.splits),
            prepared.encoded,
            parametrisations or [],
            ROUNDS,
        )
    assert found is not None
    return found


def counts(work: Workload) -> tuple[int, int, int]:
    return work.read, work.generated, work.trained


def test_workload_of_supervised_rounds_has_the_hand_counted_values(folder: Path) -> None:
    work = estimate(folder)
    trained = ROUNDS * STEPS * BATCH * LENGTH
    assert counts(work) == (EVALUATED * LENGTH, 0, trained)
    assert work.operations == WEIGHTS * (2 * EVALUATED * LENGTH + 4 * trained)
    assert work.moved_bytes == 0.0


def test_workload_of_a_task_that_has_the_model_write_counts_prompts_and_texts(folder: Path) -> None:
    work = estimate(folder, *GREEDY)
    assert counts(work) == (
        EVALUATED * (LENGTH + PROMPT),
        EVALUATED * WRITTEN,
        ROUNDS * STEPS * BATCH * LENGTH,
    )


def test_workload_of_grpo_trains_on_what_is_written_to_every_prompt(folder: Path) -> None:
    work = estimate(folder, *GRPO)
    answers = ROUNDS * STEPS * BATCH * 2
    trained = answers * (PROMPT + WRITTEN)
    read = EVALUATED * (LENGTH + PROMPT) + answers * PROMPT
    written = (EVALUATED + answers) * WRITTEN
    assert counts(work) == (read, written, trained)
    assert work.operations == WEIGHTS * (2 * (read + written) + 4 * trained)


def test_workload_of_grpo_with_iterations_writes_less_and_reads_old_probabilities(folder: Path) -> None:
    work = estimate(folder, *GRPO, "objective.iterations=2")
    asked = ROUNDS * 3 * BATCH * 2  # 5 steps of 2 a batch of answers take 3 of these
    read = EVALUATED * (LENGTH + PROMPT) + asked * PROMPT + asked * (PROMPT + WRITTEN)
    assert counts(work) == (
        read,
        (EVALUATED + asked) * WRITTEN,
        ROUNDS * STEPS * BATCH * 2 * (PROMPT + WRITTEN),
    )


def test_workload_of_grpo_with_a_divergence_reads_the_starting_models_probabilities(folder: Path) -> None:
    plain, held = estimate(folder, *GRPO), estimate(folder, *GRPO, "objective.kl=0.1")
    assert held.read - plain.read == ROUNDS * STEPS * BATCH * 2 * (PROMPT + WRITTEN)
    assert (held.generated, held.trained) == (plain.generated, plain.trained)


def test_workload_of_grpo_with_a_limit_of_its_own_writes_that_much(folder: Path) -> None:
    work = estimate(folder, *GRPO, "objective.max_new_tokens=4")
    answers = ROUNDS * STEPS * BATCH * 2
    assert work.generated == EVALUATED * WRITTEN + answers * 4
    assert work.trained == answers * (PROMPT + 4)


def test_workload_of_several_samples_writes_each(folder: Path) -> None:
    table = SPEC[SPEC.index("[task]") : SPEC.index("[model]")]
    sums = (
        '[task]\nuse = "arithmetic"\ntrain = 8\nvalidation = 4\ntest = 4\nsource = 4\nmax_new_tokens = 6\n\n'
    )
    (folder / "sums.toml").write_text(SPEC.replace(table, sums))
    once = estimate(folder, spec="sums.toml")
    thrice = estimate(folder, "task.samples=3", "task.temperature=1.0", spec="sums.toml")
    assert (once.generated, thrice.generated) == ((ROUNDS + 1) * 16 * 6, (ROUNDS + 1) * 16 * 6 * 3)


@pytest.mark.parametrize(("generator", "side"), [("native", 30 // 9), ("served", SERVED_BATCH)])
def test_workload_of_writing_moves_weights_and_cache_once_a_group_and_token(
    folder: Path, generator: str, side: int
) -> None:
    work = estimate(folder, *GREEDY, generator=generator)
    moved = 0.0
    for rows in (10, 4, 6):  # train, validation, test
        sequences = (ROUNDS + 1) * rows
        groups = -(-sequences // side)
        cache = 2 * LAYERS * KV * ITEM * min(side, sequences) * (PROMPT + WRITTEN / 2)
        moved += groups * WRITTEN * (WEIGHTS * ITEM + cache)
    assert_close(
        work.moved_bytes, moved, atol=0.0, rtol=1e-12, what="bytes moved by writing"
    )  # sums in another order


def test_workload_of_whole_weights_takes_two_operations_more_a_weight_and_token(folder: Path) -> None:
    factors = FreeFactors(rank=1, scale=1.0, A=np.ones((1, HIDDEN)))
    work = estimate(folder, parametrisations=[factors])
    whole = estimate(folder, parametrisations=[factors, DenseDelta()])
    assert whole.operations - work.operations == 2 * WEIGHTS * work.trained


def test_workload_with_checkpointing_takes_two_operations_more_and_less_memory(folder: Path) -> None:
    plain = estimate(folder, "backend.eval_tokens=1")
    saving = estimate(folder, "backend.eval_tokens=1", "backend.checkpointing=true")
    assert saving.operations - plain.operations == 2 * WEIGHTS * plain.trained
    assert saving.activation_bytes < plain.activation_bytes


def backward_bytes(rows: int, longest: int, targets: int, *, mask: bool = False) -> int:
    """By hand: norms, queries to values and attention's output, gated feed-forward; two blocks beside the kept ones; 10 % more."""
    block = (2 * HIDDEN + 4 * HIDDEN + 3 * INNER + mask * longest) * ITEM
    return int(1.1 * rows * longest * (LAYERS + 2) * block) + targets * VOCABULARY * (ITEM + 8)


def test_workload_activations_grow_with_the_micro_batch(folder: Path) -> None:
    held = [
        estimate(folder, "backend.eval_tokens=1", f"backend.micro_batch={n}").activation_bytes
        for n in (1, 2, 3)
    ]
    assert held == [backward_bytes(n, LENGTH, n * TARGETS) for n in (1, 2, 3)]
    whole_batch = estimate(folder, "backend.eval_tokens=1", "backend.micro_batch=0")
    assert whole_batch.activation_bytes == backward_bytes(BATCH, LENGTH, BATCH * TARGETS)


def test_workload_activations_count_the_padding_to_the_longest_text(folder: Path) -> None:
    names, held = ["train"] * 10 + ["validation"] * 5 + ["test"] * 5, list[int]()
    rows = [{"prompt": f"{i:02d}", "completion": str(i % 10), "split": name} for i, name in enumerate(names)]
    for extra in (1, 4, 16):
        rows[0]["prompt"] = "x" * (2 + extra)
        (folder / "uneven.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        texts = (f"task.path={folder / 'uneven.jsonl'}", "task.split=split")
        held.append(estimate(folder, "backend.eval_tokens=1", *texts).activation_bytes)
        assert held[-1] == backward_bytes(BATCH, LENGTH + extra, BATCH * TARGETS, mask=True)
    assert held == sorted(set(held))


def test_workload_activations_of_calibration_are_bounded_by_the_token_budget(folder: Path) -> None:
    def held(budget: int) -> int:
        settings = (
            "basis.use=gradient",
            "basis.batches=1",
            "backend.micro_batch=0",
            "optimizer.batch_size=1",
        )
        return estimate(folder, *settings, f"backend.eval_tokens={budget}").activation_bytes

    assert held(1) == held(LENGTH) < held(2 * LENGTH) < held(4 * LENGTH)
    rows_of_training = 10
    assert held(rows_of_training * LENGTH) == held(10**6)


def test_workload_of_adapters_that_keep_inputs_takes_more_memory(folder: Path) -> None:
    cores, factors = (
        estimate(folder, "backend.eval_tokens=1", f"adapter.use={use}", "adapter.rank=1")
        for use in ("lora-xs", "lora")
    )
    inputs = (2 * HIDDEN + INNER) * ITEM
    more = factors.activation_bytes - cores.activation_bytes
    assert abs(more - 1.1 * BATCH * LENGTH * (LAYERS + 2) * inputs) <= 1  # rounded down twice


def test_workload_of_training_counts_only_blocks_that_a_gradient_passes(folder: Path) -> None:
    alone = ("backend.eval_tokens=1",)
    whole, last = (
        estimate(folder, *alone, *more).activation_bytes for more in ((), (f"sites.layers=[{LAYERS - 1}]",))
    )
    block = (6 * HIDDEN + 3 * INNER) * ITEM
    assert abs(whole - last - 1.1 * BATCH * LENGTH * (LAYERS - 1) * block) <= 1  # rounded down twice


def test_workload_of_generation_counts_the_cache_of_the_longest_prompts(folder: Path) -> None:
    alone = ("backend.micro_batch=1", "backend.eval_tokens=900")
    held = [
        estimate(folder, *GREEDY, *alone, f"task.max_new_tokens={n}").activation_bytes for n in (8, 16, 24)
    ]
    # The training split of 10 prompts is one batch.
    rows = 10
    block = 6 * HIDDEN + 3 * INNER + PROMPT  # a prompt's token, with its row of the mask
    caches = [2 * (LAYERS + 1) * KV * rows * (PROMPT + n) for n in (8, 16, 24)]  # one layer's twice
    expected = [
        int(1.1 * ITEM * (cache + rows * PROMPT * block)) + rows * VOCABULARY * (ITEM + 8) for cache in caches
    ]
    assert held == [max(e, evaluation_bytes(rows)) for e in expected]


def evaluation_bytes(rows: int) -> int:
    """By hand: one block and the logits of a forward pass over all rows."""
    block = (6 * HIDDEN + 3 * INNER) * ITEM
    targets = min(int(900 * TARGETS / LENGTH), rows * LENGTH)
    return int(1.1 * rows * LENGTH * block) + targets * VOCABULARY * (ITEM + 8)


def test_workload_seconds_are_operations_by_peak_and_bytes_by_bandwidth() -> None:
    work = Workload(
        read=0,
        generated=0,
        trained=0,
        calibrated=0,
        operations=0.35 * 989e12,
        moved_bytes=0.6 * 3.35e12,
        activation_bytes=0,
    )
    assert_close(work.seconds_of("h100"), 2.0, atol=1e-12, what="a second of each")  # rounding
    assert all(work.seconds_of(slower) > 2.0 for slower in ACCELERATORS if slower != "h100")


def test_check_prints_tokens_of_a_language_model(folder: Path, boostlora: Command) -> None:
    given = [str(folder / "tiny.toml"), *(word for pair in GRPO for word in ("--set", pair))]
    code, out, err = boostlora("check", *given)
    assert (code, err) == (0, "")
    work = estimate(folder, *GRPO)
    read, written, trained = (_short(n) for n in counts(work))
    assert f"tokens: {read} read, at most {written} generated, {trained} trained on" in out
    assert "activations: at most about" in out
    code, out, err = boostlora("check", *given, "--json")
    assert (code, err) == (0, "")
    content = json.loads(out)
    assert content["plan"]["workload"] == attrs.asdict(work)
    assert content["seconds"] == {gpu: work.seconds_of(gpu) for gpu in ACCELERATORS}


def test_check_prints_no_tokens_of_digits(boostlora: Command) -> None:
    code, out, err = boostlora("check", "paper/digits")
    assert (code, err) == (0, "")
    assert "trained parameters" in out
    assert "tokens:" not in out
    assert "activations:" not in out
    code, out, err = boostlora("check", "paper/digits", "--json")
    assert "workload" not in json.loads(out)["plan"]


def _short(count: int) -> str:
    return f"{count / 1e3:.1f} k" if count >= 1000 else str(count)
