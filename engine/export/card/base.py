"""The base of a published model: its name, and the licence stated in its files."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import attrs

from ...foundation.markup import printable
from ...foundation.options import HUB_ID, ModelPath
from .redaction import path_options

if TYPE_CHECKING:
    from ...ensemble.ensemble import Ensemble

CARD = "README.md"
LICENCES = ("LICENSE*", "LICENCE*", "COPYING*", "license*", "licence*")
HUB = "https://huggingface.co"
ID = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")
"""Pattern of licence ids on the hub."""
MAX_CARD_BYTES = 2**20
FIRST_LINE = 120


@attrs.frozen(kw_only=True)
class Licence:
    """The licence of a base, from its card's front matter or a licence file."""

    ids: tuple[str, ...] = ()
    name: str = ""
    link: str = ""
    file: str = ""
    """Name of the licence file, if the front matter has none."""
    line: str = ""
    """The first line of that file."""

    @property
    def stated(self) -> bool:
        """Whether a licence is stated."""
        return bool(self.ids or self.line)


@attrs.frozen(kw_only=True)
class Base:
    """The base in the card."""

    name: str
    hub: str = ""
    """Its id on the hub, if it comes from there."""
    made: bool = False
    """Whether the run created it, so that no other licence applies."""
    architecture: str
    parameters: int
    sha256: str
    licence: Licence = Licence()
    card: str = ""
    """Location of its own card: an address, or a file of the export; empty if there is none."""


def base_of(ensemble: Ensemble, folder: Path, base_card: Path | None) -> Base:
    """The base of an ensemble exported into `folder`; `beside` is its own card, if the exporter copied it."""
    source, slot = ensemble.origin.source, ensemble.spec.slots["model"]
    named = [(kind, value) for name, kind, value in path_options(ensemble) if name == "model"]
    place = next((value for kind, value in named if kind is ModelPath), "")
    hub = place if place and not Path(place).is_absolute() and HUB_ID.fullmatch(place) else ""
    folders = [Path(place)] if place and not hub else []
    folders += [source.files[0].parent] if place and source.files else []
    address = f"{HUB}/{quote(hub)}" if hub else ""
    return Base(
        name=hub or next((Path(value).name for _, value in named), slot.use),
        hub=hub,
        made=not named,
        architecture=source.blueprint.architecture,
        parameters=sum(weight.size for weight in source.blueprint.weights),
        sha256=str(ensemble.origin.provenance.get("hashes", {}).get("weights", source.sha256)),
        licence=licence_of(folders, base_card, hub, _names(folder)),
        card=address or (base_card.name if base_card else ""),
    )


def licence_of(
    folders: Sequence[Path], base_card: Path | None = None, hub: str = "", here: Collection[str] = ()
) -> Licence:
    """The licence stated in the base's files; nothing is downloaded. A link to a file is kept if it resolves on the hub, or `here`."""
    for card in (
        *_hub_cards(hub),
        *([base_card] if base_card else []),
        *(folder / CARD for folder in folders),
    ):
        found = _from_front_matter(front_matter(card), hub, here)
        if found.stated:
            return found
    for folder in folders:
        for file in sorted({path for pattern in LICENCES for path in folder.glob(pattern)}):
            line = _first_line(file)
            if line:
                return Licence(file=file.name, line=line)
    return Licence()


def front_matter(card: Path) -> Mapping[str, Any]:
    """The YAML front matter of a card; empty if there is none, or it is invalid."""
    try:
        if not card.is_file() or card.stat().st_size > MAX_CARD_BYTES:
            return {}
        from huggingface_hub import metadata_load  # noqa: PLC0415 - an extra, half a second to import

        return cast("Mapping[str, Any]", metadata_load(card) or {})
    except Exception:
        return {}  # a third-party file must not make the card fail


def _from_front_matter(found: Mapping[str, Any], hub: str, here: Collection[str]) -> Licence:
    given = found.get("license")
    many = cast("list[Any]", given) if isinstance(given, list) else [given]
    ids = tuple(x.lower() for x in many if isinstance(x, str) and ID.fullmatch(x.lower()))
    name, link = (_text(found.get(key)) for key in ("license_name", "license_link"))
    if link not in here and not link.startswith(("https://", "http://")):
        link = f"{HUB}/{quote(hub)}/blob/main/{quote(link)}" if link and hub else ""
    return Licence(ids=ids, name=name, link=link)


def _names(folder: Path) -> frozenset[str]:
    return frozenset(path.name for path in folder.iterdir() if path.is_file())


def _text(value: object) -> str:
    return printable(value) if isinstance(value, str) else ""


def _hub_cards(hub: str) -> Iterator[Path]:
    """The card of a hub model, if it is in the local cache."""
    if not hub:
        return
    try:
        from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415

        found = try_to_load_from_cache(hub, CARD)
    except (ImportError, ValueError):
        return
    if isinstance(found, str):
        yield Path(found)


def _first_line(file: Path) -> str:
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            found = next((printable(line) for line in lines if printable(line)), "")
    except OSError:
        return ""
    return found if len(found) <= FIRST_LINE else found[: FIRST_LINE - 1] + "…"
