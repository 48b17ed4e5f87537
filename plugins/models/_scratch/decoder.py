"""Pretraining of a decoder on prompts and completions."""

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
"""Target of ignored positions in PyTorch's cross-entropy."""
MOST_HELD_OUT = 512
CHUNK = 256
"""Sequences per evaluation batch."""


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
    """Train a decoder with the folder's configuration on `tokens`.

    Loss: `-mean log p(y_j | y_<j)` over the completion tokens of a batch, including end tokens, but not prompts. With `stop_at > 0`, a
    tenth of the sequences (at most 512) is held out, and training stops when that share of them is correct: every completion
    token, including the end token, is the argmax.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(tokens))
    held_out_count = min(MOST_HELD_OUT, max(1, len(tokens) // 10)) if stop_at > 0 and len(tokens) > 1 else 0
    held_out, trained = tokens[np.sort(order[:held_out_count])], tokens[np.sort(order[held_out_count:])]
    accuracy = 0.0
    with seeded(seed):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        module = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa")

        def loss_of(batch: Index) -> Tensor:
            ids, targets = _inputs_and_targets(trained[batch], config.pad_token_id)
            logits = module(input_ids=ids, use_cache=False).logits
            return nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten(), ignore_index=IGNORED
            )

        def should_stop(step: int) -> bool:
            nonlocal accuracy
            if not held_out_count or step % check_every:
                return False
            accuracy = sequence_accuracy(module, held_out, config.pad_token_id)
            return accuracy >= stop_at

        batches = shuffled_batches(trained.lengths, how.batch, rng)
        steps = how.run(module, batches, loss_of, report, should_stop)
    measured = {
        "steps": steps,
        **({"held_out": held_out_count, "accuracy": accuracy} if held_out_count else {}),
    }
    return Pretrained(arrays=arrays_of(module), measured=measured)


def sequence_accuracy(module: nn.Module, tokens: Tokens, padding: int) -> float:
    """The share of sequences in which every target token is the argmax, given the correct prefix."""
    right = 0
    training = module.training
    module.eval()
    for start in range(0, len(tokens), CHUNK):
        chunk = tokens[np.arange(start, min(start + CHUNK, len(tokens)))]
        ids, targets = _inputs_and_targets(chunk, padding)
        with torch.no_grad():
            likeliest = module(input_ids=ids, use_cache=False).logits[:, :-1].argmax(dim=-1)
        fine = (likeliest == targets[:, 1:]) | (targets[:, 1:] == IGNORED)
        right += int(fine.all(dim=1).sum())
    module.train(training)
    return right / len(tokens)


def _inputs_and_targets(tokens: Tokens, padding: int) -> tuple[Tensor, Tensor]:
    """Token ids and targets, with all but the completions ignored. A causal model needs no mask for right padding."""
    ids, seen = padded(tokens, padding)
    wanted = seen & (torch.arange(ids.shape[1]) >= torch.from_numpy(tokens.starts)[:, None])
    return ids, ids.where(wanted, IGNORED)
