"""One family of toy runs for the session."""

import pytest

from .rollback_toys import Family


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return Family.make(tmp_path_factory.mktemp("family"))
