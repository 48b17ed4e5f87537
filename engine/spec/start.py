"""The `[start]` table: the round of another run that a run goes on from."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from ..errors import RunError
from ..foundation.options import Limit, option, shortened
from ..records.prefix import read_lines, records_of, rounds_text
from .document import Document
from .faults import Fault, Span, SpecError

SPEC = "spec.toml"
"""What makes a folder a run."""
LAST = -1
Taken = Callable[[Path, int], tuple[int, ...]]
"""How many directions each round of a run's folder, up to one, took."""
SHA256 = re.compile(r"(?:[0-9a-f]{64})?")


@attrs.frozen(kw_only=True)
class Start:
    """Where a run begins: at the base, or after a round of another run, whose rounds so far become its own."""

    run: str = option("", "folder of the run to go on from, relative to the file that names it; empty: none")
    round: int = option(LAST, "go on after this round; -1: its last", min=LAST)
    digest: str = option(
        "",
        "digest of that round; filled in when the spec is read",
        Limit("64 hexadecimal digits, or empty", lambda x: bool(SHA256.fullmatch(x))),
    )
    ranks: tuple[int, ...] = option(
        (),
        "how many directions each round up to it took, refits left out; filled in when the spec is read",
        min=0,
    )

    @property
    def given(self) -> bool:
        """Whether there is a run to go on from."""
        return bool(self.run or self.digest)

    def __str__(self) -> str:
        """The place for people."""
        return f"round {self.round} of {self.run or 'a run that is not named'}"


def settled(start: Start, rounds: int | None, document: Document, faults: list[Fault], taken: Taken) -> Start:
    """The table with an absolute path, the number of the round, its digest and ranks; faults are added where there are any.

    The digest is what counts. Rounds that lie beside the spec itself vouch for it first: those of a run that has inherited them,
    whose parent may be gone. A parent that is not there is missed only where the digest is not known.
    """
    if not start.given:
        table = document.tree.get("start", {})
        if table and "run" not in table:
            span = document.mark(("start",)).key
            faults.append(Fault(message='start: missing key "run"', span=span, allowed="a run's folder"))
        return Start()
    count = len(faults)
    found = _settled(start, document, faults, taken)
    if len(faults) == count and rounds is not None and rounds < found.round:
        span = document.mark(("rounds",) if "rounds" in document.tree else ("start", "round")).value
        message = (
            f"rounds: {rounds}, but the run goes on after round {found.round}; rounds of the start count too"
        )
        faults.append(Fault(message=message, span=span, allowed=f"at least {found.round}"))
    return found


def _settled(start: Start, document: Document, faults: list[Fault], taken: Taken) -> Start:
    run, place, digest = (document.mark(("start", key)).value for key in ("run", "round", "digest"))
    folder = _absolute(run.source.folder, start.run)
    known = bool(start.digest) and start.round != LAST
    at = attrs.evolve(start, run=str(folder) if folder and start.run else start.run)
    if known and _vouched(digest.source.folder, start):
        return at
    if not start.run or folder is None or not _is_run(folder):
        if not known:
            message = f'start.run: no run "{shortened(str(folder or start.run), 200)}"'
            allowed = "a run's folder, such as runs/quickstart/791aba1bcb2c"
            faults.append(Fault(message=message, span=run, allowed=allowed))
        return at
    try:
        lines = read_lines(folder)
        number = len(lines) - 1 if start.round == LAST else start.round
        if not 0 <= number < len(lines):
            message = f"start.round: no round {number}" if lines else "start.run: nothing to go on from"
            span = place if lines else run
            faults.append(Fault(message=message, span=span, allowed=f"the run has {rounds_text(len(lines))}"))
            return at
        found, ranks = _digest(folder, lines[: number + 1]), taken(folder, number)
    except (RunError, SpecError, OSError) as error:
        faults.append(Fault(message=f"start.run: {error}", span=run))
        return at
    if start.digest and start.digest != found:
        faults.append(_other(start, number, found, digest))
    if start.ranks and start.ranks != ranks:
        faults.append(_other_ranks(ranks, document.mark(("start", "ranks")).value))
    return attrs.evolve(at, round=number, digest=found, ranks=ranks)


def _other(start: Start, number: int, found: str, span: Span) -> Fault:
    message = f"start.digest: round {number} of {shortened(start.run, 200)} is another one, {found[:12]}…"
    hint = 'to go on from that one, leave the digest out, or empty it (--set start.digest="")'
    return Fault(message=message, span=span, hint=hint)


def _other_ranks(ranks: Sequence[int], span: Span) -> Fault:
    hint = "leave it out: it is filled in when the spec is read"
    return Fault(message=f"start.ranks: the rounds of that run have {list(ranks)}", span=span, hint=hint)


def _digest(folder: Path, lines: Sequence[bytes]) -> str:
    return records_of(folder, lines)[-1].digest


def _vouched(folder: Path, start: Start) -> bool:
    """Whether a folder holds the very round."""
    try:
        lines = read_lines(folder)
        return start.round < len(lines) and _digest(folder, lines[: start.round + 1]) == start.digest
    except RunError:
        return False


def _absolute(folder: Path, name: str) -> Path | None:
    """A path as an absolute one; None for what is no path at all (NUL, `~nobody`)."""
    try:
        return (folder / Path(name).expanduser()).resolve()
    except (OSError, ValueError, RuntimeError):
        return None


def _is_run(folder: Path) -> bool:
    try:
        return (folder / SPEC).is_file()
    except (OSError, ValueError):  # too long for a file's name
        return False
