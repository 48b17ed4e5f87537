"""Rollouts for tiny decoders, and their loss written out a third time, token by token, as the judge of both backends."""

import attrs
import numpy as np

from boostlora.backends.reference.backend import Reference
from boostlora.backends.torch.backend import Torch
from boostlora.engine.contracts import Batch, Examples, FactoredUpdate, Rollouts, Tokens
from boostlora.plugins.objectives.grpo import Grpo

BACKENDS = {
    "reference": Reference(),
    "torch": Torch(device="cpu", dtype="float64"),
    "torch-in-parts": Torch(device="cpu", dtype="float64", micro_batch=2, eval_tokens=24),
}
VOCABULARY = 61
INDICES = np.array([3, 0, 5, 3, 6])
ADVANTAGES = np.array([1.2, -0.8, 0.5, -1.5, 0.9])
LENGTHS = (4, 1, 7, 3, 5)
LONGEST = 9


def prompts_of(examples, indices=INDICES):
    """The tokens before `starts`."""
    tokens = examples.inputs
    return [tokens.sequence(i)[: tokens.starts[i]].tolist() for i in indices.tolist()]


def answered(examples, seed=0):
    """Random answers of unequal lengths to some of the prompts; the same prompt twice."""
    rng, prompts = np.random.default_rng(seed), prompts_of(examples)
    answers = [rng.integers(1, VOCABULARY, n).tolist() for n in LENGTHS]
    return Tokens.join([[*p, *a] for p, a in zip(prompts, answers, strict=True)], [len(p) for p in prompts])


def asked(model, request, calibration):
    """Ask the policy a question before any step, and train nothing."""
    found = []

    def batches(policy):
        found.append(calibration(policy))
        yield Batch(indices=np.empty(0, dtype=np.int64), weights=np.empty(0))

    model.train(attrs.evolve(request, batches=batches, learning_rates=np.zeros(1)))
    return found[0]


def batch_of(
    tokens, log_p, *, old=False, kl=0.0, clip=(0.2, 0.2), temperature=1.0, normalise="token", seed=1
):
    """Rollouts whose ratios to the old policy are between 0.55 and 1.8, or 1 where `old` is not given."""
    rng = np.random.default_rng(seed)
    rollouts = Rollouts(
        tokens=tokens,
        shares=Grpo(normalise=normalise).shares(tokens, LONGEST),
        temperature=temperature,
        old=log_p - rng.uniform(-0.6, 0.6, len(log_p)) if old else None,
        start=log_p + rng.uniform(-0.5, 0.5, len(log_p)) if kl else None,
        clip=clip,
        beta=kl,
    )
    return Batch(indices=INDICES, weights=ADVANTAGES, rollouts=rollouts)


def log_softmax(z):
    shifted = z - z.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def log_p_of(model, rows, temperature):
    """Log-probabilities of every token to be predicted, from the model's logits."""
    tokens = rows.inputs
    ids = np.concatenate([tokens.completion(i) for i in range(len(tokens))])
    return log_softmax(model.logits(rows) / temperature)[np.arange(len(ids)), ids]


def loss_by_definition(log_p, batch, old=None):
    """`sum_t share_t [beta k_t - min(rho_t A, clip(rho_t) A)]`, a token at a time."""
    r, total, place = batch.rollouts, 0.0, 0
    old = r.old if old is None else old
    for A, count in zip(batch.weights.tolist(), r.tokens.targets.tolist(), strict=True):
        for t in range(place, place + count):
            ratio = float(np.exp(log_p[t] - old[t]))
            inside = min(max(ratio, 1.0 - r.clip[0]), 1.0 + r.clip[1])
            term = -min(ratio * A, inside * A)
            if r.beta:
                q = float(np.exp(r.start[t] - log_p[t]))
                term += r.beta * (q - np.log(q) - 1.0)
            total += float(r.shares[t]) * term
        place += count
    return total


def binding(log_p, batch):
    """How many tokens are clipped for being too likely, and for being too unlikely; and how many are not."""
    r = batch.rollouts
    ratio, A = np.exp(log_p - r.old), np.repeat(batch.weights, r.tokens.targets)
    above = (A > 0) & (ratio > 1.0 + r.clip[1])
    below = (A < 0) & (ratio < 1.0 - r.clip[0])
    return int(above.sum()), int(below.sum()), int((~above & ~below).sum())


def updates_at(request, values):
    """What the numbers make of every site, written out here a second time."""
    return {
        site: FactoredUpdate(
            frame=request.frames[site],
            core=np.tensordot(values[p.group], p.projections, 1),
            exponents=p.exponents,
        )
        for site, p in request.parametrisations.items()
    }


def starts_of(request):
    """The numbers that training begins with."""
    return {p.group: p.init for p in request.parametrisations.values()}


def rows_of(examples, tokens, indices=INDICES):
    """Examples as a policy continued them."""
    rows: Examples = examples.take(indices)
    return attrs.evolve(rows, inputs=tokens)
