"""Differential: our rollouts' loss and gradient are those of TRL's `GRPOTrainer`, and so are objective `grpo`'s advantages.

The trainer is a real one, made on the same tiny Qwen2 in float64; what it is given are the same sequences, advantages and
log-probabilities, padded as it pads them. `Float64Mode` keeps Hugging Face's norms from stepping down to float32, as in our backend; TRL's own
fused head computes log-probabilities in float32 all the same, which bounds every comparison.
"""

import attrs
import numpy as np
import pytest

from boostlora.backends.reference.backend import Reference
from boostlora.backends.torch.backend import Torch
from boostlora.backends.torch.devices import Float64Mode
from boostlora.engine.contracts import Answers, Tokens
from boostlora.engine.testing import assert_close
from boostlora.plugins.objectives.grpo import Grpo

from ..support.hf_modules import make, texts, torch
from .policy_cases import INDICES, LONGEST, answered, batch_of, log_p_of, rows_of
from .training_transformers import opened

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing.*deprecated:FutureWarning"  # TRL's defaults use what transformers has renamed
)
trl = pytest.importorskip("trl", reason="compares with TRL")
datasets = pytest.importorskip("datasets", reason="TRL's trainer takes a data set")

LOSS_TYPES = {"sequence": "grpo", "token": "bnpo", "length": "dr_grpo"}
SITES = ("model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight")
FLOAT32 = 16 * 2.0**-24
"""Sixteen roundings of float32: log-probabilities of size 5, through `exp` into ratios of size 1. Measured: at most 5 of them."""
BACKENDS = {"torch": Torch(device="cpu", dtype="float64"), "reference": Reference()}


@pytest.fixture
def trainer_for(tmp_path):
    """`trainer_for(reward, **options)`: TRL's trainer on the tiny model, with only two weights to be trained."""

    def made(reward=None, **options):
        from transformers import PreTrainedTokenizerFast

        source = make("qwen2", tmp_path)
        module = source.build(source.blueprint, torch.float64)
        module.save_pretrained(tmp_path / "start")
        module.config._name_or_path = str(tmp_path / "start")  # where the trainer finds its reference model
        for name, parameter in module.named_parameters():
            parameter.requires_grad = name in SITES
        trl_config = trl.GRPOConfig(
            output_dir=str(tmp_path / "trl"),
            use_cpu=True,
            bf16=False,
            report_to=[],
            max_completion_length=LONGEST,
            use_bias_correction_kl=False,  # the divergence of GRPO's paper; TRL's default weighs it with the ratio
            disable_tqdm=True,
            **{"per_device_train_batch_size": 4, "num_generations": 4, **options},
        )
        return trl.GRPOTrainer(
            model=module,
            reward_funcs=reward or (lambda completions, **_: [0.0] * len(completions)),
            args=trl_config,
            train_dataset=datasets.Dataset.from_list([{"prompt": "a"}] * 16),
            processing_class=_tokenizer(PreTrainedTokenizerFast),
        )

    return made


def _tokenizer(kind):
    """Letters are tokens, within the model's vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"_": 0, **{chr(ord("a") + i): 1 + i for i in range(26)}}
    raw = Tokenizer(models.WordLevel(words, unk_token="_"))  # noqa: S106 - a word, no password
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return kind(tokenizer_object=raw, eos_token="_", pad_token="_", unk_token="_")  # noqa: S106 - as above


def padded(rows, *, left):
    """Rows side by side with zeros, and the mask of what is real."""
    width = max(map(len, rows))
    gaps = [[0] * (width - len(row)) for row in rows]
    full = [[*gap, *row] if left else [*row, *gap] for row, gap in zip(rows, gaps, strict=True)]
    real = [
        [*gap, *[1] * len(row)] if left else [*[1] * len(row), *gap]
        for row, gap in zip(rows, gaps, strict=True)
    ]
    return torch.tensor(full), torch.tensor(real)


def as_trl(batch):
    """A batch of rollouts as the trainer's `_compute_loss` takes it."""
    r, tokens = batch.rollouts, batch.rollouts.tokens
    sequences, starts = [s.tolist() for s in tokens], tokens.starts.tolist()
    prompt_ids, prompt_mask = padded([s[:n] for s, n in zip(sequences, starts, strict=True)], left=True)
    ids, mask = padded([s[n:] for s, n in zip(sequences, starts, strict=True)], left=False)
    given = {"old_per_token_logps": r.old, "ref_per_token_logps": r.start}
    cuts = np.cumsum(tokens.targets)[:-1]
    rows = {
        name: padded([block.tolist() for block in np.split(values, cuts)], left=False)[0].double()
        for name, values in given.items()
        if values is not None
    }
    return {
        "prompt_ids": prompt_ids,
        "prompt_mask": prompt_mask,
        "completion_ids": ids,
        "completion_mask": mask,
        "advantages": torch.tensor(batch.weights),
        **rows,
    }


def theirs(trainer, inputs):
    """TRL's loss, and its gradient of the two weights."""
    trainer.model.eval()  # no dropout to be switched off here; without gradient accumulation, the loss is the same
    with Float64Mode():
        loss = trainer._compute_loss(trainer.model, inputs)
        loss.backward()
    parameters = dict(trainer.model.named_parameters())
    found = {site: parameters[site].grad.numpy().copy() for site in SITES}
    trainer.model.zero_grad()
    return loss.item(), found


def ours(model, examples, batch):
    """Our loss, as training tells it, and our gradient of the two weights."""
    from boostlora.engine.contracts import DenseDelta, TrainingRequest
    from boostlora.engine.testing.requests import GradientDescent

    steps = []
    request = TrainingRequest(
        parametrisations=dict.fromkeys(SITES, DenseDelta()),
        frames={},
        examples=examples,
        batches=[batch],
        learning_rates=np.zeros(1),
        optimizer=GradientDescent(),
        trace=steps.append,
    )
    model.train(request)
    return steps[0].loss, {site: model.gradient(site, examples, batch) for site in SITES}


@pytest.mark.parametrize("normalise", LOSS_TYPES)
@pytest.mark.parametrize("kl", [0.0, 0.2])
@pytest.mark.parametrize(
    "how",
    [
        {"old": False, "clip": (0.2, 0.2), "temperature": 1.0},
        {"old": True, "clip": (0.2, 0.28), "temperature": 1.0},
        {"old": True, "clip": (0.2, 0.28), "temperature": 0.7},
    ],
    ids=["on-policy", "off-policy", "off-policy-cold"],
)
def test_rollout_loss_and_gradient_equal_those_of_trl(trainer_for, normalise, kl, how, tmp_path):
    trainer = trainer_for(
        loss_type=LOSS_TYPES[normalise],
        beta=kl,
        epsilon=how["clip"][0],
        epsilon_high=how["clip"][1],
        temperature=how["temperature"],
    )
    examples = texts("qwen2")
    tokens = answered(examples)
    for backend in BACKENDS.values():
        model, _ = opened("qwen2", tmp_path, backend)
        log_p = log_p_of(model, rows_of(examples, tokens), how["temperature"])
        batch = batch_of(tokens, log_p, kl=kl, normalise=normalise, **how)
        loss, gradient = ours(model, examples, batch)
        expected, slopes = theirs(trainer, as_trl(batch))
        assert_close(loss, expected, atol=FLOAT32, what="loss")
        for site in SITES:
            largest = np.abs(slopes[site]).max()
            assert largest > 1e-3, "gradients of nothing say nothing"
            assert_close(gradient[site], slopes[site], atol=FLOAT32 * largest, what=site)


REWARDS = np.array([[1, 0, 0, 1], [0, 0, 0, 0], [0.25, 0.5, 1, 0], [1, 1, 1, 1]], dtype=np.float64)
"""Two groups that say something, and two that are silent."""


def scored(trainer):
    """What TRL makes of sixteen answers of its own, rewarded as the trainer's reward function says."""
    trainer.model.train()
    return trainer._generate_and_score_completions([{"prompt": "abc"}] * 16)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_advantages_equal_those_of_trl(trainer_for, scale):
    trainer = trainer_for(
        lambda completions, **_: REWARDS.ravel().tolist()[: len(completions)],
        scale_rewards=scale,
        per_device_train_batch_size=16,
    )
    found = scored(trainer)["advantages"].numpy().reshape(4, 4)
    # TRL keeps rewards in float32.
    assert_close(Grpo(scale_rewards=scale).advantages(REWARDS), found, atol=1e-6, what=f"by {scale}")


@pytest.mark.parametrize("normalise", LOSS_TYPES)
def test_zero_variance_groups_are_omitted_where_trl_counts_zeros(trainer_for, normalise, tmp_path):
    """The one difference: TRL's mean is over silent answers too, ours is not, so ours is larger by `all / heard`."""
    trainer, examples = trainer_for(loss_type=LOSS_TYPES[normalise]), texts("qwen2")
    model, _ = opened("qwen2", tmp_path, BACKENDS["torch"])
    rng, prompts = np.random.default_rng(3), [[5, 9], [7], [4, 8, 6], [11]]
    rows = [[*p, *rng.integers(1, 60, 1 + k + i).tolist()] for i, p in enumerate(prompts) for k in range(4)]
    answers = Answers(
        indices=np.arange(4),
        tokens=Tokens.join(rows, [len(p) for p in prompts for _ in range(4)]),
        rewards=REWARDS,
        ended=np.ones((4, 4), dtype=np.bool_),
        longest=LONGEST,
    )
    objective = Grpo(normalise=normalise, group_size=4)
    batch = objective.batch(answers)
    assert len(batch) == 8
    loss, gradient = ours(model, examples, batch)
    everything = attrs.evolve(
        batch,
        indices=np.repeat(answers.indices, 4),
        weights=objective.advantages(REWARDS).ravel(),
        rollouts=attrs.evolve(batch.rollouts, tokens=answers.tokens),
    )
    expected, slopes = theirs(trainer, as_trl(everything))
    sizes = answers.tokens.targets
    heard = np.repeat([True, False, True, False], 4)
    larger = {"token": sizes.sum() / sizes[heard].sum()}.get(normalise, 2.0)
    assert_close(loss, larger * expected, atol=2 * FLOAT32, what="loss")
    for site in SITES:
        largest = np.abs(slopes[site]).max()
        assert_close(gradient[site], larger * slopes[site], atol=2 * FLOAT32 * largest, what=site)
    assert set(INDICES.tolist()) - set(batch.indices.tolist()), "the silent prompts were left out"
