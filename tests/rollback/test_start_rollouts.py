"""Answers that were kept are inherited with their round, and replayed from it on."""

import json

import attrs
import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")

from boostlora.engine.spec.resolve import load_spec

from ..support.rollout_toys import RolloutToy, write_folder
from .rollback_toys import contents, digests


def test_start_inherits_rollouts_and_ends_with_the_same_digest(tmp_path, boostlora):
    path = write_folder(tmp_path)
    writer = RolloutToy.make(tmp_path)
    parent = writer.go("parent").path
    start = (f'start.run="{parent}"', "start.round=1")
    child = attrs.evolve(writer, spec=load_spec(path, writer.registry, start)).go("child").path
    assert digests(child) == digests(parent)
    kept = {name: sha256 for name, sha256 in contents(parent).items() if name.startswith("rollouts/")}
    assert len(kept) == 2
    assert kept.items() <= contents(child).items()
    code, out, err = boostlora("verify", child, "--backend", "reference", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["rounds"] == 1
