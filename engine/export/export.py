"""Exports: written to a temporary folder, loaded by the target library, compared, and only then moved into place."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Examples, Exportable, Exporter, ModelSource
from ..ensemble.choice import Choice
from ..ensemble.source import EnsembleSource
from ..errors import BoostLoraError, MismatchError, PluginError, RunError, UsageError, blame
from ..foundation.durable import settle
from ..foundation.hashes import folder_files
from ..foundation.leftovers import making
from ..registry import SERVICES, Registry
from ..spec.document import Document, from_settings
from ..spec.faults import Fault, SpecError, unknown_name
from ..spec.slots import YOUR_OWN, service
from .export_check import ExportCheck

if TYPE_CHECKING:
    from ..ensemble.ensemble import Ensemble
from ..contracts import Blueprint, Tokens
from ..foundation.rng import Streams

UNIT = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Unit roundoff: largest relative error of rounding to the dtype."""
ROUNDINGS = {"float64": 256, "float32": 256, "float16": 16, "bfloat16": 16}
"""Allowed difference of an export's logits, in unit roundoffs of the largest logit. In 32 bits and more the computation rounds: an
adapter adds its product in another order than a merge, layer by layer (measured: 5 to 20 on language models, 123 with updates thirty
times as large as the weights). In 16 bits each weight is rounded once (measured: less than 1)."""
EXAMPLES = 16
README = "README.md"


@attrs.frozen(kw_only=True)
class Exported:
    """A finished export."""

    to: str
    path: Path
    rounds: str
    size: int
    """Bytes of all files."""
    compared: ExportCheck | None
    """None if no comparison was requested."""
    usage: str


def export(
    ensemble: Ensemble,
    to: str,
    place: Path,
    choice: Choice,
    options: Mapping[str, Any] | Document,
    *,
    examples: int = EXAMPLES,
) -> Exported:
    """Export an ensemble into the new folder `place`.

    `examples` of the test split are compared; 0 skips the comparison, for models that do not fit into memory. Raises
    `UsageError` before any work if the format does not support the ensemble or `place` exists, and `MismatchError` if the
    export's logits differ from the evaluated model's.
    """
    exporter = make_exporter(to, options, ensemble.origin.registry)
    check_free(place)
    exportable = ensemble.exportable(choice)
    with blame("exporter", to):
        exporter.check(exportable)
    precision = _precision(exporter, exportable, to)
    with _temporary_folder(place) as made:
        with blame("exporter", to):
            exporter.write(exportable, made)
        inputs, compared = _examples(ensemble, examples) if examples else None, None
        if inputs is not None:
            compared = compare(
                ensemble,
                exporter,
                to,
                precision,
                exportable=exportable,
                folder=made,
                choice=choice,
                inputs=inputs,
            )
        with blame("exporter", to):
            shown, usage = (exporter.usage(exportable, name) for name in (place.name, str(place)))
        from .card.card import write_card  # noqa: PLC0415 - needs jinja2

        write_card(
            ensemble,
            choice,
            made / README,
            to=to,
            place=place.name,
            usage=shown,
            compared=compared,
            options=options.tree if isinstance(options, Document) else options,
        )
        _move_into_place(made, place)
    return Exported(
        to=to,
        path=place,
        rounds=choice.describe(),
        size=sum(path.stat().st_size for path in folder_files(place).values()),
        compared=compared,
        usage=usage,
    )


@contextmanager
def _temporary_folder(place: Path) -> Generator[Path]:
    """A temporary folder for an export until it is complete."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(making(place))
        except OSError as error:
            raise UsageError(f"{place}: cannot be created ({error.strerror or error})") from error
        yield folder


def _move_into_place(made: Path, place: Path) -> None:
    """Move the export into place once it is on disk."""
    try:
        if place.exists():
            place.rmdir()  # it is empty
        settle(made, place)
    except OSError as error:
        raise RunError(f"{place}: cannot be written ({error.strerror or error})") from error


def _precision(exporter: Exporter, exportable: Exportable, to: str) -> str:
    """The precision of an export. Raises `PluginError` for an unknown name."""
    with blame("exporter", to):
        precision = cast("object", exporter.precision(exportable))
    if not isinstance(precision, str) or precision not in UNIT:
        raise PluginError("exporter", to, f"precision() returned {precision!r}, not one of {', '.join(UNIT)}")
    return precision


def check_free(place: Path) -> None:
    """Refuse an existing path. Raises `UsageError`."""
    try:
        free = not place.exists() or (place.is_dir() and not any(place.iterdir()))
    except (OSError, ValueError) as error:
        raise UsageError(f"{place}: not a valid path for a folder ({error})") from error
    if not free:
        raise UsageError(f"{place}: exists already, and is not overwritten; choose another path (--out)")


def make_exporter(to: str, options: Mapping[str, Any] | Document, registry: Registry) -> Exporter:
    """The exporter with a name, and strictly parsed options. Raises `UsageError` or `SpecError`."""
    entries = registry.entries("exporter")
    if to not in entries:
        message = unknown_name("exporter", to, list(entries), command="boostlora plugins exporter")
        raise UsageError(f"{message}; {YOUR_OWN}")
    document = (
        options if isinstance(options, Document) else attrs.evolve(from_settings(()), tree=dict(options))
    )
    faults = list[Fault]()
    kind = SERVICES["exporter"]
    made = service(kind, to, document.tree, path=(), document=document, registry=registry, faults=faults)
    if faults:
        raise SpecError(faults)
    return made


def compare(
    ensemble: Ensemble,
    exporter: Exporter,
    to: str,
    precision: str,
    *,
    exportable: Exportable,
    folder: Path,
    choice: Choice,
    inputs: Examples,
) -> ExportCheck:
    """Compare the export in `folder` with the evaluated model. Raises `MismatchError` if it differs."""
    origin, report = ensemble.origin, ensemble.origin.context.report
    report("comparing", 0, 0)
    evaluated = ensemble.logits(inputs, choice)
    with blame("exporter", to):
        source = exporter.reload(exportable, folder)
    backend = _backend_for(origin, source)
    coarser = max((precision, getattr(backend, "dtype", "float32")), key=lambda name: UNIT[name])
    try:
        reloaded = backend.open(source, (), report).logits(inputs)
    except BoostLoraError:
        raise
    except Exception as error:
        raise MismatchError(f"{to}: the export cannot be loaded: {type(error).__name__}: {error}") from error
    found = _check_logits(evaluated, reloaded, len(inputs), coarser)
    if not found.passed:
        raise MismatchError(
            f"{to}: the export does not compute the evaluated model: logits differ by {found.largest:.2g}, and "
            f"{found.allowed:.2g} is allowed ({ROUNDINGS[coarser]} roundings to {coarser} of the largest); nothing was kept"
        )
    return found


def _examples(ensemble: Ensemble, count: int) -> Examples:
    """The first examples of the test split, encoded, or random inputs if the data are not available."""
    try:
        test = ensemble.origin.experiment.encoded.test
    except UsageError:
        return random_inputs(ensemble.origin.source.blueprint, count)
    return test.take(np.arange(min(count, len(test)), dtype=np.int64))


def _backend_for(origin: EnsembleSource, source: ModelSource) -> Any:
    """The run's backend, or torch for a module that the reference cannot compute."""
    own = origin.spec.slots["backend"]
    if source.build is None or own.use != "reference":
        return own.plugin
    torch = origin.registry.entries("backend")["torch"].cls
    return torch(dtype=own.plugin.dtype, device="cpu")


def _check_logits(
    evaluated: NDArray[np.float64], reloaded: NDArray[np.float64], examples: int, precision: str
) -> ExportCheck:
    if evaluated.shape != reloaded.shape:
        raise MismatchError(f"logits of shape {reloaded.shape} were loaded, expected {evaluated.shape}")
    finite = bool(np.isfinite(reloaded).all())
    largest = float(np.max(np.abs(reloaded - evaluated), initial=0.0)) if finite else float("inf")
    scale = float(np.max(np.abs(evaluated), initial=0.0))
    same = evaluated.argmax(axis=-1) == reloaded.argmax(axis=-1)
    return ExportCheck(
        examples=examples,
        rows=len(evaluated),
        largest=largest,
        allowed=ROUNDINGS[precision] * UNIT[precision] * scale,
        precision=precision,
        agreement=float(np.mean(same)) if len(same) else 1.0,
    )


LENGTH = 24
"""Tokens of a sequence."""


def random_inputs(blueprint: Blueprint, count: int) -> Examples:
    """`count` random inputs with a fixed seed: uniform tokens, or rows of standard normal values.

    Raises `UsageError` for an architecture with unknown inputs.
    """
    rng, family = Streams(0)("probes"), blueprint.architecture.partition("/")[0]
    numbers = np.arange(count, dtype=np.int64)
    if family in {"causal-lm", "classifier", "sequence-classifier"}:
        vocabulary = int(blueprint.config["hf"]["vocab_size"])
        drawn = rng.integers(0, vocabulary, (count, LENGTH)).tolist()
        starts = [LENGTH // 2] * count if family == "causal-lm" else None
        tokens = Tokens.join(drawn, starts, cut=[False] * count)
        return Examples(ids=numbers, inputs=tokens, labels=np.zeros_like(numbers))
    first = next((w for w in blueprint.weights if w.role == "linear" and len(w.shape) == 2), None)
    if first is None:
        raise UsageError(f"unknown inputs of architecture {blueprint.architecture}")
    rows = rng.standard_normal((count, first.matrix[1]))
    return Examples(ids=numbers, inputs=rows, labels=np.zeros_like(numbers))
