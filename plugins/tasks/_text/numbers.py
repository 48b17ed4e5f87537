"""Extraction of the last number in a text, in a canonical form."""

from __future__ import annotations

import re

ASCII = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if code != 0xFF0C},
    **dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2212, 0xFE63), "-"),
    0xFE62: "+",
    0xFE69: "$",
    0x066B: ".",
    0x066C: ",",
}
"""Full-width forms, typographic minus signs and hyphens, Arabic separators."""
WIDE_COMMA = re.compile(r"(?<=[\uff10-\uff19])\uff0c(?=[\uff10-\uff19])")
"""A full-width comma between full-width digits; elsewhere it is punctuation."""
UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Letters of scripts without spaces: a hyphen between one of them and a number is a sign."""
CURRENCY = "$¢£¤¥₠-⃏"
NUMBER = re.compile(
    rf"""
    (?: (?<![^\W{UNSPACED}]) (?<![)\]}}%°-]) (?<!\d[{CURRENCY}])    # 2019-2021, $5-$10, x-5, (a)-5: ranges and differences
        (?P<sign>[-+]) (?: [A-Z]{{0,3}} \\? [{CURRENCY}] [ ]? )? )?
    (?: (?P<grouped> (?<!\d,) (?: \d{{1,3}} (?: ,\d{{3}} )+ | \d{{1,2}} (?: ,\d{{2}} )+ ,\d{{3}} ) (?! \d | ,\d ) )
        (?: \. (?P<cents>\d+) )?
      | (?<!\d\.) (?P<whole>\d+) \. (?P<fraction>\d+)    # 1.2.3 is no decimal number, but three whole ones
      | (?P<integer>\d+)
      | (?<![\w.]) \. (?P<tail>\d+) )
    (?: [eE] (?P<exponent>[-+]?\d+) (?! \w | \.\d ) )?
    """,
    re.VERBOSE,
)
MOST_PLACES = 100
"""Zeros beyond which a number keeps its exponent: `1e999999999` is not expanded."""
MOST_EXPONENT = 1000
"""Maximum digits of an exponent."""


def last_number(text: str) -> str | None:
    """The last number of a text without plus sign, leading and trailing zeros, and with `-0` as `0`; None if there is none.

    A minus sign, typographic or not, counts before a number or its currency (`-5`, `-$5`, `$-5`), but not between two items
    (`2019-2021`). Commas are dropped if all of them are thousands separators (`1,200.50`, `1,00,000`); else they separate numbers
    (`1, 2,3`), as do the points of `1.2.3`. An exponent belongs to its number (`1e3`); a percent sign, a unit, the parentheses of `(5)`
    and the `1/` of `1/2` do not. Digits of all scripts are recognised, and their number is not limited.
    """
    last = None
    for last in NUMBER.finditer(WIDE_COMMA.sub(",", text).translate(ASCII)):  # noqa: B007 - the last one is wanted
        pass
    return None if last is None else _plain(last)


def _plain(found: re.Match[str]) -> str | None:
    """`(-1)^s d 10^e` with `d` ending in no zero: digits alone while `|e|` is small, else `d` and `e`."""
    before = (found["grouped"] or found["whole"] or found["integer"] or "").replace(",", "")
    after = found["cents"] or found["fraction"] or found["tail"] or ""
    raised = found["exponent"] or "0"
    if len(raised) > MOST_EXPONENT:
        return None
    digits = "".join(str(int(digit)) for digit in before + after).lstrip("0")
    stripped = digits.rstrip("0")
    if not stripped:
        return "0"
    places = int(raised) - len(after) + len(digits) - len(stripped)
    sign = "-" if found["sign"] == "-" else ""
    if places > MOST_PLACES or -places > max(MOST_PLACES, len(stripped)):
        return f"{sign}{stripped}e{places}"
    if places >= 0:
        return sign + stripped + "0" * places
    padded = stripped.rjust(1 - places, "0")
    return f"{sign}{padded[:places]}.{padded[places:]}"
