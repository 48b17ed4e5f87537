"""ESM-2's alphabet of amino acids."""

from __future__ import annotations

from collections.abc import Iterable

from ....engine.errors import UsageError
from ....engine.foundation.options import shortened

RESIDUES = "LAGVSERTIDPKQNFYMHWCXBUZO.-"
"""Letters in the order of ESM-2's vocabulary: amino acids, X for any, B, U, Z and O; `.` and `-` are gaps."""

VOCABULARY = ("<cls>", "<pad>", "<eos>", "<unk>", *RESIDUES, "<null_1>", "<mask>")
"""ESM-2's tokens by id (Lin et al., 2023)."""


def check_residues(texts: Iterable[str]) -> None:
    """Raise `UsageError` naming the first character that is not a residue."""
    known = frozenset(RESIDUES)
    for text in texts:
        unknown = next((character for character in text if character not in known), None)
        if unknown is not None:
            raise UsageError(
                f'the text "{shortened(text)}" has the character {unknown!a}, which is not in ESM-2\'s alphabet: capital letters '
                'without J, . and -; join the chains of a complex by . or by a linker of G\'s, or set model.family = "bert"'
            )
