"""Exports: written beside their place, read back as another library reads them, compared, and only then given their name."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Examples, Exportable, Exporter, ModelSource
from ..ensemble.choice import Choice
from ..ensemble.source import EnsembleSource
from ..errors import BoostLoraError, DepartedError, RunError, UsageError, blame
from ..foundation.durable import settle
from ..foundation.hashes import folder_files
from ..foundation.leftovers import making
from ..registry import SERVICES, Registry
from ..spec.document import Document, from_settings
from ..spec.faults import Fault, SpecError, did_you_mean, listed
from ..spec.slots import service
from .compared import Compared
from .random_inputs import probes

if TYPE_CHECKING:
    from ..ensemble.ensemble import Ensemble

UNIT = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Unit roundoff: the largest relative error of rounding a number to the dtype."""
ROUNDINGS = {"float64": 256, "float32": 256, "float16": 16, "bfloat16": 16}
"""Unit roundoffs of the largest logit by which an export's logits may depart. In 32 bits and more it is the computation that rounds: an
adapter adds its product in another order than a merge, layer by layer (seen: 5 to 20 on language models, 123 where updates were thirty
times as large as the weights). In 16 bits it is each weight, once (seen: less than 1)."""
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
    compared: Compared | None
    """None where nothing was compared, as nobody wished it."""
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

    `examples` of the test split are compared; 0: none, which is for models that are too large to be opened here. Raises
    `UsageError` before any work where the form cannot hold it or the place is taken, and `DepartedError` where what was written
    does not compute what was evaluated.
    """
    exporter = make_exporter(to, options, ensemble.origin.registry)
    check_free(place)
    exportable = ensemble.exportable(choice)
    with blame("exporter", to):
        exporter.check(exportable)
    with _making(place) as made:
        with blame("exporter", to):
            exporter.write(exportable, made)
        asked, compared = _examples(ensemble, examples) if examples else None, None
        if asked is not None:
            compared = compare(
                ensemble, exporter, to, exportable=exportable, folder=made, choice=choice, asked=asked
            )
        from .card.card import write_card  # noqa: PLC0415 - needs jinja2

        write_card(
            ensemble,
            choice,
            made / README,
            to=to,
            place=place.name,
            usage=exporter.usage(exportable, place.name),
            compared=compared,
            options=options.tree if isinstance(options, Document) else options,
        )
        _name(made, place)
    return Exported(
        to=to,
        path=place,
        rounds=choice.describe(),
        size=sum(path.stat().st_size for path in folder_files(place).values()),
        compared=compared,
        usage=exporter.usage(exportable, str(place)),
    )


@contextmanager
def _making(place: Path) -> Generator[Path]:
    """A new folder in which an export is made until it may have its name."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(making(place))
        except OSError as error:
            raise UsageError(f"{place}: cannot be made there ({error.strerror or error})") from error
        yield folder


def _name(made: Path, place: Path) -> None:
    """Give what was made its name, once it is on disk."""
    try:
        if place.exists():
            place.rmdir()  # it is empty
        settle(made, place)
    except OSError as error:
        raise RunError(f"{place}: cannot be written ({error.strerror or error})") from error


def check_free(place: Path) -> None:
    """Refuse a place where something is. Raises `UsageError`."""
    try:
        free = not place.exists() or (place.is_dir() and not any(place.iterdir()))
    except (OSError, ValueError) as error:
        raise UsageError(f"{place}: no place for a folder ({error})") from error
    if not free:
        raise UsageError(f"{place}: is there already, and is not overwritten; choose another place (--out)")


def make_exporter(to: str, options: Mapping[str, Any] | Document, registry: Registry) -> Exporter:
    """The exporter of a name, with its options read strictly. Raises `UsageError` or `SpecError`."""
    entries = registry.entries("exporter")
    if to not in entries:
        hint = did_you_mean(to, list(entries))
        raise UsageError(f'no exporter "{to}"; there are: {listed(entries)}' + (f"; {hint}" if hint else ""))
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
    *,
    exportable: Exportable,
    folder: Path,
    choice: Choice,
    asked: Examples,
) -> Compared:
    """Hold what is in `folder` against the evaluated model. Raises `DepartedError` where it departs."""
    origin, report = ensemble.origin, ensemble.origin.context.report
    report("comparing", 0, 0)
    evaluated = ensemble.logits(asked, choice)
    with blame("exporter", to):
        source, precision = exporter.reload(exportable, folder), exporter.precision(exportable)
    backend = _backend_for(origin, source)
    coarser = max((precision, getattr(backend, "dtype", "float32")), key=lambda name: UNIT[name])
    try:
        reloaded = backend.open(source, (), report).logits(asked)
    except BoostLoraError:
        raise
    except Exception as error:
        raise DepartedError(
            f"{to}: what was written cannot be read back: {type(error).__name__}: {error}"
        ) from error
    found = _compared(evaluated, reloaded, len(asked), coarser)
    if not found.passed:
        raise DepartedError(
            f"{to}: what was written does not compute what was evaluated: logits depart by {found.largest:.2g}, and "
            f"{found.allowed:.2g} is allowed ({ROUNDINGS[coarser]} roundings to {coarser} of the largest); nothing was kept"
        )
    return found


def _examples(ensemble: Ensemble, count: int) -> Examples:
    """The first examples of the test split, encoded; made-up inputs where the data are not to be had."""
    try:
        test = ensemble.origin.experiment.encoded.test
    except UsageError:
        return probes(ensemble.origin.source.blueprint, count)
    return test.take(np.arange(min(count, len(test)), dtype=np.int64))


def _backend_for(origin: EnsembleSource, source: ModelSource) -> Any:
    """The run's own backend; torch where a module has to be computed that the run's cannot."""
    own = origin.spec.slots["backend"]
    if source.build is None or own.use != "reference":
        return own.plugin
    torch = origin.registry.entries("backend")["torch"].cls
    return torch(dtype=own.plugin.dtype, device="cpu")


def _compared(
    evaluated: NDArray[np.float64], reloaded: NDArray[np.float64], examples: int, precision: str
) -> Compared:
    if evaluated.shape != reloaded.shape:
        raise DepartedError(f"logits of shape {reloaded.shape} were read back, expected {evaluated.shape}")
    finite = bool(np.isfinite(reloaded).all())
    largest = float(np.max(np.abs(reloaded - evaluated), initial=0.0)) if finite else float("inf")
    scale = float(np.max(np.abs(evaluated), initial=0.0))
    same = evaluated.argmax(axis=-1) == reloaded.argmax(axis=-1)
    return Compared(
        examples=examples,
        rows=len(evaluated),
        largest=largest,
        allowed=ROUNDINGS[precision] * UNIT[precision] * scale,
        precision=precision,
        agreement=float(np.mean(same)) if len(same) else 1.0,
    )
