from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from boostlora.engine.errors import UsageError
from boostlora.engine.foundation.run_context import RunContext, default_cache

HOMELESS = (
    "this user has no home folder for the cache; set BOOSTLORA_CACHE to a folder, or HOME to an absolute path"
)


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOOSTLORA_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


def no_home(*_: object, **__: object) -> Path:
    raise RuntimeError("could not determine the home directory")


@pytest.mark.parametrize("found", [no_home, lambda *_, **__: Path("~/.cache/boostlora")])
def test_default_cache_without_a_home_folder_names_the_variable_to_set(
    monkeypatch: pytest.MonkeyPatch, found: object
) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_path", found)
    for make in (default_cache, RunContext):
        with pytest.raises(UsageError) as caught:
            make()
        assert str(caught.value) == HOMELESS
    monkeypatch.setenv("BOOSTLORA_CACHE", "/some/where")
    assert default_cache() == Path("/some/where")


def test_default_cache_is_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name, **_: tmp_path / name)
    assert default_cache() == tmp_path / "boostlora"


def test_command_without_a_home_folder_is_a_one_line_error(boostlora, monkeypatch) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_path", no_home)
    answer = boostlora("run", "quickstart")
    assert (answer.returncode, answer.stderr) == (2, f"error: {HOMELESS}\n")
