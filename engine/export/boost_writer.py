"""Write boost files: a run reduced to its trained parameters."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import tomli_w
from numpy.typing import NDArray

from ..boosting.round_plan import plan_round
from ..contracts import DenseUpdate, Exportable, FactoredUpdate, MergedRound, ModelSource, Update
from ..contracts.records import RoundRecord
from ..ensemble.choice import Choice, Rounds
from ..ensemble.recipe import Recipe, StoredRound, same_update
from ..ensemble.sketches import norm, sketches
from ..errors import BoostLoraError, UsageError
from ..foundation.hashes import file_sha256_cached
from .boost_base import base_files
from .boost_file import SUFFIX, BaseFacts, BaseFile, BoostFile, MergedFacts, RoundFacts, tensors_sha256
from .card.facts import portable_spec
from .card.redaction import PathRedactor

if TYPE_CHECKING:
    from ..ensemble.ensemble import Ensemble

REDACTED = ("command", "plugin_files", "start")
"""Entries of the provenance with paths of the author's machine."""


@attrs.frozen(kw_only=True)
class WrittenBoostFile:
    """A written boost file."""

    path: Path
    size: int
    rounds: str
    """The selected rounds."""
    numbers: int
    """Parameters trained in all rounds of the file."""
    merged_size: int
    """Bytes of the base's files, which is also the size of a merged model."""
    factors: Mapping[int, str]
    """Rounds with factors in the file, and the reason."""


def save(
    ensemble: Ensemble, file: str | Path, rounds: Rounds | Choice = None, *, with_factors: bool = False
) -> Path:
    """Write a boost file of a selection of rounds; see `pack`."""
    return pack(ensemble, Path(file), ensemble.choose(rounds), with_factors=with_factors).path


def pack(ensemble: Ensemble, path: Path, choice: Choice, *, with_factors: bool = False) -> WrittenBoostFile:
    """Write the ensemble up to its last chosen round as a boost file.

    Every round is first rebuilt from its trained values. If the result differs from the recorded update in any bit, the file
    also contains its factors. Raises `UsageError` for an existing path.
    """
    if path.exists():
        raise UsageError(f"{path}: exists already, and is not overwritten; choose another path (--out)")
    if not path.name.endswith(".safetensors"):
        raise UsageError(f"{path}: a boost file's name ends with .safetensors, best with {SUFFIX}")
    origin, report = ensemble.origin, ensemble.origin.context.report
    last = max(choice.weights, default=0)
    chosen, whole = ensemble.exportable(choice), ensemble.exportable(last)
    merged = [r for n, r in sorted(origin.merged.items()) if n <= last]
    reasons = (
        {r.number: "on request" for r in merged} if with_factors else _not_reproducible(ensemble, merged)
    )
    arrays = dict[str, NDArray[Any]]()
    rounds = list[RoundFacts]()
    for done, round_ in enumerate(merged):
        report("packing", done, len(merged))
        facts, parts = _round(round_, factors=round_.number in reasons)
        rounds.append(facts)
        arrays |= parts
    source, fitted = origin.source, _fitted(origin.source)
    arrays |= {f"fitted/{name}": value for name, value in fitted.items()}
    arrays["sketch"] = sketches(whole)
    redactor = PathRedactor.of(ensemble)
    file = BoostFile(
        name=chosen.name,
        spec=tomli_w.dumps(portable_spec(ensemble, redactor)),
        blueprint=source.blueprint,
        classes=origin.classes,
        base=_base(ensemble, tuple(fitted)),
        rounds=tuple(rounds),
        merged=MergedFacts(
            weights=choice.weights, sha256=merged_sha256(chosen), norm=norm(whole.sites, whole)
        ),
        records=tuple(attrs.asdict(_shortened(r, redactor)) for r in origin.records if r.round <= last),
        best=min(origin.best, last),
        provenance=redactor.tree({k: v for k, v in origin.provenance.items() if k not in REDACTED}),
        arrays=arrays,
    )
    size = file.write(path)
    return WrittenBoostFile(
        path=path,
        size=size,
        rounds=choice.describe(),
        numbers=sum(sum(r.groups.values()) for r in rounds),
        merged_size=sum(f.size for f in file.base.files),
        factors=reasons,
    )


def _shortened(record: RoundRecord, redactor: PathRedactor) -> RoundRecord:
    """A record without its entries per site, file and phase, which would be most of the file with hundreds of sites."""
    ranks, effective = record.rank.values(), record.effective_rank.values()
    return attrs.evolve(
        record,
        rank={"largest": max(ranks)} if ranks else {},
        effective_rank={"mean": sum(effective) / len(effective)} if effective else {},
        files={},
        seconds={},
        memory_bytes=0,
        reason=redactor.text(record.reason),
    )


def _not_reproducible(ensemble: Ensemble, merged: list[MergedRound]) -> dict[int, str]:
    """Rounds that cannot be rebuilt exactly from their trained values, with the reason."""
    origin = ensemble.origin
    reasons, recipe = dict[int, str](), None
    try:
        recipe = Recipe.of(origin.spec, origin.source.blueprint, origin.store, origin.context)
    except BoostLoraError as error:
        return {r.number: f"its directions cannot be recomputed: {error}" for r in merged}
    for done, recorded in enumerate(merged):
        origin.context.report("rebuilding", done, len(merged))
        plan = plan_round(origin.spec, recorded.number)
        kept = StoredRound(number=recorded.number, scale=recorded.scale, values=_trained(recorded))
        try:
            found = recipe.rebuild_round(plan, kept)
            like = found.updates.keys() == recorded.updates.keys() and all(
                same_update(found.updates[site], update) for site, update in recorded.updates.items()
            )
            if not like:
                reasons[recorded.number] = "its trained values do not reproduce its update bit by bit"
        except (BoostLoraError, KeyError, ValueError) as error:
            reasons[recorded.number] = f"it cannot be rebuilt from its trained values: {error}"
        recipe.remember(plan, recorded)
    return reasons


def _round(merged: MergedRound, *, factors: bool) -> tuple[RoundFacts, dict[str, NDArray[Any]]]:
    """A round's trained values, concatenated, and optionally its factors."""
    values = _trained(merged)
    flat = [np.asarray(value, dtype=np.float64).ravel() for value in values.values()]
    arrays = {f"values/{merged.number:04d}": _narrow(np.concatenate(flat) if flat else np.zeros(0))}
    if factors:
        for site, update in merged.updates.items():
            parts = _factors(update)
            arrays |= {f"factors/{merged.number:04d}/{site}/{part}": x for part, x in parts.items()}
    groups = {name: int(np.size(value)) for name, value in values.items()}
    facts = RoundFacts(number=merged.number, scale=merged.scale, groups=groups, factors=factors)
    return facts, arrays


def _trained(merged: MergedRound) -> dict[str, NDArray[Any]]:
    """A round's trained values by name, sorted; those of a dense update are its delta."""
    dense = {site: u.delta for site, u in merged.updates.items() if isinstance(u, DenseUpdate)}
    return dict(sorted({**dense, **merged.values}.items()))


def _factors(update: Update) -> dict[str, NDArray[Any]]:
    match update:
        case FactoredUpdate():
            frame = update.frame
            parts = {"U": frame.U, "S": frame.S, "V": frame.V, "core": update.core}
            flags = np.array([*update.exponents, float(update.orthonormal)])
            return {**parts, "form": flags}
        case DenseUpdate():
            return {"delta": update.delta}


def _narrow(values: NDArray[np.float64]) -> NDArray[Any]:
    """As float32 if that is exact, which it is for values of a float32 backend."""
    narrow = values.astype(np.float32)
    return narrow if np.array_equal(narrow.astype(np.float64), values) else values


def _fitted(source: ModelSource) -> dict[str, NDArray[Any]]:
    """Weights that are not part of the base."""
    from safetensors import safe_open  # noqa: PLC0415

    found = dict[str, NDArray[Any]]()
    for path in source.files if source.fitted else ():
        with safe_open(path, framework="np") as file:
            for name in source.fitted:
                if name in file.keys():  # noqa: SIM118 - no mapping
                    found[name] = file.get_tensor(name)
    return found


def _base(ensemble: Ensemble, fitted: tuple[str, ...]) -> BaseFacts:
    origin = ensemble.origin
    files, cache = base_files(origin.source), origin.context.cache
    origin.context.report("hashing the base", 0, 0)
    base_path = str(getattr(origin.spec.model, "path", ""))
    return BaseFacts(
        path=Path(base_path).name if Path(base_path).is_absolute() else base_path,
        files=tuple(
            BaseFile(name=f.name, size=f.stat().st_size, sha256=file_sha256_cached(f, cache)) for f in files
        ),
        tensors=tensors_sha256(files),
        fitted=fitted,
    )


def merged_sha256(ensemble: Exportable) -> str:
    """Hash of all adapted weights with the rounds merged, in the dtype of merges."""
    digest = hashlib.sha256()
    for done, site in enumerate(ensemble.sites):
        ensemble.report("merging", done, len(ensemble.sites))
        weight = np.ascontiguousarray(ensemble.merged(site.name))
        digest.update(f"{site.name}:{weight.dtype.str}:{weight.shape};".encode())
        digest.update(weight.data)
    return digest.hexdigest()
