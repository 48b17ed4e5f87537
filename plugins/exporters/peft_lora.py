"""All rounds as one PEFT LoRA adapter, or one adapter per round."""

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
from ._peft.factors import stacked, truncated
from ._peft.places import base_location
from ._peft.targets import CONFIG, DEFAULT, HEAD_FILE, PREFIX, Target, is_classifier, pattern, targets_of
from ._peft.usage import loading_code

VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Allowed values of vLLM's `max_lora_rank` (`vllm.config.lora.MaxLoRARanks`, as of 0.14; 1 is also allowed)."""
HALF = ("float16", "bfloat16")

Factors = tuple[NDArray[np.float64], NDArray[np.float64]]


@attrs.frozen(kw_only=True)
class PeftLora:
    """A LoRA adapter in PEFT's format: `B A = sum_t s_t dW_t` with `B (d_out, k)` and `A (k, d_in)`, and scaling 1.

    Stacked factors have `k` equal to the sum of the rounds' ranks. transformers, PEFT and LoRA servers load them on the base without
    merging. `compact` reduces `k` to the rank of the sum. `per_round` writes a folder for every round, `round-0001/` and so on, each an
    adapter that can be switched on and off. Powers of two are moved between the factors to balance their magnitudes, since
    float16 would lose small entries. A classifier's encoder is adapted; its head is a separate file.
    """

    NAME: ClassVar[str] = "peft-lora"

    dtype: Literal["float32", "float16", "bfloat16", "base"] = option(
        "float32", "dtype of the factors; base: the dtype of each weight in the base"
    )
    per_round: bool = option(False, "one adapter per round, each in its own folder")
    compact: bool = option(
        False,
        "reduce the factors to the rank of the sum of all rounds; the update changes only by float64 rounding",
    )

    def __attrs_post_init__(self) -> None:
        """Reject `compact` with `per_round`."""
        if self.per_round and self.compact:
            raise ValueError(
                '"compact" combines all rounds in one adapter and "per_round" separates them: choose one of them'
            )

    def check(self, ensemble: Exportable) -> None:
        """Raise `UsageError` if PEFT cannot represent the ensemble."""
        check(self.NAME, ensemble)
        if self.per_round and adapts_head(ensemble):
            raise UsageError(
                f"exporter {self.NAME}: the head was also trained, and its merged weight includes all rounds: set per_round to false"
            )

    def precision(self, ensemble: Exportable) -> str:
        """The coarsest dtype of a factor."""
        found = {self._dtype(ensemble, target) for target in targets_of(ensemble)}
        return next((dtype for dtype in ("bfloat16", "float16") if dtype in found), "float32")

    def write(self, ensemble: Exportable, folder: Path) -> None:
        """Write the adapters, and a classifier's head."""
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
        """The folders and the rounds in each."""
        if not self.per_round:
            return [(folder, ensemble)]
        return [(folder / _named(r.number), attrs.evolve(ensemble, rounds=(r,))) for r in ensemble.rounds]

    def _factors(self, updates: SiteUpdates) -> Factors:
        B, A = stacked(updates)
        return truncated(B, A) if self.compact else (B, A)

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
        # alpha = rank gives scaling 1. vLLM computes it from these two values only, which is also correct for other ranks.
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
        """The base with unmerged PEFT layers."""
        from ._peft.loader import PeftBuilder  # noqa: PLC0415

        source = ensemble.source
        if source.build is None:
            raise UsageError(f"exporter {self.NAME}: the base cannot be built")
        names = self._rounds(ensemble)
        head = folder / HEAD_FILE if is_classifier(source.blueprint) else None
        adapters = tuple((name, folder / name) for name in names) or ((DEFAULT, folder),)
        return attrs.evolve(source, build=PeftBuilder(build=source.build, adapters=adapters, head=head))

    def usage(self, ensemble: Exportable, place: str) -> str:
        """Python code for PEFT, and vLLM's command line."""
        return loading_code(ensemble, place, self._rounds(ensemble), self._serving(ensemble, place))

    def _rounds(self, ensemble: Exportable) -> list[str]:
        return [_named(r.number) for r in ensemble.rounds] if self.per_round else []

    def _serving(self, ensemble: Exportable, place: str) -> str:
        """VLLM's command line; empty for classifiers and for one adapter per round, which vLLM cannot combine."""
        if is_classifier(ensemble.source.blueprint) or self.per_round:
            return ""
        rank = max(_ranks(ensemble).values())
        allowed = next((str(r) for r in VLLM_RANKS if r >= rank), "")
        if self.compact:
            allowed = (
                f"R, with R the next of {', '.join(map(str, VLLM_RANKS))} from the r in {place}/{CONFIG}"
            )
        elif not allowed:
            return f"The rank is {rank}, but vLLM supports at most {VLLM_RANKS[-1]}: try --set compact=true, or the merged model (--to hf)."
        return f"vllm serve {base_location(ensemble).name} --enable-lora --lora-modules {ensemble.name}={place} --max-lora-rank {allowed}"


def _ranks(ensemble: Exportable) -> dict[str, int]:
    """The rank of the stacked factors by site: the sum of its rounds' ranks."""
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
    """Register `peft-lora`."""
    register("peft-lora", PeftLora)
