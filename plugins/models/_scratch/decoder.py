"""A decoder learns to continue prompts with their completions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from ....engine.contracts import Tokens
from ....engine.foundation.run_context import Report
from .pretrain import Index, Pretrained, Pretraining, arrays_of, padded, seeded, shuffled_batches

IGNORED = -100
"""The target of a position at which nothing is to be predicted, as PyTorch's cross-entropy has it."""
MOST_HELD_OUT = 512
CHUNK = 256
"""Sequences judged at once."""


def pretrain_decoder(
    folder: Path,
    tokens: Tokens,
    how: Pretraining,
    *,
    stop_at: float,
    check_every: int,
    seed: int,
    report: Report,
) -> Pretrained:
    """Train a decoder of the folder's configuration on `tokens`, by the cross-entropy of completions and end tokens.

    Loss: `-mean log p(y_j | y_<j)` over the completion tokens of a batch; prompts are seen and not predicted. Where
    `stop_at > 0`, a tenth of the sequences (512 at most) is held out, and training ends at the first check at which that share of
    them is right: every token of the completion, the end included, is the likeliest.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(tokens))
    aside = min(MOST_HELD_OUT, max(1, len(tokens) // 10)) if stop_at > 0 and len(tokens) > 1 else 0
    held_out, learned = tokens[np.sort(order[:aside])], tokens[np.sort(order[aside:])]
    accuracy = 0.0
    with seeded(seed):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        module = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa")

        def loss_of(batch: Index) -> Tensor:
            ids, targets = _with_targets(learned[batch], config.pad_token_id)
            logits = module(input_ids=ids, use_cache=False).logits
            return nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten(), ignore_index=IGNORED
            )

        def good_enough(step: int) -> bool:
            nonlocal accuracy
            if not aside or step % check_every:
                return False
            accuracy = share_right(module, held_out, config.pad_token_id)
            return accuracy >= stop_at

        batches = shuffled_batches(learned.lengths, how.batch, rng)
        steps = how.run(module, batches, loss_of, report, good_enough)
    measured = {"steps": steps, **({"held_out": aside, "accuracy": accuracy} if aside else {})}
    return Pretrained(arrays=arrays_of(module), measured=measured)


def share_right(module: nn.Module, tokens: Tokens, padding: int) -> float:
    """The share of sequences of which every token to be predicted is the likeliest, given the right ones before it."""
    right = 0
    training = module.training
    module.eval()
    for start in range(0, len(tokens), CHUNK):
        chunk = tokens[np.arange(start, min(start + CHUNK, len(tokens)))]
        ids, targets = _with_targets(chunk, padding)
        with torch.no_grad():
            likeliest = module(input_ids=ids, use_cache=False).logits[:, :-1].argmax(dim=-1)
        fine = (likeliest == targets[:, 1:]) | (targets[:, 1:] == IGNORED)
        right += int(fine.all(dim=1).sum())
    module.train(training)
    return right / len(tokens)


def _with_targets(tokens: Tokens, padding: int) -> tuple[Tensor, Tensor]:
    """Token ids, and the same with everything but the completions ignored. Padding comes last: causal, it is never seen."""
    ids, seen = padded(tokens, padding)
    wanted = seen & (torch.arange(ids.shape[1]) >= torch.from_numpy(tokens.starts)[:, None])
    return ids, ids.where(wanted, IGNORED)
