"""An encoder, one vector for a text, and a linear head: the module behind `hf-classifier`."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ....engine.errors import UsageError
from ....engine.foundation.options import shortened

Pooling = Literal["mean", "cls", "last", "max"]


def pooled(hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """Hidden states `(n, length, d)` to `(n, d)`, over the tokens that `mask (n, length)` has as 1.

    `mean` and `max` take every token, special ones too; `cls` takes the first and `last` the last, on whichever side the
    padding is. Half precision sums up in float32.
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

    def __init__(self, model: nn.Module, width: int, classes: int, pooling: Pooling) -> None:
        super().__init__()
        self.model = model
        self.head = nn.Linear(width, classes)
        self.pooling: Pooling = pooling

    def features(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """One vector for every text, `(n, d)`. Raises `UsageError` for a model that has none."""
        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            given["token_type_ids"] = token_type_ids
        hidden = self._hidden(given)
        return pooled(hidden, attention_mask, self.pooling)

    def _hidden(self, given: dict[str, Tensor]) -> Tensor:
        name, width = type(self.model).__name__, self.head.in_features
        try:
            hidden = self.model(**given).last_hidden_state
        except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
            reason = shortened(" ".join(str(error).split()), 200)
            raise UsageError(f"{name} cannot be computed from texts alone: {reason}") from error
        if hidden.shape[-1] != width:
            raise UsageError(
                f"{name} gives {hidden.shape[-1]} numbers for a token where its configuration tells of {width}"
            )
        return hidden

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Logits, `(n, classes)`."""
        return self.head(self.features(input_ids, attention_mask, token_type_ids))
