"""One round as PEFT's TinyLoRA, its trained numbers still apart from what is fixed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Exportable, FactoredUpdate, LinearCore, ModelSource
from ...engine.errors import UsageError
from ...engine.hookspecs import hookimpl
from ._peft.checks import check
from ._peft.names import DEFAULT, HEAD_FILE, PREFIX
from ._peft.targets import Target, is_classifier, targets_of
from ._peft.tied import shares, tying
from ._peft.usage import loading

MOST_BYTES = 2**30
"""Of fixed projections, in all."""


@attrs.frozen(kw_only=True)
class PeftTinyLora:
    """One round in PEFT's files for TinyLoRA: `dW = B (sum_i v_i P_i) A` with `v (u,)` to be trained on, and the rest fixed.

    PEFT makes `A`, `B` and `P` anew when it loads, from the singular vectors and a seed, and then puts the file's in their place:
    so any directions and projections fit. With ours, `B = U diag(S^a)`, `A = diag(S^b) V^T`, `P` is as it was drawn (LoRA-XS: the
    unit matrices), and `v` has the round's scale in it. Ranks and numbers of directions must be the same at all sites. Tied
    sites stay tied where PEFT can say so, as neighbours; else each has a copy.
    """

    NAME: ClassVar[str] = "peft-tinylora"

    def check(self, ensemble: Exportable) -> None:
        """Raise `UsageError` for more or less than one round, and for one that is no linear core of one size."""
        targets = check(self.NAME, ensemble)
        import peft  # noqa: PLC0415 - seconds

        if not hasattr(peft, "TinyLoraConfig"):
            raise UsageError(
                f"exporter {self.NAME}: peft {peft.__version__} has no TinyLoRA; pip install 'peft>=0.19'"
            )
        if len(ensemble.rounds) != 1:
            numbers, last = ", ".join(str(r.number) for r in ensemble.rounds), ensemble.rounds[-1].number
            raise UsageError(
                f"exporter {self.NAME} holds one round, and these are {numbers}: choose one, such as --rounds "
                f"{last}..{last} (that round alone on the base); --to peft-lora takes all of them"
            )
        self._check_cores(ensemble, targets)

    def _check_cores(self, ensemble: Exportable, targets: tuple[Target, ...]) -> None:
        found = ensemble.rounds[0].parametrisations
        sizes = dict[tuple[int, int], str]()
        for target in targets:
            if target.site not in found:
                raise UsageError(
                    f"exporter {self.NAME}: round {ensemble.rounds[0].number} was taken over from another run, which knows what its numbers "
                    "mean: export it from there, or --to peft-lora"
                )
            core = found[target.site]
            if not isinstance(core, LinearCore):
                raise UsageError(
                    f"exporter {self.NAME}: {target.site} has no core inside fixed directions (adapters tinylora and lora-xs have); "
                    "--to peft-lora takes free factors"
                )
            sizes.setdefault((core.rank, len(core.init)), target.site)
        if len(sizes) > 1:
            (r, u), (other_r, other_u) = list(sizes)[:2]
            raise UsageError(
                f"exporter {self.NAME}: PEFT has one r and one u for all modules; {sizes[r, u]} has {r} and {u}, "
                f"{sizes[other_r, other_u]} has {other_r} and {other_u}; --to peft-lora takes any"
            )
        ((r, u),) = sizes
        if (size := 4 * u * r * r * len(targets)) > MOST_BYTES:
            raise UsageError(
                f"exporter {self.NAME}: the projections (u r^2 = {u * r * r} numbers at each of {len(targets)} sites) would take "
                f"{size / 2**30:.1f} GiB; --to peft-lora needs none"
            )

    def precision(self, ensemble: Exportable) -> str:
        """All is written, and kept by PEFT, as float32."""
        del ensemble
        return "float32"

    def write(self, ensemble: Exportable, folder: Path) -> None:
        """The adapter, and a classifier's head."""
        from peft import TinyLoraConfig  # noqa: PLC0415 - seconds

        from ._peft.files import common_fields, write_adapter, write_head  # noqa: PLC0415

        (chosen,), targets = ensemble.rounds, targets_of(ensemble)
        cores = [core for t in targets if isinstance(core := chosen.parametrisations[t.site], LinearCore)]
        degree = tying([core.group for core in cores])
        groups = shares(len(cores), len({core.group for core in cores}) if degree else len(cores))
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
        """The base, built as ever, with PEFT's layers in it. PEFT factorises every adapted weight before it reads the file."""
        from ._peft.loader import Adapted  # noqa: PLC0415

        source = ensemble.source
        if source.build is None:
            raise UsageError(f"exporter {self.NAME}: the base cannot be built")
        ensemble.report("PEFT factorises the adapted weights", 0, 0)
        head = folder / HEAD_FILE if is_classifier(source.blueprint) else None
        return attrs.evolve(
            source, build=Adapted(build=source.build, adapters=((DEFAULT, folder),), head=head)
        )

    def usage(self, ensemble: Exportable, place: str) -> str:
        """Lines for PEFT, and how to train on."""
        note = "PeftModel.from_pretrained(…, is_trainable=True) trains the round's numbers on, in the same directions."
        return loading(ensemble, place, note=note)


def _fixed(core: LinearCore, update: Any) -> Mapping[str, NDArray[np.float64]]:
    """`A (r, d_in)`, `B (d_out, r)` and `P (u, r, r)` of a site."""
    assert isinstance(update, FactoredUpdate)
    frame, (a, b), r = update.frame, core.exponents, core.rank
    P = np.eye(r * r).reshape(r * r, r, r) if core.projections is None else core.projections
    return {"A": (frame.V * frame.S**b).T, "B": frame.U * frame.S**a, "P": P}


@hookimpl
def register_exporters(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `peft-tinylora`."""
    register("peft-tinylora", PeftTinyLora)
