"""The `[start]` table: what is filled in, what counts in the hash, what is refused."""

import shutil

import pytest
import tomli

from boostlora.engine.registry import Registry
from boostlora.engine.spec import SpecError
from boostlora.engine.spec.document import parse
from boostlora.engine.spec.faults import Source
from boostlora.engine.spec.resolve import load_spec, resolve
from boostlora.engine.spec.start import Start

from .rollback_toys import clone, digests

NEEDED = 'task.use = "toy-blobs"\nmodel.use = "toy-random"\nrounds = 8\n'


@pytest.fixture
def read(family, tmp_path):
    """A spec from the text of its `[start]` table, in a folder beside which `parent` is a run."""
    clone(family.parent, tmp_path / "parent")

    def of(table, needed=NEEDED):
        return resolve(parse(Source("s.toml", f"{needed}{table}\n", tmp_path)), family.toy.registry)

    return of


@pytest.fixture
def faults(read):
    def of(table, needed=NEEDED):
        with pytest.raises(SpecError) as caught:
            read(table, needed)
        return [f"{f.position()}: {f.message} ({f.allowed}{f.hint})" for f in caught.value.faults]

    return of


def test_start_absent_or_empty_changes_no_hash_and_no_dump(read):
    plain = read("")
    assert not plain.start.given
    assert "start" not in tomli.loads(plain.dump())
    for table in ("[start]", '[start]\nrun = ""', '[start]\nrun = ""\nround = 3\ndigest = ""'):
        assert read(table) == plain
        assert (read(table).dump(), read(table).sha256) == (plain.dump(), plain.sha256)


def test_spec_without_start_keeps_its_hash():
    assert load_spec("paper/digits", Registry.load()).short_hash == "ed0b90261b1b"


@pytest.mark.parametrize(
    ("table", "number"), [("round = 2", 2), ("round = 0", 0), ("round = -1", 6), ("", 6)]
)
def test_start_is_made_absolute_and_explicit(read, family, tmp_path, table, number):
    spec = read(f'[start]\nrun = "parent"\n{table}')
    digest = digests(family.parent)[number]
    assert spec.start == Start(run=str(tmp_path / "parent"), round=number, digest=digest, ranks=(2,) * number)
    again = resolve(parse(Source("t.toml", spec.dump(), tmp_path / "elsewhere")), family.toy.registry)
    assert again == spec
    assert (again.dump(), again.sha256) == (spec.dump(), spec.sha256)


def test_start_is_hashed_by_its_digest_not_its_path(read, tmp_path):
    clone(tmp_path / "parent", tmp_path / "copy")
    of = {
        (name, number): read(f'[start]\nrun = "{name}"\nround = {number}').sha256
        for name in ("parent", "copy")
        for number in (2, 3)
    }
    assert of["parent", 2] == of["copy", 2]
    assert of["parent", 3] == of["copy", 3]
    assert len({*of.values(), read("").sha256}) == 3


def test_start_with_a_digest_does_not_need_its_parent(read, tmp_path):
    spec = read('[start]\nrun = "parent"\nround = 2')
    shutil.rmtree(tmp_path / "parent")
    assert read(spec.dump(), "") == spec
    nameless = read(f'[start]\nround = 2\ndigest = "{spec.start.digest}"')
    assert nameless.sha256 == spec.sha256, "the digest decides the ranks"


def test_start_with_inherited_rounds_beside_the_spec_does_not_need_its_parent(read, family, tmp_path):
    spec = read('[start]\nrun = "parent"\nround = 2')
    child = clone(family.parent, tmp_path / "child")
    (tmp_path / "parent" / "rounds.jsonl").write_text("")
    for folder, sound in ((child, True), (tmp_path, False)):
        source = Source("spec.toml", spec.dump(), folder)
        if sound:
            assert resolve(parse(source), family.toy.registry) == spec
        else:
            with pytest.raises(SpecError, match="nothing to continue from"):
                resolve(parse(source), family.toy.registry)


OTHER = "0" * 64


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('[start]\nrun = "none"', "s.toml:5:7: start.run: no run \""),
        ('[start]\nrun = "~no-such-user/x"', "s.toml:5:7: start.run: no run \"~no-such-user/x\""),
        ('[start]\nrun = "a\\u0000"', "s.toml:5:7: start.run: no run \""),
        (f'[start]\nrun = "{"x" * 5000}"', "s.toml:5:7: start.run: no run \""),
        ('[start]\nrun = "."', "s.toml:5:7: start.run: no run \""),
        ('[start]\nrun = 3', "s.toml:5:7: start.run: expected a string, got 3"),
        ('[start]\nrun = "parent"\nround = 7', "s.toml:6:9: start.round: no round 7 (the run has rounds 0 to 6)"),
        ('[start]\nrun = "parent"\nround = -2', 's.toml:6:9: "round" must be at least -1'),
        ('[start]\nround = 2', 's.toml:4:1: start: missing key "run"'),
        ('[start]\nrun = "parent"\nruond = 2', 's.toml:6:1: unknown key "ruond"'),
        (f'[start]\nrun = "parent"\nround = 2\ndigest = "{OTHER}"', "s.toml:7:10: start.digest: round 2 of parent has another digest"),
        ('[start]\nrun = "parent"\ndigest = "12"', 's.toml:6:10: "digest" must be 64 hexadecimal digits'),
        (f'[start]\nrun = "none"\ndigest = "{OTHER}"', "s.toml:5:7: start.run: no run \""),
        ('[start]\nrun = "parent"\nround = 2\nranks = [2, 3]', "s.toml:7:9: start.ranks: the rounds of that run have [2, 2]"),
        ('[start]\nrun = "parent"\nranks = [-1]', 's.toml:6:9: "ranks" must be at least 0'),
        ('start = "parent"', "s.toml:4:9: start must be a table, got \"parent\""),
    ],
)  # fmt: skip
def test_invalid_start_is_a_fault_at_its_position(faults, table, expected):
    (found,) = faults(table)
    assert found.startswith(expected)


def test_start_after_the_last_round_is_refused_at_the_rounds(faults, read):
    needed = NEEDED.replace("rounds = 8", "rounds = 3")
    (found,) = faults('[start]\nrun = "parent"\nround = 4', needed)
    assert found.startswith("s.toml:3:10: rounds: 3, but the run continues after round 4")
    assert read('[start]\nrun = "parent"\nround = 3', needed).start.round == 3


def test_start_from_a_run_without_rounds_or_with_an_altered_one_is_refused(faults, tmp_path):
    rounds = tmp_path / "parent" / "rounds.jsonl"
    lines = rounds.read_bytes().splitlines(keepends=True)
    rounds.write_bytes(b"".join([*lines[:4], lines[4].replace(b'"merged"', b'"mergod"'), *lines[5:]]))
    (found,) = faults('[start]\nrun = "parent"\nround = 4')
    assert found.startswith(f"s.toml:5:7: start.run: {rounds}:5: ")
    rounds.unlink()
    (found,) = faults('[start]\nrun = "parent"')
    assert found == "s.toml:5:7: start.run: nothing to continue from (the run has no finished round yet)"


def test_start_from_a_run_altered_after_the_round_is_fine(read, tmp_path):
    rounds = tmp_path / "parent" / "rounds.jsonl"
    lines = rounds.read_bytes().splitlines(keepends=True)
    rounds.write_bytes(b"".join([*lines[:4], b"\xff\n", *lines[5:]]))
    assert read('[start]\nrun = "parent"\nround = 3').start.round == 3
