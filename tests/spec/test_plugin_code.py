"""What decides a result is in its hash: the code of plugins from files and from installed packages, with what they import."""

import sys
import textwrap

import pytest

from boostlora.engine.registry import Registry
from boostlora.engine.registry.code import code_sha256
from boostlora.engine.spec.resolve import load_spec

PLUGIN = """
    import attrs
    import numpy as np
    from boostlora.engine.contracts import Selection
    from boostlora.engine.hookspecs import hookimpl
    {imports}

    @attrs.frozen(kw_only=True)
    class Costly:
        "The share with the largest loss."
        def select(self, outcome, history, rng):
            {late}
            return Selection.equal(np.argsort(-outcome.loss)[:9])

    @hookimpl
    def register_samplers(register):
        register("costly", Costly)
"""


def write(folder, imports="", late="pass", name="costly.py"):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(PLUGIN.format(imports=imports, late=late)))
    return file


HELPERS = {
    "a module beside it": ("from helper import SHARE", "pass", "helper.py"),
    "one that is imported late": ("", "import helper", "helper.py"),
    "one by its package": ("from more.helper import SHARE", "pass", "more/helper.py"),
    "one of a package": ("from more import helper", "pass", "more/helper.py"),
    "a package": ("import more", "pass", "more/__init__.py"),
    "one that the helper imports": ("import first", "pass", "second.py"),
    "one that a package imports": ("import inner", "pass", "inner/deep.py"),
}


@pytest.mark.parametrize("case", HELPERS)
def test_plugin_hash_covers_modules_in_its_folder(tmp_path, case):
    imports, late, changed = HELPERS[case]
    plugin = write(tmp_path, imports, late)
    (tmp_path / "first.py").write_text("import second\n")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/__init__.py").write_text("def f():\n    from . import deep\n    return deep\n")
    helper = tmp_path / changed
    helper.parent.mkdir(exist_ok=True)
    helper.write_text("SHARE = 0.1\n")
    before = code_sha256(plugin)
    helper.write_text("SHARE = 0.9\n")
    assert code_sha256(plugin) != before
    helper.write_text("SHARE = 0.1\n")
    assert code_sha256(plugin) == before
    (tmp_path / "unrelated.py").write_text("SHARE = 0.5\n")
    assert code_sha256(plugin) == before


def test_plugin_hash_covers_modules_on_the_path_but_not_installed_ones(tmp_path, monkeypatch):
    loose = tmp_path / "loose"
    loose.mkdir()
    (loose / "elsewhere.py").write_text("SHARE = 0.1\n")
    monkeypatch.syspath_prepend(str(loose))
    plugin = write(tmp_path / "mine", "import elsewhere, numpy, json")
    before = code_sha256(plugin)
    (loose / "elsewhere.py").write_text("SHARE = 0.9\n")
    assert code_sha256(plugin) != before


def test_plugin_hash_does_not_depend_on_its_folder(tmp_path):
    hashes = set()
    for place in ("here", "some/where/else"):
        plugin = write(tmp_path / place, "import helper")
        (tmp_path / place / "helper.py").write_text("SHARE = 0.1\n")
        hashes.add(code_sha256(plugin))
    assert len(hashes) == 1


def test_unparsable_plugin_file_is_hashed_by_its_bytes(tmp_path):
    plugin = write(tmp_path, "import helper")
    (tmp_path / "helper.py").write_text("not python at all (\n")
    before = code_sha256(plugin)
    (tmp_path / "helper.py").write_text("nor is this (\n")
    assert code_sha256(plugin) != before


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A function that installs a version of a plugin and reads a spec with it."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))

    def install(version, late):
        for old in site.glob("costly-*"):
            old.rename(site / f"costly-{version}.dist-info")
        info = site / f"costly-{version}.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: costly\nVersion: {version}\n")
        (info / "entry_points.txt").write_text("[boostlora]\ncostly = costly\n")
        write(site, late=late)
        sys.modules.pop("costly", None)
        return load_spec("quickstart", Registry.load(), ("sampler.use=costly",))

    yield install
    sys.modules.pop("costly", None)


def test_hash_of_a_spec_covers_an_installed_plugins_code_and_its_version_is_known(installed):
    first, again = installed("1.0", "pass"), installed("1.0", "pass")
    other = installed("2.0", "rng.random()")
    assert first.sha256 == again.sha256 != other.sha256
    assert [s.slots["sampler"].distribution for s in (first, other)] == ["costly 1.0", "costly 2.0"]
    assert first.slots["merge"].distribution == first.slots["merge"].code == ""
