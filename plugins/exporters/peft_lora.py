"""All rounds as one LoRA adapter of PEFT's, or one adapter a round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Exportable, FactoredUpdate, ModelSource, SiteUpdates
from ...engine.errors import UsageError
from ...engine.foundation.options import option
from ...engine.hookspecs import hookimpl
from ._peft.checks import adapts_head, check
from ._peft.factors import compacted, stacked
from ._peft.names import CONFIG, DEFAULT, HEAD_FILE, PREFIX
from ._peft.places import base_of
from ._peft.targets import Target, is_classifier, pattern, targets_of
from ._peft.usage import loading

VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes for `max_lora_rank` (`vllm.config.lora.MaxLoRARanks`, as of 0.14; 1 is allowed too)."""
HALF = ("float16", "bfloat16")

Factors = tuple[NDArray[np.float64], NDArray[np.float64]]


@attrs.frozen(kw_only=True)
class PeftLora:
    """A LoRA adapter in PEFT's files: `B A = sum_t s_t dW_t` with `B (d_out, k)` and `A (k, d_in)`, and scaling 1.

    Stacked, `k` is the sum of the rounds' ranks. transformers and PEFT load it on the base without merging, and so do servers that take
    LoRA. `compact` needs no more columns than the sum has rank. `per_round` writes a folder for every round, `round-0001/` and so
    on, each an adapter that can be switched on and off. Powers of two are moved between the two factors so that their entries
    are of one size; float16 would else lose the smaller ones. A classifier's encoder is adapted; its head lies beside.
    """

    NAME: ClassVar[str] = "peft-lora"

    dtype: Literal["float32", "float16", "bfloat16", "base"] = option(
        "float32", "of the factors; base: as the base has each weight stored"
    )
    per_round: bool = option(False, "one adapter a round, each in a folder of its own")
    compact: bool = option(
        False,
        "as few columns as the sum of all rounds has rank: the same update up to the rounding of float64",
    )

    def __attrs_post_init__(self) -> None:
        """Compact is of all rounds together."""
        if self.per_round and self.compact:
            raise ValueError(
                '"compact" puts all rounds into one adapter and "per_round" keeps them apart: choose one of them'
            )

    def check(self, ensemble: Exportable) -> None:
        """Raise `UsageError` where PEFT cannot hold the ensemble."""
        check(self.NAME, ensemble)
        if self.per_round and adapts_head(ensemble):
            raise UsageError(
                f"exporter {self.NAME}: the head was trained, too, and its merged weight belongs to all rounds together: leave per_round off"
            )

    def precision(self, ensemble: Exportable) -> str:
        """The coarsest dtype of a factor."""
        found = {self._dtype(ensemble, target) for target in targets_of(ensemble)}
        return next((dtype for dtype in ("bfloat16", "float16") if dtype in found), "float32")

    def write(self, ensemble: Exportable, folder: Path) -> None:
        """The adapter or the adapters, and a classifier's head."""
        from ._peft.files import write_head  # noqa: PLC0415 - torch takes seconds

        targets = targets_of(ensemble)
        for place, chosen in self._parts(ensemble, folder):
            factors = dict[str, Factors]()
            for done, target in enumerate(targets):
                if updates := chosen.updates(target.site):
                    factors[target.site] = self._factors(updates)
                ensemble.report(
                    f"{self.NAME}: {place.name}" if self.per_round else self.NAME, done + 1, len(targets)
                )
            self._write(ensemble, place, [t for t in targets if t.site in factors], factors)
        write_head(ensemble, folder)

    def _parts(self, ensemble: Exportable, folder: Path) -> Sequence[tuple[Path, Exportable]]:
        """Folders, with the rounds that go into each."""
        if not self.per_round:
            return [(folder, ensemble)]
        return [(folder / _named(r.number), attrs.evolve(ensemble, rounds=(r,))) for r in ensemble.rounds]

    def _factors(self, updates: SiteUpdates) -> Factors:
        B, A = stacked(updates)
        return compacted(B, A) if self.compact else (B, A)

    def _dtype(self, ensemble: Exportable, target: Target) -> str:
        if self.dtype != "base":
            return self.dtype
        stored = next(w.dtype for w in ensemble.source.blueprint.weights if w.name == target.site)
        return stored if stored in HALF else "float32"

    def _write(
        self, ensemble: Exportable, folder: Path, targets: Sequence[Target], factors: Mapping[str, Factors]
    ) -> None:
        from peft import LoraConfig  # noqa: PLC0415 - seconds

        from ._peft.files import common_fields, write_adapter  # noqa: PLC0415

        ranks = {target.module: len(factors[target.site][1]) for target in targets}
        rank = max(ranks.values())
        others = pattern(ranks, rank)
        # With alpha = rank the scaling is 1; vLLM reads it off these two alone, and is right for the other ranks, too.
        config = LoraConfig(
            r=rank,
            lora_alpha=rank,
            rank_pattern=others,
            alpha_pattern=dict(others),
            bias="none",
            **common_fields(ensemble, targets),
        )
        tensors, dtypes = dict[str, NDArray[Any]](), dict[str, str]()
        for target in targets:
            B, A = factors[target.site]
            path = f"{PREFIX}{target.module}"
            both = {f"{path}.lora_A.weight": A, f"{path}.lora_B.weight": B}
            tensors |= both
            dtypes |= dict.fromkeys(both, self._dtype(ensemble, target))
        write_adapter(folder, config, tensors, dtypes)

    def reload(self, ensemble: Exportable, folder: Path) -> ModelSource:
        """The base, built as ever, with PEFT's layers in it; the adapters are not merged."""
        from ._peft.loader import Adapted  # noqa: PLC0415

        source = ensemble.source
        if source.build is None:
            raise UsageError(f"exporter {self.NAME}: the base cannot be built")
        names = self._rounds(ensemble)
        head = folder / HEAD_FILE if is_classifier(source.blueprint) else None
        adapters = tuple((name, folder / name) for name in names) or ((DEFAULT, folder),)
        return attrs.evolve(source, build=Adapted(build=source.build, adapters=adapters, head=head))

    def usage(self, ensemble: Exportable, place: str) -> str:
        """Lines for PEFT, and what vLLM has to be told."""
        return loading(ensemble, place, self._rounds(ensemble), self._serving(ensemble, place))

    def _rounds(self, ensemble: Exportable) -> list[str]:
        return [_named(r.number) for r in ensemble.rounds] if self.per_round else []

    def _serving(self, ensemble: Exportable, place: str) -> str:
        """For a server that takes LoRA; vLLM serves language models, one adapter a request."""
        if is_classifier(ensemble.source.blueprint) or self.per_round:
            return ""
        rank = max(_ranks(ensemble).values())
        allowed = next((str(r) for r in VLLM_RANKS if r >= rank), "")
        if self.compact:
            allowed = (
                f"R, with R the next of {', '.join(map(str, VLLM_RANKS))} from the r in {place}/{CONFIG}"
            )
        elif not allowed:
            return f"The rank is {rank}, and vLLM takes {VLLM_RANKS[-1]} at most: try --set compact=true, or the merged model (--to hf)."
        return f"vllm serve {base_of(ensemble).name} --enable-lora --lora-modules {ensemble.name}={place} --max-lora-rank {allowed}"


def _ranks(ensemble: Exportable) -> dict[str, int]:
    """By site: the sum of its rounds' ranks, which is that of the stacked factors."""
    return {
        target.site: sum(
            update.frame.rank
            for update, _ in ensemble.updates(target.site)
            if isinstance(update, FactoredUpdate)
        )
        for target in targets_of(ensemble)
    }


def _named(number: int) -> str:
    return f"round-{number:04d}"


@hookimpl
def register_exporters(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `peft-lora`."""
    register("peft-lora", PeftLora)
