from importlib import metadata
from pathlib import Path

import attrs
import pytest

from boostlora.engine.errors import UsageError
from boostlora.engine.registry import KINDS, Registry
from boostlora.engine.registry.registry import BrokenPlugin, _module_of

GOOD = '''
import attrs
from boostlora.engine.contracts import Selection
from boostlora.engine.hookspecs import hookimpl

@attrs.frozen(kw_only=True)
class {cls}:
    """A sampler."""
    share: float = 0.2
    def select(self, outcome, history, rng):
        return Selection.empty()

@hookimpl
def {hook}(register):
    register("{name}", {cls})
'''


def _file(folder: Path, stem: str = "mine", **changes: str) -> Path:
    words = {"cls": "Mine", "hook": "register_samplers", "name": "mine"} | changes
    path = folder / f"{stem}.py"
    path.write_text(GOOD.format(**words))
    return path


def test_registry_has_every_built_in_plugin_and_none_is_broken():
    registry = Registry.load()
    assert registry.broken == []
    names = {slot: set(registry.entries(slot)) for slot in KINDS}
    assert names["sampler"] >= {"failures", "all", "random", "weighted"}
    assert names["basis"] >= {"rotate", "fixed", "random", "tail", "refresh"}
    assert names["adapter"] >= {"tinylora", "lora-xs", "lora", "full"}
    assert names["merge"] >= {"full", "shrinkage", "gate", "line-search"}
    assert names["task"] >= {"digits", "table"}
    assert names["model"] >= {"mlp"}
    assert names["objective"] >= {"cross-entropy"}
    assert names["optimizer"] >= {"adam", "sgd"}
    assert names["backend"] >= {"reference"}


def test_every_default_of_a_slot_is_registered():
    registry = Registry.load()
    for kind in KINDS.values():
        assert kind.default is None or kind.default in registry.entries(kind.slot)


def test_every_built_in_plugin_and_option_has_help():
    registry = Registry.load()
    for slot in KINDS:
        for entry in registry.entries(slot).values():
            assert entry.cls.__doc__
            assert not entry.cls.__doc__.startswith("Method generated")
            for field in attrs.fields(entry.cls):
                assert field.metadata.get("help"), f"{slot} {entry.name}: option {field.name} has no help"


def test_plugin_file_is_registered_with_its_origin(tmp_path):
    path = _file(tmp_path)
    entry = Registry.load((path,)).entries("sampler")["mine"]
    assert (entry.cls.__name__, entry.origin) == ("Mine", str(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hook": "register_sampler"}, 'unknown hook "register_sampler"; did you mean "register_samplers"?'),
        ({"name": "Mine!"}, "register_samplers: the name 'Mine!' does not match [a-z0-9][a-z0-9-]{0,63}"),
        (
            {"name": "failures"},
            'register_samplers: the name "failures" is already taken by boostlora.plugins.samplers.failures',
        ),
        (
            {"hook": "register_bases"},
            'register_bases: "mine" (Mine) lacks calibration, capacity, depth, exhausted, frames',
        ),
        ({"cls": "int"}, "register_samplers: \"mine\" is <class 'int'>, not an attrs class"),
    ],
    ids=["misspelt hook", "bad name", "clash", "wrong kind", "no attrs class"],
)
def test_plugin_file_that_is_wrong_is_refused_by_name_and_reason(tmp_path, changes, message):
    path = _file(tmp_path, **changes)
    if changes.get("cls") == "int":
        path.write_text(
            GOOD.format(cls="Mine", hook="register_samplers", name="mine").replace(
                '"mine", Mine', '"mine", int'
            )
        )
    with pytest.raises(UsageError) as caught:
        Registry.load((path,))
    assert str(caught.value) == f"--plugin {path}: {message}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("x = (", "SyntaxError: '(' was never closed"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
    ],
)
def test_plugin_file_that_cannot_be_imported_is_refused_with_the_reason(tmp_path, text, reason):
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"bad\.py") as caught:
        Registry.load((path,))
    assert reason in str(caught.value)


class _Point:
    """An installed entry point that loads what it is told."""

    def __init__(self, name, load):
        self.name, self.value, self.load = name, f"package.{name}", load
        self.module, self.dist = "package", None


def test_broken_installed_plugin_is_named_and_others_are_loaded(tmp_path, monkeypatch):
    good, clash = _file(tmp_path), _file(tmp_path, stem="other")

    def explode():
        raise ImportError("no such library")

    points = [
        _Point("a-broken", explode),
        _Point("b-good", lambda: _module_of(good)),
        _Point("b-good", lambda: _module_of(clash)),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points if group == "boostlora" else [])
    registry = Registry.load()
    assert "mine" in registry.entries("sampler")
    assert "failures" in registry.entries("sampler")
    reasons = {broken.origin: broken.reason for broken in registry.broken}
    place = f"(test_registry.py:{explode.__code__.co_firstlineno + 1}, in explode)"
    assert reasons["a-broken (package.a-broken)"] == f"ImportError: no such library {place}"
    assert len(reasons) == 2, "the second entry point of the same name must be reported, not skipped"


def test_plugin_that_offers_one_name_twice_is_refused(tmp_path):
    path = _file(tmp_path)
    path.write_text(path.read_text() + '    register("mine", Mine)\n')
    with pytest.raises(UsageError, match='the name "mine" is offered twice'):
        Registry.load((path,))


def test_refused_plugin_registers_nothing(tmp_path):
    path = _file(tmp_path)
    path.write_text(path.read_text() + '    register("failures", Mine)\n')
    registry = Registry.load()
    before = set(registry.entries("sampler"))
    module = _module_of(path)
    with pytest.raises(UsageError, match="already taken"):
        registry.add(module, str(path))
    assert set(registry.entries("sampler")) == before
    assert not registry.manager.is_registered(module)


def test_registries_share_only_built_in_plugins(tmp_path, monkeypatch):
    heard = """
@hookimpl
def round_finished(record):
    pass
"""
    path = _file(tmp_path)
    path.write_text(path.read_text() + heard)
    built_in = Registry()
    built_in.add(_module_of(path), "built in")
    built_in.broken.append(BrokenPlugin(origin="other", reason="needs a library"))
    monkeypatch.setattr(Registry, "_built_in", classmethod(lambda cls: built_in))
    first, second = Registry.load(), Registry.load()
    for registry in (first, second):
        assert registry.entries("sampler")["mine"].origin == "built in"
        assert registry.manager.has_plugin("built in"), "it takes part in runs too"
        assert BrokenPlugin(origin="other", reason="needs a library") in registry.broken
    del first.entries("sampler")["mine"]
    first.broken.clear()
    assert "mine" in second.entries("sampler")
    assert second.broken
    assert built_in.broken
