"""One round as a PEFT TinyLoRA adapter that can be trained further."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Exportable, FactoredUpdate, LinearCore, ModelSource, Update
from ...engine.errors import UsageError
from ...engine.hookspecs import hookimpl
from ._peft.checks import check
from ._peft.targets import DEFAULT, HEAD_FILE, PREFIX, Target, is_classifier, targets_of
from ._peft.usage import loading_code

MOST_BYTES = 2**30
"""Maximum total size of the fixed projections."""


@attrs.frozen(kw_only=True)
class PeftTinyLora:
    """One round in PEFT's TinyLoRA format: `dW = B (sum_i v_i P_i) A` with `v (u,)` trainable and the rest fixed.

    On loading, PEFT computes `A`, `B` and `P` from the singular vectors and a seed, then overwrites them with the file's, so any
    directions and projections are possible. Here `B = U diag(S^a)`, `A = diag(S^b) V^T`, `P` are the drawn projections (LoRA-XS: the
    unit matrices), and `v` includes the round's scale. The rank and `u` must be the same at all sites. Tied sites stay tied if
    they are neighbours, as PEFT requires; else each has a copy.
    """

    NAME: ClassVar[str] = "peft-tinylora"

    def check(self, ensemble: Exportable) -> None:
        """Raise `UsageError` unless there is exactly one round, of linear cores of one size."""
        targets = check(self.NAME, ensemble)
        import peft  # noqa: PLC0415 - seconds

        if not hasattr(peft, "TinyLoraConfig"):
            raise UsageError(
                f"exporter {self.NAME}: peft {peft.__version__} has no TinyLoRA; pip install 'peft>=0.19'"
            )
        if len(ensemble.rounds) != 1:
            numbers, last = ", ".join(str(r.number) for r in ensemble.rounds), ensemble.rounds[-1].number
            raise UsageError(
                f"exporter {self.NAME} exports one round, and these are {numbers}: choose one, such as --rounds "
                f"{last}..{last} (that round alone on the base); --to peft-lora exports all of them"
            )
        self._check_cores(ensemble, targets)

    def _check_cores(self, ensemble: Exportable, targets: tuple[Target, ...]) -> None:
        found = ensemble.rounds[0].parametrisations
        sizes = dict[tuple[int, int], str]()
        for target in targets:
            if target.site not in found:
                raise UsageError(
                    f"exporter {self.NAME}: round {ensemble.rounds[0].number} comes from another run, and its parametrisation is stored only "
                    "there: export it from that run, or use --to peft-lora"
                )
            core = found[target.site]
            if not isinstance(core, LinearCore):
                raise UsageError(
                    f"exporter {self.NAME}: {target.site} has no core between fixed directions (only adapters tinylora and lora-xs do); "
                    "--to peft-lora exports free factors"
                )
            sizes.setdefault((core.rank, len(core.init)), target.site)
        if len(sizes) > 1:
            (r, u), (other_r, other_u) = list(sizes)[:2]
            raise UsageError(
                f"exporter {self.NAME}: PEFT has one r and one u for all modules; {sizes[r, u]} has {r} and {u}, "
                f"{sizes[other_r, other_u]} has {other_r} and {other_u}; --to peft-lora allows any"
            )
        ((r, u),) = sizes
        if (size := 4 * u * r * r * len(targets)) > MOST_BYTES:
            raise UsageError(
                f"exporter {self.NAME}: the projections (u r^2 = {u * r * r} values at each of {len(targets)} sites) would take "
                f"{size / 2**30:.1f} GiB; --to peft-lora needs none"
            )

    def precision(self, ensemble: Exportable) -> str:
        """Always float32, in the file and in PEFT."""
        del ensemble
        return "float32"

    def write(self, ensemble: Exportable, folder: Path) -> None:
        """Write the adapter, and a classifier's head."""
        from peft import TinyLoraConfig  # noqa: PLC0415 - seconds

        from ._peft.files import common_fields, write_adapter, write_head  # noqa: PLC0415

        (chosen,), targets = ensemble.rounds, targets_of(ensemble)
        cores = [core for t in targets if isinstance(core := chosen.parametrisations[t.site], LinearCore)]
        degree = weight_tying([core.group for core in cores])
        groups = tied_groups(len(cores), len({core.group for core in cores}) if degree else len(cores))
        tensors = dict[str, NDArray[Any]]()
        for done, (target, core, group) in enumerate(zip(targets, cores, groups, strict=True)):
            path, update = f"{PREFIX}{target.module}.tinylora_", chosen.updates[target.site]
            tensors |= {path + name: array for name, array in _fixed(core, update).items()}
            v = np.asarray(chosen.values[core.group], dtype=np.float64)
            tensors[f"base_model.tinylora_v.{group}"] = chosen.scale * v
            ensemble.report(self.NAME, done + 1, len(targets))
        config = TinyLoraConfig(
            r=cores[0].rank,
            u=len(cores[0].init),
            weight_tying=degree,
            save_projection=True,
            **common_fields(ensemble, targets),
        )
        write_adapter(folder, config, tensors)
        write_head(ensemble, folder)

    def reload(self, ensemble: Exportable, folder: Path) -> ModelSource:
        """The base with PEFT layers. PEFT computes the SVD of every adapted weight before it reads the file."""
        from ._peft.loader import PeftBuilder  # noqa: PLC0415

        source = ensemble.source
        if source.build is None:
            raise UsageError(f"exporter {self.NAME}: the base cannot be built")
        ensemble.report("PEFT computes SVDs of the adapted weights", 0, 0)
        head = folder / HEAD_FILE if is_classifier(source.blueprint) else None
        return attrs.evolve(
            source, build=PeftBuilder(build=source.build, adapters=((DEFAULT, folder),), head=head)
        )

    def usage(self, ensemble: Exportable, place: str) -> str:
        """Python code for PEFT, and how to continue training."""
        note = "PeftModel.from_pretrained(…, is_trainable=True) continues to train the round's parameters in the same directions."
        return loading_code(ensemble, place, note=note)


def _fixed(core: LinearCore, update: Update) -> Mapping[str, NDArray[np.float64]]:
    """`A (r, d_in)`, `B (d_out, r)` and `P (u, r, r)` of a site."""
    assert isinstance(update, FactoredUpdate)
    frame, (a, b), r = update.frame, core.exponents, core.rank
    P = np.eye(r * r).reshape(r * r, r, r) if core.projections is None else core.projections
    return {"A": (frame.V * frame.S**b).T, "B": frame.U * frame.S**a, "P": P}


def tied_groups(count: int, groups: int) -> list[int]:
    """The group of each of `count` modules, in model order, if PEFT's `weight_tying` makes `groups` groups.

    PEFT ties `count // groups` neighbours, and the last group gets the remainder (`peft.tuners.tinylora.model`).
    """
    size = max(1, count // groups)
    return [min(i // size, groups - 1) for i in range(count)]


def weight_tying(groups: Sequence[str]) -> float:
    """PEFT's `weight_tying` that reproduces `groups` (one per module, in model order); 0 (no tying) if there is none."""
    count, names = len(groups), list(dict.fromkeys(groups))
    degree = 1.0 - len(names) / count
    understood = max(1, round(count * (1.0 - degree)))
    fits = understood == len(names) and [names.index(group) for group in groups] == tied_groups(
        count, understood
    )
    return degree if fits else 0.0


@hookimpl
def register_exporters(register: Callable[[str, type[Any]], None]) -> None:
    """Register `peft-tinylora`."""
    register("peft-tinylora", PeftTinyLora)
