"""The specs that come with the package: listed, printed, and valid."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "specs"
SHIPPED = [
    str(p.relative_to(ROOT).with_suffix(""))
    for p in (*sorted(ROOT.glob("*.toml")), *sorted(ROOT.glob("*/*.toml")))
]


@pytest.mark.parametrize("spec", SHIPPED)
def test_every_shipped_spec_passes_check(boostlora, spec):
    done = boostlora("check", spec)
    assert (done.returncode, done.stderr) == (0, "")


def test_specs_in_json_are_all_that_are_shipped(boostlora):
    assert [spec["name"] for spec in json.loads(boostlora("specs", "--json").stdout)] == SHIPPED


def test_specs_lists_and_prints_what_is_shipped(boostlora):
    assert boostlora("specs").stdout.startswith("quickstart ")
    assert 'use = "rotate"' in boostlora("specs", "quickstart").stdout
    assert json.loads(boostlora("specs", "--json").stdout)[0]["name"] == "quickstart"
