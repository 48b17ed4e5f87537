"""Redaction of credentials and home folders in stored, printed and published texts."""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

CUT = "REDACTED"
"""Replaces what is redacted."""

_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|\Z)",
    re.DOTALL,
)
_TOKEN = re.compile(
    r"""(?<![A-Za-z0-9_])(?:
        hf_(?:(?=[A-Za-z]*\d)[A-Za-z0-9]{6,}|[A-Za-z0-9]{16,})
      | sk-(?:(?=[A-Za-z_-]*\d)[\w-]{6,}|[\w-]{20,})
      | (?:sk|rk)_(?:live|test)_\w{6,}
      | gh[pousr]_[A-Za-z0-9]{6,} | github_pat_\w{6,} | glpat-[\w-]{6,}
      | xox[a-z]-[\w-]{6,} | npm_[A-Za-z0-9]{20,} | pypi-[\w-]{20,} | dapi[0-9a-f]{20,}
      | (?:AKIA|ASIA)[A-Z0-9]{12,} | AIza[\w-]{20,}
      | eyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*
    )(?![A-Za-z0-9])""",
    re.VERBOSE,
)
_SCHEME = re.compile(r"(?i)\b(authorization[\"']?\s*[:=]\s*[\"']?(?:basic|bearer|token)\s+)[^\s\"']+")
_BEARER = re.compile(
    r"\b((?:Bearer|BEARER)\s+)[\w.~+/=-]{4,}|\b(bearer\s+)(?=[A-Za-z_.~+/=-]*\d)[\w.~+/=-]{6,}"
)
_USER = re.compile(r"\b([A-Za-z][\w+.-]{0,30}://)([^\s/?#\"'<>`]{0,512})@")
_ODD_USER = re.compile(
    r"\b([A-Za-z][\w+.-]{0,30}://)([^\s/?#@:\"'<>`]{0,200}:(?!\d+(?:[/?#]|$))[^\s\"'<>`]{0,512})@(?=[^\s\"'<>`])"
)
"""A user and password with characters that should be escaped in an address."""
_ASSIGNED = re.compile(r"(?<![\w.-])([\w.-]+)\\{0,7}[\"']?\]?[ \t]*([=:])[ \t]*")
_QUOTED = re.compile(r"""(\\{0,7}["'])((?:(?!\1)(?:\\.|[^\\\n]))*)(?=\1)""")
_BARE = re.compile(r"""()([^\s"'<>&;,`|)\]}]+)""")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ENDINGS = (
    "password", "passwd", "passphrase", "pwd", "secret", "credential", "credentials", "signature", "authorization",
    "apikey", "accesskey", "accesskeyid", "secretkey", "privatekey", "authkey", "accountkey", "sharedkey", "signingkey",
)  # fmt: skip
_OF_TEXTS = frozenset(
    [
        "eos",
        "bos",
        "pad",
        "unk",
        "sep",
        "cls",
        "mask",
        "stop",
        "end",
        "start",
        "begin",
        "new",
        "next",
        "prev",
        "first",
        "last",
        "image",
        "audio",
        "special",
        "extra",
        "added",
        "forced",
        "per",
        "max",
        "min",
        "num",
        "n",
        "fake",
        "blank",
        "space",
        "of",
        "each",
        "any",
        "no",
        "one",
        "the",
        "a",
        "think",
        "tool",
        "answer",
        "sot",
        "eot",
        "decoder",
    ]
)
"""Words before `token` in names of a tokenizer's tokens and counts, such as `eos_token`."""
_IN_ADDRESSES = frozenset({"key", "sig", "auth", "code", "pass"})
"""Names that are credentials only as parameters of an address."""
_PLAIN = frozenset({"true", "false", "none", "null", CUT.lower()})
SHORTEST = 3
"""Minimum characters of a credential; after a colon, as in prose, twice as many."""


def names_credential(name: str) -> bool:
    """Whether a name is that of a credential: `password`, `MLFLOW_TRACKING_TOKEN`, `trackers.mine.apiKey`; not `eos_token`."""
    words = [word.lower() for word in _WORDS.findall(name.rpartition(".")[2])]
    if not words:
        return False
    if words[-1] == "token":
        return len(words) == 1 or words[-2] not in _OF_TEXTS
    return "".join(words).endswith(_ENDINGS) or (name.isupper() and words[-1] == "pass")


def without_credentials(text: str) -> str:
    """The text with credentials redacted: those in addresses, after a credential's name, or of a known form."""
    if "PRIVATE KEY" in text:
        text = _KEY_BLOCK.sub(CUT, text)
    if "://" in text:
        text = _USER.sub(rf"\1{CUT}@", _ODD_USER.sub(rf"\1{CUT}@", text))
    text = _BEARER.sub(lambda found: f"{found[1] or found[2]}{CUT}", _SCHEME.sub(rf"\1{CUT}", text))
    return _TOKEN.sub(CUT, _unassigned(text))


def _unassigned(text: str) -> str:
    """Redact values assigned to names of credentials. A value may contain assignments: an address with parameters."""
    parts, done, at = list[str](), 0, 0
    while (found := _ASSIGNED.search(text, at)) is not None:
        at = found.end()
        name = found[1].strip("-")
        address = text[max(0, found.start() - 1) : found.start()] in {"?", "&", "#"}
        if not names_credential(name) and not (address and name.lower() in _IN_ADDRESSES):
            continue
        value = _QUOTED.match(text, at) or _BARE.match(text, at)
        if value is not None and _is_value(value[2], colon=found[2] == ":" and not value[1]):
            parts += (text[done : value.start(2)], CUT)
            done = at = value.end()
    return "".join(parts) + text[done:]


def _is_value(value: str, *, colon: bool) -> bool:
    long = len(value) >= (2 * SHORTEST if colon else SHORTEST)
    return long and value[0] not in "$({<*%:" and value.lower() not in _PLAIN


def credential_in(text: str) -> str:
    """The kind of credential in a value, in words; empty for none. A user name without password counts only in HTTP addresses."""
    for found in (*_ODD_USER.finditer(text), *_USER.finditer(text)):
        if ":" in found[2].rstrip(":") or (found[1].lower().startswith("http") and found[2]):
            return "an address with a user's name or password"
    if without_credentials(_USER.sub(r"\1", text)) != _USER.sub(r"\1", text):
        return "an address with a token or password" if "://" in text else "what looks like a credential"
    return ""


def credentials_in(
    value: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Paths and kinds of the credentials in a TOML tree."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from credentials_in(inner, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from credentials_in(inner, (*path, index))
    elif isinstance(value, str):
        key = next((step for step in reversed(path) if isinstance(step, str)), "")
        what = credential_in(value) or (
            "what is called a credential" if value and names_credential(key) else ""
        )
        if what:
            yield path, what


def command_without_credentials(words: Iterable[str]) -> list[str]:
    """A command's words with credentials redacted: an option's value may be part of its word or the next word."""
    cleaned, after = list[str](), False
    for word in words:
        name, equals, _ = word.partition("=")
        named = names_credential(name.lstrip("-").replace("-", "_"))
        cleaned.append(CUT if after else f"{name}={CUT}" if equals and named else without_credentials(word))
        after = named and not equals and word.startswith("--")
    return cleaned


_HOMES = re.compile(
    r"(?<![\w.~])(?:/home/|/Users/|/export/home/|[A-Za-z]:[\\/]+Users[\\/]+)[^\s/\\'\"`<>|:;,()\[\]{}]+"
)


def without_homes(text: str) -> str:
    """The text with home folders as `~`, and the user's name in other paths as `user`."""
    home, name = _me()
    if home:
        text = re.sub(rf"(?<![\w/]){re.escape(home)}(?![\w-])", "~", text)
    text = _HOMES.sub("~", text)
    return re.sub(rf"(?<=[/\\]){re.escape(name)}(?=[/\\])", "user", text) if name else text


@cache
def _me() -> tuple[str, str]:
    """Home folder and name of the user; empty if they identify nobody, such as `root`."""
    try:
        home, name = str(Path.home()), getpass.getuser()
    except (RuntimeError, KeyError, OSError):
        return "", ""
    return "" if home == Path(home).anchor else home, "" if name in {"root", "user"} else name


def publishable(text: str) -> str:
    """The text with credentials and home folders redacted."""
    return without_homes(without_credentials(text))


def cleaned(value: Any, clean: Callable[[str], str] = without_credentials) -> Any:
    """A tree of tables, lists and attrs objects with all texts cleaned, and values of credentials' names redacted."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {
            clean(key) if isinstance(key, str) else key: CUT
            if _is_secret(key, inner)
            else cleaned(inner, clean)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(cleaned(inner, clean) for inner in value)
    import attrs  # noqa: PLC0415 - not needed for --help

    if attrs.has(type(value)):
        fields = [field.name for field in attrs.fields(type(value)) if field.init]
        old = {name: getattr(value, name) for name in fields}
        new = {name: cleaned(inner, clean) for name, inner in old.items()}
        changed = {name.lstrip("_"): inner for name, inner in new.items() if inner != old[name]}
        return attrs.evolve(value, **changed) if changed else value
    return value


def _is_secret(key: object, value: object) -> bool:
    return isinstance(key, str) and isinstance(value, str) and bool(value) and names_credential(key)
