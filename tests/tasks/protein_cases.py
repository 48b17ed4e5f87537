"""Made-up complexes for the tests of `protein-binding`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..support.places import SHARED_DATA

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
REAL = SHARED_DATA / "skempi" / "binding.csv"
"""SKEMPI v2.0, where a checkout has it beside it."""


def chain(rng: np.random.Generator, length: int = 12) -> str:
    return "".join(rng.choice(LETTERS, length))


def complexes(groups: int = 12, variants: int = 4, seed: int = 0) -> pd.DataFrame:
    """`variants` rows a group, the first a wild type, the others substitutions in its receptor; every second row is tight."""
    rng = np.random.default_rng(seed)
    rows = list[dict[str, Any]]()
    for group in range(groups):
        ligand, receptor = f"{chain(rng)}|{chain(rng)}", chain(rng)
        for variant in range(variants):
            place = 2 * variant + 1
            changed = receptor[:place] + ("W" if receptor[place] != "W" else "Y") + receptor[place + 1 :]
            rows.append(
                {
                    "mutations": f"C_X{place}W" if variant else "",
                    "ligand_seq": ligand,
                    "receptor_seq": changed if variant else receptor,
                    "pkd": 6.0 + 3.0 * ((group + variant) % 2) + 0.01 * group,
                    "group": group,
                }
            )
    return pd.DataFrame(rows)
