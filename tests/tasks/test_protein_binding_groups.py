"""`protein-binding`: no group and no chain is in two splits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.contracts import Splits
from boostlora.engine.errors import UsageError
from boostlora.engine.testing import assert_close
from boostlora.plugins.tasks._protein.groups import connected, group_split
from boostlora.plugins.tasks.protein_binding import ProteinBinding

from .protein_cases import REAL, complexes
from .protein_cases import chain as random_chain
from .text_cases import PARTS, Write, contents, load

BREAK = "-"
SHARES = {"validation": 0.2, "test": 0.2}

sizes = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(any), min_size=1, max_size=14)
shares = st.fixed_dictionaries({"validation": st.floats(0.01, 0.49), "test": st.floats(0.01, 0.49)})


def examples_of(counts: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and groups of so many examples of either class."""
    labels = [label for weak, tight in counts for label in [0] * weak + [1] * tight]
    groups = [number for number, pair in enumerate(counts) for _ in range(sum(pair))]
    return np.array(labels, dtype=np.int64), np.array(groups, dtype=np.int64)


def can_be_divided(counts: list[tuple[int, int]], parts: int) -> bool:
    both = sum(weak > 0 and tight > 0 for weak, tight in counts)
    return both + min(sum(not t for _, t in counts), sum(not w for w, _ in counts)) >= parts


@given(counts=sizes, shares=shares, seed=st.integers(0, 1000))
def test_group_split_keeps_groups_whole_and_has_both_classes_in_every_split(
    counts: list[tuple[int, int]], shares: dict[str, float], seed: int
) -> None:
    labels, groups = examples_of(counts)
    if not can_be_divided(counts, 3):
        with pytest.raises(UsageError, match="each need both classes"):
            group_split(labels, groups, shares, np.random.default_rng(seed))
        return
    parts = group_split(labels, groups, shares, np.random.default_rng(seed))
    assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(len(labels)))
    homes = [set(groups[index].tolist()) for index in parts.values()]
    assert sum(map(len, homes)) == len(set.union(*homes))
    assert all(set(labels[index].tolist()) == {0, 1} for index in parts.values())


@given(seed=st.integers(0, 1000))
def test_group_split_of_many_small_groups_approximates_the_shares(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, groups = examples_of([(int(a), int(b)) for a, b in rng.integers(0, 12, (120, 2)) if a + b])
    parts = group_split(labels, groups, SHARES, rng)
    for part, share in {**SHARES, "train": 0.6}.items():
        # Of 1,000 random orders, the best is closer than two of the groups, of 22 at most of about 1,300.
        assert_close(len(parts[part]) / len(labels), share, atol=0.03, what=part)
        assert_close(float(labels[parts[part]].mean()), float(labels.mean()), atol=0.04, what=f"{part} tight")


@given(seed=st.integers(0, 1000))
def test_group_split_has_both_classes_when_no_random_order_gives_them(seed: int) -> None:
    """Shares of 3 rows are met best by single rows of one class: no cut of any order holds both."""
    labels, groups = examples_of([(0, 1)] * 3 + [(100, 0)] * 3)
    parts = group_split(labels, groups, {"validation": 0.01, "test": 0.01}, np.random.default_rng(seed))
    assert [sorted(set(labels[index].tolist())) for index in parts.values()] == [[0, 1]] * 3


def test_group_split_differs_between_seeds() -> None:
    labels, groups = examples_of([(2, 2)] * 30)
    tests = {tuple(group_split(labels, groups, SHARES, np.random.default_rng(s))["test"]) for s in range(5)}
    assert len(tests) > 1


def test_group_split_of_a_single_share_draws_only_that_split() -> None:
    labels, groups = examples_of([(2, 2)] * 10)
    parts = group_split(labels, groups, {"test": 0.3}, np.random.default_rng(0))
    assert {part: len(index) for part, index in parts.items()} == {"test": 12, "train": 28}


@given(st.lists(st.lists(st.sampled_from("abcdefg"), max_size=3), max_size=12))
def test_connected_joins_exactly_the_linked_items(keys: list[list[str]]) -> None:
    """Against reachability by brute force."""
    n = len(keys)
    reach = np.array([[i == j or bool(set(keys[i]) & set(keys[j])) for j in range(n)] for i in range(n)])
    for _ in range(n):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    groups = connected(keys)
    assert np.array_equal(groups[:, None] == groups, reach.reshape(n, n))


def homes_of(splits: Splits, linker: str) -> dict[str, set[str]]:
    """The parts in which every chain lies."""
    found = dict[str, set[str]]()
    for part in PARTS:
        for row in getattr(splits, part).inputs.rows:
            for chain in linker.join(row).split(linker):
                found.setdefault(chain, set()).add(part)
    return found


@given(seed=st.integers(0, 500), shared=st.integers(0, 11))
def test_protein_groups_with_common_chains_are_joined(
    tmp_path_factory: pytest.TempPathFactory, seed: int, shared: int
) -> None:
    frame = complexes(seed=seed).astype({"group": object})
    lent = frame.ligand_seq[4 * shared].split("|")[0]
    frame.loc[0, "ligand_seq"] = f"{lent}|{frame.ligand_seq[0].split('|')[1]}"
    path = tmp_path_factory.mktemp("binding") / "complexes.csv"
    frame.sample(frac=1, random_state=seed).to_csv(path, index=False)
    splits = load(ProteinBinding(path=str(path), linker=BREAK), seed)
    assert all(len(parts) == 1 for parts in homes_of(splits, BREAK).values())


def shared_pairs(groups: int = 12, links: int = 3, seed: int = 0) -> pd.DataFrame:
    """Complexes whose rows share no chain, and `links` pairs of groups that have one measured pair in common."""
    frame = complexes(groups=groups).astype({"group": object})
    rng = np.random.default_rng(seed)
    for column in ("ligand_seq", "receptor_seq"):
        frame[column] = [random_chain(rng) for _ in range(len(frame))]
    first, second = (4 * (2 * np.arange(links) + k) for k in (0, 1))
    frame.loc[second, ["ligand_seq", "receptor_seq"]] = frame.loc[
        first, ["ligand_seq", "receptor_seq"]
    ].to_numpy()
    return frame


@pytest.mark.parametrize("duplicates", ["mean", "keep"])
@given(seed=st.integers(0, 500))
def test_protein_groups_with_a_common_pair_are_in_one_split(
    tmp_path_factory: pytest.TempPathFactory, seed: int, duplicates: str
) -> None:
    """Also where the pair's measurements are averaged: no chain links the rest of either group to it."""
    frame = shared_pairs(seed=seed)
    path = tmp_path_factory.mktemp("binding") / "complexes.csv"
    frame.sample(frac=1, random_state=seed).to_csv(path, index=False)
    splits = load(ProteinBinding(path=str(path), linker=BREAK, duplicates=duplicates), seed)
    assert sum(len(getattr(splits, part)) for part in PARTS) == 48 - 3 * (duplicates == "mean")
    homes = homes_of(splits, BREAK)
    frame["linked"] = [group // 2 if group < 6 else group for group in frame.group]
    for _, rows in frame.groupby("linked"):
        chains = rows[["ligand_seq", "receptor_seq"]].to_numpy().ravel()
        assert len(set.union(*(homes[name] for name in chains))) == 1


@pytest.mark.parametrize("duplicates", ["mean", "keep"])
def test_protein_split_does_not_depend_on_the_order_of_the_file(write: Write, duplicates: str) -> None:
    frame = pd.concat([complexes(), complexes().assign(pkd=7.0 + 0.02 * np.arange(48) ** 1.2)])
    options: dict[str, Any] = {"per_group": 5, "limit": 50, "duplicates": duplicates}
    expected = load(ProteinBinding(path=write(frame), **options), 7)
    for seed in range(3):
        again = load(ProteinBinding(path=write(frame.sample(frac=1, random_state=seed)), **options), 7)
        for part in PARTS:
            assert contents(again, part) == contents(expected, part)


@pytest.mark.skipif(not REAL.is_file(), reason="SKEMPI v2.0 is not beside this checkout (shared/data/skempi)")
class TestSkempi:
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_no_pair_or_chain_is_in_two_splits(self, seed: int) -> None:
        splits = load(ProteinBinding(path=str(REAL), linker=BREAK), seed)
        homes = homes_of(splits, BREAK)
        assert len(homes) > 5000
        assert all(len(parts) == 1 for parts in homes.values())
        for part, share in {**SHARES, "train": 0.6}.items():
            examples = getattr(splits, part)
            # The largest group holds 9 % of the rows; seen over 20 seeds: within 1.1 points.
            assert_close(len(examples) / 6129, share, atol=0.03, what=f"rows for {part}")
            assert_close(float(examples.labels.mean()), 0.48, atol=0.03, what=f"tight share of {part}")

    def test_given_groups_of_the_file_share_chains(self) -> None:
        """Why groups are joined by chains: the file's column alone would leak."""
        frame = pd.read_csv(REAL, dtype=str, na_filter=False)
        homes = dict[str, set[str]]()
        for a, b, group in zip(frame.ligand_seq, frame.receptor_seq, frame.group, strict=True):
            for chain in f"{a}|{b}".split("|"):
                homes.setdefault(chain, set()).add(group)
        assert sum(len(groups) > 1 for groups in homes.values()) == 44

    def test_molar_affinity_column_gives_the_same_data(self) -> None:
        pkd = load(ProteinBinding(path=str(REAL), per_group=5))
        molar = load(ProteinBinding(path=str(REAL), per_group=5, affinity="kd_m", scale="molar"))
        # Rounded to four decimals in the file: no pair lies that close to the threshold but exactly on it.
        for part in PARTS:
            assert set(contents(molar, part)) == set(contents(pkd, part))
