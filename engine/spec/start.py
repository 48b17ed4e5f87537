"""The `[start]` table: the round of a parent run that a run continues from."""

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
"""The file that identifies a folder as a run."""
LAST = -1
InheritedRanks = Callable[[Path, int], tuple[int, ...]]
"""From a run's folder and a round: the ranks of the rounds up to it."""
SHA256 = re.compile(r"(?:[0-9a-f]{64})?")


@attrs.frozen(kw_only=True)
class Start:
    """Where a run begins: at the base model, or after a round of a parent run, whose rounds it inherits."""

    run: str = option("", "folder of the parent run, relative to the spec file; empty: none")
    round: int = option(LAST, "the parent's round to continue after; -1: its last", min=LAST)
    digest: str = option(
        "",
        "digest of that round; filled in when the spec is loaded",
        Limit("64 hexadecimal digits, or empty", lambda x: bool(SHA256.fullmatch(x))),
    )
    ranks: tuple[int, ...] = option(
        (),
        "ranks of the rounds up to it, refits excluded; filled in when the spec is loaded",
        min=0,
    )

    @property
    def given(self) -> bool:
        """Whether there is a parent run."""
        return bool(self.run or self.digest)

    def __str__(self) -> str:
        """The round and its run."""
        return f"round {self.round} of {self.run or 'an unnamed run'}"


def resolve_start(
    start: Start, rounds: int | None, document: Document, faults: list[Fault], taken: InheritedRanks
) -> Start:
    """The table with an absolute path, the round's number, its digest and ranks; faults are added to `faults`.

    The digest identifies the round. It is first looked up in the rounds beside the spec itself: a run has copies of its inherited
    rounds, and its parent may be deleted. A missing parent is a fault only if the digest is unknown.
    """
    if not start.given:
        table = document.tree.get("start", {})
        if table and "run" not in table:
            span = document.location(("start",)).key
            faults.append(Fault(message='start: missing key "run"', span=span, allowed="a run's folder"))
        return Start()
    count = len(faults)
    found = _resolve_start(start, document, faults, taken)
    if len(faults) == count and rounds is not None and rounds < found.round:
        span = document.location(("rounds",) if "rounds" in document.tree else ("start", "round")).value
        message = (
            f"rounds: {rounds}, but the run continues after round {found.round}; inherited rounds count too"
        )
        faults.append(Fault(message=message, span=span, allowed=f"at least {found.round}"))
    return found


def _resolve_start(start: Start, document: Document, faults: list[Fault], taken: InheritedRanks) -> Start:
    run, place, digest = (document.location(("start", key)).value for key in ("run", "round", "digest"))
    folder = _absolute(run.source.folder, start.run)
    known = bool(start.digest) and start.round != LAST
    at = attrs.evolve(start, run=str(folder) if folder and start.run else start.run)
    if known and _contains_round(digest.source.folder, start):
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
            message = f"start.round: no round {number}" if lines else "start.run: nothing to continue from"
            span = place if lines else run
            faults.append(Fault(message=message, span=span, allowed=f"the run has {rounds_text(len(lines))}"))
            return at
        found, ranks = _digest(folder, lines[: number + 1]), taken(folder, number)
    except (RunError, SpecError, OSError) as error:
        faults.append(Fault(message=f"start.run: {error}", span=run))
        return at
    if start.digest and start.digest != found:
        faults.append(_digest_fault(start, number, found, digest))
    if start.ranks and start.ranks != ranks:
        faults.append(_ranks_fault(ranks, document.location(("start", "ranks")).value))
    return attrs.evolve(at, round=number, digest=found, ranks=ranks)


def _digest_fault(start: Start, number: int, found: str, span: Span) -> Fault:
    message = f"start.digest: round {number} of {shortened(start.run, 200)} has another digest, {found[:12]}…"
    hint = 'to continue from that round, leave the digest out, or empty it (--set start.digest="")'
    return Fault(message=message, span=span, hint=hint)


def _ranks_fault(ranks: Sequence[int], span: Span) -> Fault:
    hint = "leave it out: it is filled in when the spec is loaded"
    return Fault(message=f"start.ranks: the rounds of that run have {list(ranks)}", span=span, hint=hint)


def _digest(folder: Path, lines: Sequence[bytes]) -> str:
    return records_of(folder, lines)[-1].digest


def _contains_round(folder: Path, start: Start) -> bool:
    """Whether a run's folder contains the round with this digest."""
    try:
        lines = read_lines(folder)
        return start.round < len(lines) and _digest(folder, lines[: start.round + 1]) == start.digest
    except RunError:
        return False


def _absolute(folder: Path, name: str) -> Path | None:
    """The absolute path; None for an invalid path (NUL, `~nobody`)."""
    try:
        return (folder / Path(name).expanduser()).resolve()
    except (OSError, ValueError, RuntimeError):
        return None


def _is_run(folder: Path) -> bool:
    try:
        return (folder / SPEC).is_file()
    except (OSError, ValueError):  # too long for a file name
        return False
