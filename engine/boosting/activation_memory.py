"""Peak memory of a transformer's passes, from its dimensions: what autograd keeps, what a block needs while it is computed, and caches.

With hidden width h, attention width q (heads times head width) and feed-forward width m, a block of frozen linear layers keeps per token
the inputs of its two norms (2 h), queries, keys, values and attention's output (4 q), and the feed-forward activations (m, or 3 m where
they are gated). Padding counts as tokens. Groups of unequal lengths also keep an attention mask of T values per token, padded to T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from ..contracts import Blueprint

WORKING_BLOCKS = 2
"""Blocks' worth of tensors that a backward pass holds besides those that it keeps: gradients and temporaries of the current block."""
ALLOCATED = 1.1
"""Memory that the allocator holds, relative to the tensors in it."""

KeptInputs = Literal["none", "shared", "each"]
"""The linear layers' inputs that a backward pass needs: none (cores), once for layers that share them (LoRA, dense updates), or a
copy for each layer (calibration)."""


@attrs.frozen(kw_only=True)
class Group:
    """The examples of one pass, padded to equal length."""

    tokens: int
    """Number of tokens, including padding."""
    longest: int
    """Tokens of each row, including padding."""
    targets: int
    """Rows of logits over the vocabulary."""
    uneven: bool
    """Whether lengths differ, so that attention needs a mask."""


@attrs.frozen(kw_only=True)
class Dimensions:
    """Dimensions of a transformer, from its Hugging Face configuration."""

    weights: int
    layers: int
    hidden: int
    attention: int
    """Width of all heads together."""
    kv: int
    """Width of keys, and of values, in the cache."""
    inner: int
    gated: bool
    """Whether the feed-forward layer has a gate."""
    vocabulary: int
    itemsize: int
    first_adapted: int = 0
    """The first block with a site, from 0: no gradient passes through the blocks before it, so they keep nothing."""

    @classmethod
    def of(cls, blueprint: Blueprint, itemsize: int, first_adapted: int = 0) -> Dimensions:
        """Read the configuration; a gate shows in the weights' names."""
        config: Mapping[str, Any] = blueprint.config["hf"]
        hidden = int(config.get("hidden_size") or 0)
        heads = int(config.get("num_attention_heads") or 1)
        head = int(config.get("head_dim") or hidden // heads)
        return cls(
            weights=sum(w.size for w in blueprint.weights),
            layers=int(config.get("num_hidden_layers") or 0),
            hidden=hidden,
            attention=head * heads,
            kv=head * int(config.get("num_key_value_heads") or heads),
            inner=int(config.get("intermediate_size") or 4 * hidden),
            gated=any("gate" in w.name for w in blueprint.weights),
            vocabulary=int(config.get("vocab_size") or 0) if "causal" in blueprint.architecture else 0,
            itemsize=itemsize,
            first_adapted=first_adapted,
        )

    def kv_cache(self, tokens: float) -> float:
        """Bytes of the KV cache: keys and values of every layer."""
        return 2.0 * self.layers * self.kv * self.itemsize * tokens

    def backward(self, group: Group, inputs: KeptInputs, *, checkpointing: bool) -> int:
        """Bytes of a forward and backward pass, logits included.

        With checkpointing, every block keeps its input only, and one block keeps all.
        """
        block, layers = self._block(group, inputs), self.layers - self.first_adapted
        kept = layers * self.hidden * self.itemsize + block if checkpointing else layers * block
        return int(ALLOCATED * group.tokens * (kept + WORKING_BLOCKS * block)) + self.logits(group.targets)

    def forward(self, group: Group) -> int:
        """Bytes of a forward pass without gradients: one block and the logits."""
        return int(ALLOCATED * group.tokens * self._block(group, "none")) + self.logits(group.targets)

    def generation(self, prompts: Group, length: int) -> int:
        """Bytes of decoding `length` tokens after prompts: the whole cache, one block of the prompts' forward pass, and a step's logits.

        A step writes each layer's cache anew, one token longer, so that one layer is there twice.
        """
        rows = prompts.tokens // prompts.longest
        cache = self.kv_cache(prompts.tokens + rows * length) * (1 + 1 / max(1, self.layers))
        return int(ALLOCATED * (cache + prompts.tokens * self._block(prompts, "none"))) + self.logits(rows)

    def logits(self, targets: int) -> int:
        """Bytes of logits `(targets, vocabulary)`: once in the model's precision, and twice in float32 (log-softmax and its gradient)."""
        return targets * self.vocabulary * (self.itemsize + 8)

    def _block(self, group: Group, inputs: KeptInputs) -> int:
        """Bytes per token that one block keeps for its backward pass."""
        values = 2 * self.hidden + 4 * self.attention + (3 if self.gated else 1) * self.inner
        if inputs == "shared":
            values += 2 * self.hidden + self.inner
        elif inputs == "each":
            values += (4 + self.gated) * self.hidden + self.attention + self.inner
        return self.itemsize * (values + (group.longest if group.uneven else 0))
