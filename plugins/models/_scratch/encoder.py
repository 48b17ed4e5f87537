"""Pretraining of an encoder by masked language modelling."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

from ....engine.contracts import Tokens
from ....engine.foundation.run_context import Report
from .pretrain import Index, Pretrained, Pretraining, arrays_of, padded, seeded, shuffled_batches

MASKED, AS_MASK, AS_OTHER = 0.15, 0.8, 0.1
"""Share of target tokens; of these, the shares replaced by the mask and by a random token; the rest stay unchanged (Devlin et al.,
2019)."""
MOST_HELD_OUT = 256
BATCH_HELD_OUT = 16
PARTS_UNUSED = ("contact_head.", "pooler.")


@attrs.frozen(kw_only=True)
class Special:
    """Ids of the special tokens."""

    padding: int
    mask: int
    all: tuple[int, ...]

    @classmethod
    def of(cls, folder: Path) -> Special:
        """The special tokens of the folder's tokenizer."""
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return cls(
            padding=tokenizer.pad_token_id, mask=tokenizer.mask_token_id, all=tuple(tokenizer.all_special_ids)
        )


@attrs.frozen(eq=False)
class MaskedBatch:
    """A masked batch: corrupted `ids (n, length)`, `seen` (the attention mask), and `chosen`, the target positions."""

    ids: Tensor
    seen: Tensor
    chosen: Tensor
    answers: Tensor
    """The original tokens at `chosen`, in order."""
    types: Tensor | None


def pretrain_encoder(
    folder: Path, tokens: Tokens, how: Pretraining, *, seed: int, report: Report
) -> Pretrained:
    """Train an encoder with the folder's configuration by masked language modelling; its output head is discarded.

    Loss: `-mean log p(x_i | corrupted)` over the target tokens of a batch. A tenth of the sequences (at most 256) is held out; its loss
    is measured at the end, with the unigram loss for comparison.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(tokens))
    held_out_count = min(MOST_HELD_OUT, len(tokens) // 10)
    held_out, trained = tokens[np.sort(order[:held_out_count])], tokens[np.sort(order[held_out_count:])]
    special = Special.of(folder)
    vocabulary = np.setdiff1d(trained.ids, special.all).astype(np.int64)
    with seeded(seed):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        module = AutoModelForMaskedLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa")

        def loss_of(batch: Index) -> Tensor:
            return _loss(module, masked(trained[batch], vocabulary, special, rng))

        batches = shuffled_batches(trained.lengths, how.batch, rng)
        steps = how.run(module, batches, loss_of, report)
        measured: dict[str, float] = {"steps": steps, "held_out": held_out_count}
        if held_out_count:
            measured["loss"] = _held_out_loss(module, held_out, vocabulary, special, seed)
            measured["unigram"] = unigram_loss(trained.ids, held_out.ids, special.all)
    arrays = arrays_of(module.base_model)
    used = {name: array for name, array in arrays.items() if not name.startswith(PARTS_UNUSED)}
    return Pretrained(arrays=used, measured=measured)


def masked(
    tokens: Tokens, vocabulary: NDArray[np.int64], special: Special, rng: np.random.Generator
) -> MaskedBatch:
    """Choose 15 % of a batch's non-special tokens (at least one); replace 80 % of them by the mask, 10 % by a token from `vocabulary`."""
    ids, seen = padded(tokens, special.padding)
    places = np.flatnonzero(~np.isin(ids.numpy(), special.all))
    count = max(1, round(MASKED * len(places)))
    chosen = rng.choice(places, size=min(count, len(places)), replace=False)
    as_mask, as_other = np.split(chosen, [round(AS_MASK * count), round((AS_MASK + AS_OTHER) * count)])[:2]
    where = torch.zeros(ids.numel(), dtype=torch.bool)
    where[torch.from_numpy(chosen)] = True
    shown = ids.flatten().clone()
    shown[torch.from_numpy(as_mask)] = special.mask
    shown[torch.from_numpy(as_other)] = torch.from_numpy(rng.choice(vocabulary, size=len(as_other)))
    where = where.view_as(ids)
    types = None if tokens.types is None else padded(attrs.evolve(tokens, ids=tokens.types), 0)[0]
    return MaskedBatch(shown.view_as(ids), seen, where, ids[where], types)


def unigram_loss(trained: NDArray[np.int32], held_out: NDArray[np.int32], special: tuple[int, ...]) -> float:
    """Mean loss in nats of the held-out tokens under the unigram frequencies of the training tokens, with add-one smoothing."""
    train, test = (ids[~np.isin(ids, special)] for ids in (trained, held_out))
    known, counts = np.unique(np.concatenate([train, np.unique(test)]), return_counts=True)
    return float(-np.log(counts / counts.sum())[np.searchsorted(known, test)].mean())


def _loss(module: nn.Module, batch: MaskedBatch) -> Tensor:
    types = {} if batch.types is None else {"token_type_ids": batch.types}
    logits = module(input_ids=batch.ids, attention_mask=batch.seen.long(), **types).logits
    return nn.functional.cross_entropy(logits[batch.chosen], batch.answers)


def _held_out_loss(
    module: nn.Module, tokens: Tokens, vocabulary: NDArray[np.int64], special: Special, seed: int
) -> float:
    """Mean loss in nats of masked tokens, with a fixed mask."""
    rng = np.random.default_rng((seed, 1))
    module.eval()
    total, count = 0.0, 0
    for start in range(0, len(tokens), BATCH_HELD_OUT):
        part = tokens[np.arange(start, min(start + BATCH_HELD_OUT, len(tokens)))]
        batch = masked(part, vocabulary, special, rng)
        with torch.no_grad():
            total += float(_loss(module, batch)) * len(batch.answers)
        count += len(batch.answers)
    return total / count
