"""A run as an earlier version wrote it: other keys, and digests and seals that vouch for them."""

import hashlib
import json
from pathlib import Path

from boostlora.engine.contracts.records import OPTIONAL, UNSEALED
from boostlora.engine.foundation.sealed import read_sealed, write_sealed

KEYS = {"lost": "forgotten", "gained": "fixed"}


def make_earlier(run: Path) -> None:
    """Rewrite a run in place: `adapter.directions`, and rounds that are `forgotten` and `fixed`."""
    for name in ("spec.toml", ".spec.lock.toml"):
        text = (run / name).read_text()
        assert "\nu = " in text
        (run / name).write_text(text.replace("\nu = ", "\ndirections = "))
    make_earlier_lines(run)


def make_earlier_lines(run: Path) -> None:
    """Rewrite the rounds alone, as of a run whose adapter has no such option."""
    lines, digest = list[str](), ""
    for line in (run / "rounds.jsonl").read_text().splitlines():
        record = {KEYS.get(key, key): value for key, value in json.loads(line).items()}
        digest = _digest(record, digest)
        lines.append(json.dumps(record | {"digest": digest}) + "\n")
    (run / "rounds.jsonl").write_text("".join(lines))
    if result := read_sealed(run / "result.json", ("digest",)):
        write_sealed(run / "result.json", result | {"digest": digest})


def _digest(record: dict[str, object], previous: str) -> str:
    content = {
        key: {k: v for k, v in value.items() if v != {}} if key in {"train", "validation", "test"} else value
        for key, value in record.items()
        if key not in UNSEALED and not (value is None and key in OPTIONAL)
    }
    return hashlib.sha256((previous + json.dumps(content, sort_keys=True)).encode()).hexdigest()
