"""Greedy decoding with a key-value cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...engine.contracts import GenerationRequest, Tokens
from .losses import require_finite
from .nets import Padded, speaking


def greedy(
    module: Any, prompts: Tokens, request: GenerationRequest, device: torch.device
) -> list[NDArray[np.int32]]:
    """The likeliest token again and again (the first, on a tie), for all prompts side by side.

    Prompts are the tokens before `starts`, padded to the left, so that all continue in the same column. A sequence ends
    with an end token (left out), when `finished` says so, or after `max_new_tokens`.
    """
    padded = Padded.of(prompts, prompts.starts, device, left=True)
    mask, ids, cache = padded.mask, padded.ids, None
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    written: list[list[int]] = [[] for _ in range(len(prompts))]
    open_rows = set(range(len(prompts)))
    rows = torch.arange(len(prompts), device=device)
    for _ in range(request.max_new_tokens):
        with speaking(module, (rows, torch.full_like(rows, ids.shape[1] - 1))):
            answer = module(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
        chosen = require_finite(answer.logits).argmax(dim=-1)
        cache = answer.past_key_values
        _note(chosen, written, open_rows, request)
        if not open_rows:
            break
        ids, positions = chosen[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
    return [np.array(tokens, dtype=np.int32) for tokens in written]


def _note(chosen: Tensor, written: list[list[int]], open_rows: set[int], request: GenerationRequest) -> None:
    """Append each open sequence's token, and close those that have ended."""
    for row, token in enumerate(chosen.tolist()):
        if row not in open_rows:
            continue
        if token in request.end_tokens:
            open_rows.discard(row)
            continue
        written[row].append(token)
        if request.finished is not None and request.finished(np.array(written[row], dtype=np.int32)):
            open_rows.discard(row)
