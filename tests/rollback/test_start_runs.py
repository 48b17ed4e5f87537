"""A run that goes on from another is that run up to there, and its own from then on."""

import shutil

import attrs
import pytest

from boostlora.engine.errors import RunError, UsageError
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.runs.rollback import roll_back
from boostlora.engine.spec.resolve import load_spec

from .rollback_toys import ROUNDS, Family, Interrupter, clone, contents, digests, sealed, steps_until_round

KINDS = {
    "rotate": ("basis.use=rotate",),
    "random": ("basis.use=random", "sampler.use=weighted", "optimizer.over_rounds=cosine"),
    "dense": ("adapter.use=full",),
    "factors": ("adapter.use=lora", "merge.use=line-search"),
    "refused": ("merge.use=gate", "merge.margin=0.02", "sampler.replay=0.3"),
}


@pytest.fixture(scope="module", params=KINDS)
def kin(request, tmp_path_factory):
    """Families of every kind of update and merge."""
    return Family.make(tmp_path_factory.mktemp(request.param), *KINDS[request.param])


def overlap_of(path):
    return RunDirectory.open(path).records[-1].overlap


def test_families_are_of_the_kinds_that_they_are_for(kin, request):
    records = RunDirectory.open(kin.parent).records
    refused = request.node.callspec.params["kin"] == "refused"
    assert ("refused" in {record.status for record in records[:4]}) == refused
    assert {record.status for record in records[1:]} & {"merged"}


@pytest.mark.parametrize("number", [0, 3, ROUNDS])
def test_start_with_the_same_settings_ends_as_the_parent(kin, number):
    name = f"same-{number}"
    result = kin.child(number).go(name)
    path = kin.toy.path(name)
    assert sealed(path) == sealed(kin.parent)
    assert result.digest == RunDirectory.open(kin.parent).digest
    ours, theirs = contents(path), contents(kin.parent)
    assert {n: s for n, s in ours.items() if n[:1] in "ou"} == {
        n: s for n, s in theirs.items() if n[:1] in "ou"
    }


def test_start_with_another_rate_shares_the_rounds_before_and_none_after(kin):
    kin.child(3, "optimizer.lr=0.2").go("faster")
    mine, theirs = digests(kin.toy.path("faster")), digests(kin.parent)
    assert mine[:4] == theirs[:4]
    assert not set(mine[4:]) & set(theirs)
    assert len(mine) == ROUNDS + 1


def test_start_continues_in_directions_not_used_by_inherited_rounds(family):
    family.child(3, "optimizer.lr=0.2").go("rotated")
    assert overlap_of(family.toy.path("rotated")) < 1e-12  # orthogonal to the last bits of float64
    family.child(3, "basis.use=fixed").go("fixed")
    assert overlap_of(family.toy.path("fixed")) == pytest.approx(1.0), "it takes the parent's first block"


def test_start_records_its_parent(family):
    child = family.child(2)
    child.go("origin")
    spec = family.toy.spec.sha256
    origin = RunDirectory.open(child.path("origin")).provenance()
    digest = digests(family.parent)[2]
    assert origin["start"] == {"path": str(family.parent), "spec": spec, "round": 2, "digest": digest}
    assert origin["hashes"]["spec"] == child.spec.sha256 != spec


def test_start_may_be_of_a_run_that_has_one_itself(family):
    family.child(2).go("second")
    third = family.child(4, parent=family.toy.path("second"))
    third.go("third")
    assert sealed(family.toy.path("third")) == sealed(family.parent)


def test_start_killed_at_any_step_resumes_to_the_same_digest(family):
    child, counter = family.child(3, "rounds=4"), Interrupter()
    child.go("uninterrupted", counter)
    whole = sealed(child.path("uninterrupted"))
    assert counter.calls > 12
    for step in range(counter.calls):
        name = f"step-{step}"
        with pytest.raises(KeyboardInterrupt):
            child.go(name, Interrupter(step))
        path = child.path(name)
        found = sealed(path) if (path / "rounds.jsonl").exists() else []
        assert found == whole[: len(found)]
        assert len(found) in {0, 4, 5}, "inherited rounds are all there, or none"
        child.go(name)
        assert sealed(path) == whole
        assert "start" in RunDirectory.open(path).provenance()


def test_start_does_not_need_its_parent_after_inheriting(family):
    parent = clone(family.parent, family.toy.path("mortal"))
    child = family.child(3, "rounds=5", parent=parent)
    with pytest.raises(KeyboardInterrupt):
        child.go("orphan", Interrupter(steps_until_round(child, 4)))
    shutil.rmtree(parent)
    path = child.path("orphan")
    read = load_spec(path / "spec.toml", child.registry)
    assert read == child.spec
    attrs.evolve(child, spec=read).go("orphan")
    assert digests(path)[:4] == digests(family.parent)[:4]
    assert len(digests(path)) == 6


def test_start_without_its_parent_before_anything_is_inherited_is_refused(family):
    parent = clone(family.parent, family.toy.path("gone"))
    child = family.child(3, parent=parent)
    shutil.rmtree(parent)
    with pytest.raises(
        UsageError, match=f"no run {parent} any more, and its rounds 0 to 3 are not inherited"
    ):
        child.go("childless")
    assert not (child.path("childless") / "rounds.jsonl").exists()


def test_start_after_a_round_that_its_parent_rolled_back_is_refused(family):
    parent = clone(family.parent, family.toy.path("shorter"))
    child = family.child(3, parent=parent)
    roll_back(parent, 2)
    with pytest.raises(UsageError, match=r"round 3 is no longer [0-9a-f]{12}…"):
        child.go("late")


def test_start_from_a_damaged_file_is_refused_and_leaves_no_round(family):
    parent = clone(family.parent, family.toy.path("damaged"))
    (parent / "updates" / "0002.safetensors").write_bytes(b"other")
    child = family.child(3, parent=parent)
    with pytest.raises(RunError, match=r"0002\.safetensors: damaged or altered"):
        child.go("spared")
    assert not (child.path("spared") / "rounds.jsonl").exists()
    family.child(1, parent=parent).go("earlier")  # what is damaged later is in nobody's way


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (("seed=1",), r"other data \([0-9a-f]{12} there, [0-9a-f]{12} here\)"),
        (("task.each=19",), r"other data .*, other task\.each \(20 there, 19 here\)"),
        (("sites.exclude=[\"head.weight\"]", "sites.targets=[\"layers.1.*\"]"), r"other sites \(layers\.0\.weight only there\)"),
        (("model.activation=relu",), r"other model\.activation \(tanh there, relu here\)"),
    ],
)  # fmt: skip
def test_start_on_another_base_or_other_data_is_refused_before_the_model_is_opened(family, settings, problem):
    told = list[str]()
    with pytest.raises(UsageError, match=f"cannot continue from round 3 of .*{problem}"):
        family.child(3, *settings).go("unlike", lambda what, done, total: told.append(what))
    assert told == []
    shutil.rmtree(family.toy.path("unlike"))


def test_start_on_other_weights_is_refused(family, monkeypatch):
    monkeypatch.setenv("TOY_WEIGHTS", "1")
    with pytest.raises(UsageError, match=r"cannot continue from round 3 of .*other weights \("):
        family.child(3).go("heavier")
    assert not (family.toy.path("heavier") / "rounds.jsonl").exists()


def test_start_with_changed_inherited_rounds_is_refused(family):
    child = family.child(3)
    child.go("altered")
    path = child.path("altered")
    (path / "result.json").unlink()
    lines = (path / "rounds.jsonl").read_text().splitlines(keepends=True)
    (path / "rounds.jsonl").write_text("".join(lines[:3]))
    with pytest.raises(RunError, match="round 3 is not the one that the run goes on from"):
        child.go("altered")


def test_start_is_where_a_rollback_ends(family):
    child = family.child(3)
    child.go("back")
    path = child.path("back")
    with pytest.raises(UsageError, match=r"rounds 0 to 3 are inherited from .* --from .*parent@2"):
        roll_back(path, 2)
    roll_back(path, 3)
    child.go("back")
    assert sealed(path) == sealed(family.parent)
