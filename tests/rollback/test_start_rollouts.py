"""Answers that were kept are inherited with their round, and replayed from it on."""

import json
import sys
from pathlib import Path

import attrs
import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")
sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from rollback_toys import contents, digests
from rollout_toys import Writer, write_folder

from boostlora.engine.spec.resolve import load_spec


def test_start_inherits_rollouts_and_goes_on_to_the_same_end(tmp_path, command):
    path = write_folder(tmp_path)
    writer = Writer.make(tmp_path)
    parent = writer.go("parent").path
    start = (f'start.run="{parent}"', "start.round=1")
    child = attrs.evolve(writer, spec=load_spec(path, writer.registry, start)).go("child").path
    assert digests(child) == digests(parent)
    kept = {name: sha256 for name, sha256 in contents(parent).items() if name.startswith("rollouts/")}
    assert len(kept) == 2
    assert kept.items() <= contents(child).items()
    code, out, err = command("verify", child, "--backend", "reference", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["rounds"] == 1
