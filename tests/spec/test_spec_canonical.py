from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import tomli
import tomli_w
from hypothesis import example, given
from hypothesis import strategies as st

from boostlora.engine.registry import KINDS, Registry
from boostlora.engine.spec import Spec

Read = Callable[[str], Spec]
Tree = dict[str, Any]

POSITIVE = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
NOT_NEGATIVE = st.floats(min_value=0, allow_infinity=False)
SHARE = st.floats(min_value=0, max_value=1)
WHOLE = st.integers(1, 2**63 - 1)
COUNT = st.integers(0, 2**63 - 1)
METRIC = st.sampled_from(["accuracy", "loss"])
SHAPE = st.sampled_from(["constant", "linear", "cosine"])
SPECTRUM = st.sampled_from(["paper", "balanced", "flat"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PATTERNS = st.lists(TEXT, max_size=4)


def table(use: str, **options: st.SearchStrategy[Any]) -> st.SearchStrategy[Tree]:
    """A plugin's table with any of its options."""
    return st.fixed_dictionaries({"use": st.just(use)}, optional=options)


SCHEDULED = {
    "lr": POSITIVE,
    "steps": WHOLE,
    "batch_size": WHOLE,
    "over_steps": SHAPE,
    "over_rounds": SHAPE,
    "floor": SHARE,
    "warmup": COUNT,
    "clip": NOT_NEGATIVE,
    "weight_decay": NOT_NEGATIVE,
}
BELOW_ONE = st.floats(min_value=0, max_value=1, exclude_max=True)
SLOTS: dict[str, st.SearchStrategy[Tree]] = {
    "task": table("digits", angle=st.floats(-360, 360), validation=st.floats(0.01, 0.4), test=st.just(0.25)),
    "model": table(
        "mlp",
        hidden=st.lists(WHOLE, min_size=1, max_size=3),
        activation=st.sampled_from(["relu", "tanh"]),
        lr=POSITIVE,
        weight_decay=NOT_NEGATIVE | st.integers(0, 2**53),  # every one of them is a float
    ),
    "adapter": st.one_of(
        table(
            "tinylora",
            rank=WHOLE,
            u=st.integers(1, 65_536),
            spectrum=SPECTRUM,
            tie=st.sampled_from(["none", "all", "kind", "layer"]) | WHOLE,
        ),
        table("lora", rank=WHOLE, alpha=POSITIVE),
        table("lora-xs", rank=WHOLE, spectrum=SPECTRUM),
        table("diagonal", rank=WHOLE, spectrum=SPECTRUM),
    ),
    "sampler": st.one_of(
        table("failures", replay=st.floats(0, 0.95), cap=COUNT),
        table("hardest", share=SHARE, replay=st.floats(0, 0.95)),
        table("weighted", eta=st.floats(0, 50), decay=SHARE),
        table("all"),
    ),
    "optimizer": st.one_of(
        table("adam", beta1=BELOW_ONE, beta2=BELOW_ONE, eps=POSITIVE, **SCHEDULED),
        table("sgd", momentum=BELOW_ONE, nesterov=st.booleans(), **SCHEDULED),
    ),
    "merge": st.one_of(
        table("line-search", scales=st.lists(POSITIVE, min_size=1, max_size=4), metric=METRIC),
        table("gate", metric=METRIC, margin=NOT_NEGATIVE),
        table("shrinkage", rate=SHARE),
    ),
    "boosting": st.fixed_dictionaries(
        {},
        optional={
            "subsample": st.floats(min_value=0, max_value=1, exclude_min=True),
            "top_sites": COUNT,
            "refit_every": COUNT,
            "refit_steps": COUNT,
            "refit_lr": NOT_NEGATIVE,
        },
    ),
    "stop": st.fixed_dictionaries(
        {},
        optional={
            "patience": COUNT,
            "metric": METRIC,
            "min_delta": NOT_NEGATIVE,
            "on_nonfinite": st.sampled_from(["stop", "skip"]),
        },
    ),
    "sites": st.fixed_dictionaries(
        {},
        optional={
            "targets": PATTERNS | TEXT,
            "exclude": PATTERNS,
            "layers": st.lists(st.integers(-5, 5), max_size=3),
        },
    ),
}
TREES = st.fixed_dictionaries(
    {"task": SLOTS["task"], "model": SLOTS["model"]},
    optional={
        "name": st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True),
        "description": TEXT,
        "seed": COUNT,
        "rounds": st.integers(0, 100_000),
        **{slot: strategy for slot, strategy in SLOTS.items() if slot not in {"task", "model"}},
    },
)
ON_A_HUB: dict[str, Tree] = {
    "hf-causal-lm": {"path": "owner/name"},
    "hf-classifier": {"path": "owner/name"},
    "language-modelling": {"dataset": "owner/name"},
    "text-classification": {"dataset": "owner/name"},
    "text-regression": {"dataset": "owner/name"},
    "gsm8k": {"dataset": "owner/name"},
    "humaneval": {"dataset": "owner/name"},
    "math500": {"dataset": "owner/name"},
    "mbpp": {"dataset": "owner/name"},
    "protein-binding": {"dataset": "owner/name"},
}
"""What plugins cannot do without."""

NEEDED: Tree = {"task": {"use": "digits"}, "model": {"use": "mlp"}}


@given(tree=TREES)
@example(tree=NEEDED | {"description": '"""\r\n\t\x00\x1b\\ \u2028 é', "sites": {"targets": ["'", '"']}})
@example(tree=NEEDED | {"stop": {"min_delta": -0.0}})
@example(tree=NEEDED | {"optimizer": {"lr": 5e-324, "clip": 1.7976931348623157e308}})
def test_dump_of_any_spec_parses_back_with_the_same_hash(read: Read, tree: Tree) -> None:
    spec = read(tomli_w.dumps(tree))
    again = read(spec.dump())
    assert again == spec
    assert again.sha256 == spec.sha256
    assert again.dump() == spec.dump()


@given(tree=TREES)
def test_dump_of_any_spec_contains_the_given_values(read: Read, tree: Tree) -> None:
    dumped = tomli.loads(read(tomli_w.dumps(tree)).dump())
    for key, value in tree.items():
        if isinstance(value, dict):
            assert {k: dumped[key][k] for k in value} == value
        else:
            assert dumped[key] == value


@given(tree=TREES, other=TREES)
def test_sha256_is_equal_if_and_only_if_settings_are(read: Read, tree: Tree, other: Tree) -> None:
    first, second = (read(tomli_w.dumps(t | {"name": "a", "description": ""})) for t in (tree, other))
    assert (first == second) == (first.sha256 == second.sha256)


def test_dump_writes_every_slot_and_every_option(read: Read) -> None:
    spec = read(tomli_w.dumps(NEEDED))
    dumped = tomli.loads(spec.dump())
    assert list(dumped) == ["name", "description", "seed", "rounds", *KINDS, "sites", "boosting", "stop"]
    for slot, kind in KINDS.items():
        fields = [field.name for field in attrs.fields(type(spec.slots[slot].plugin))]
        assert list(dumped[slot]) == ["use", *fields]
        assert dumped[slot]["use"] == (kind.default or NEEDED[slot]["use"])


@pytest.mark.parametrize("change", [{"name": "other"}, {"description": "other"}])
def test_sha256_ignores_name_and_description(read: Read, change: Tree) -> None:
    spec, other = read(tomli_w.dumps(NEEDED)), read(tomli_w.dumps(NEEDED | change))
    assert spec != other
    assert spec.sha256 == other.sha256


def test_sha256_ignores_order_number_format_and_explicit_defaults(read: Read) -> None:
    plain = read('[task]\nuse = "digits"\n[model]\nuse = "mlp"\n[optimizer]\nlr = 1\nsteps = 40\n')
    other = read("seed = 0\noptimizer = {use = 'adam', lr = 1.0}\nmodel.use = 'mlp'\ntask.use = 'digits'\n")
    assert plain == other
    assert plain.sha256 == other.sha256


def _changed(value: Any) -> Any:
    """Another value of the same type that every option of the tested plugins takes."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 0.5 or 0.25
    return [1] if isinstance(value, list) else value


CHOICES = {
    "metric": "loss",
    "class_weights": "balanced",
    "on_nonfinite": "skip",
    "activation": "tanh",
    "spectrum": "paper",
    "tie": "all",
    "over_steps": "cosine",
    "over_rounds": "cosine",
    "targets": "h1",
    "exclude": ["h1"],
    "exhausted": "wrap",
    "dtype": "float32",
    "subsample": 0.5,
}


def test_sha256_depends_on_every_other_key(read: Read) -> None:
    spec = read(tomli_w.dumps(NEEDED))
    tree = tomli.loads(spec.dump())
    hashes = {"": spec.sha256}
    for name, value in list(tree.items()):
        keys = {(name, key): inner for key, inner in value.items()} if isinstance(value, dict) else {}
        for path, old in (keys or {(name,): value}).items():
            if path[0] in {"name", "description"} or path[-1] == "use":
                continue
            new = CHOICES.get(path[-1], _changed(old))
            assert new != old, path
            changed = tree | {name: value | {path[-1]: new} if keys else new}
            hashes[".".join(path)] = read(tomli_w.dumps(changed)).sha256
    assert len(hashes) > 30
    assert len(set(hashes.values())) == len(hashes)


def test_sha256_depends_on_every_plugin(read: Read, registry: Registry) -> None:
    hashes = list[str]()
    for slot in KINDS:
        for name in registry.entries(slot):
            if name != "table":  # needs a file
                hashes.append(
                    read(tomli_w.dumps(NEEDED | {slot: {"use": name, **ON_A_HUB.get(name, {})}})).sha256
                )
    others = sum(len(registry.entries(slot)) - 1 for slot in KINDS) - 1
    assert others > 10
    assert len(set(hashes)) == others + 1
