"""Encoder, pooling and linear head: the module of `hf-classifier`."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....engine.errors import UsageError
from ....engine.foundation.options import shortened

Pooling = Literal["mean", "cls", "last", "max"]


def pooled(hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """Pool hidden states `(n, length, d)` to `(n, d)` over the tokens where `mask (n, length)` is 1.

    `mean` and `max` include special tokens; `cls` is the first and `last` the last token, on whichever side the padding is.
    Half-precision means are computed in float32.
    """
    seen = mask.bool()
    if pooling == "mean":
        exact = hidden if hidden.dtype in {torch.float32, torch.float64} else hidden.float()
        total = (exact * seen.unsqueeze(-1)).sum(dim=1)
        return (total / seen.sum(dim=1, keepdim=True)).to(hidden.dtype)
    if pooling == "max":
        return hidden.masked_fill(~seen.unsqueeze(-1), -torch.inf).amax(dim=1)
    places = torch.arange(mask.shape[1], device=mask.device)
    if pooling == "cls":
        chosen = torch.where(seen, places, mask.shape[1]).amin(dim=1)
    else:
        chosen = torch.where(seen, places, -1).amax(dim=1)
    return hidden[torch.arange(len(hidden), device=hidden.device), chosen]


class Classifier(nn.Module):
    """`logits (n, classes) = head(pool(model(ids)))`."""

    padding = 0
    """The token that pads a batch; its positions are masked."""
    biased = True
    """Whether the head has a bias."""

    def __init__(self, model: nn.Module, width: int, classes: int, pooling: Pooling) -> None:
        super().__init__()
        self.model = model
        self.head = nn.Linear(width, classes)
        self.pooling: Pooling = pooling

    def features(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Pooled features `(n, d)`. Raises `UsageError` for a model without suitable hidden states."""
        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            given["token_type_ids"] = token_type_ids
        hidden = self._hidden(given)
        return pooled(hidden, attention_mask, self.pooling)

    def head_of(
        self, weight: NDArray[np.float64], bias: NDArray[np.float64]
    ) -> dict[str, NDArray[np.float32]]:
        """The head's parameters by name."""
        return {"head.weight": weight.astype(np.float32), "head.bias": bias.astype(np.float32)}

    def _hidden(self, given: dict[str, Tensor]) -> Tensor:
        name, width = type(self.model).__name__, self.head.in_features
        try:
            hidden = self.model(**given).last_hidden_state
        except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
            reason = shortened(" ".join(str(error).split()), 200)
            raise UsageError(f"{name} cannot be called with token ids alone: {reason}") from error
        if hidden.shape[-1] != width:
            raise UsageError(
                f"{name} has hidden states of width {hidden.shape[-1]}, but its configuration says {width}"
            )
        return hidden

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Logits `(n, classes)`."""
        return self.head(self.features(input_ids, attention_mask, token_type_ids))
