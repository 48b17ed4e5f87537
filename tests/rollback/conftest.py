"""One family of toy runs for the session."""

import pytest

from ..support.shared import Shared
from .rollback_toys import Family


@pytest.fixture(scope="session")
def family(shared: Shared) -> Family:
    return Family.of(shared.made("family", Family.make))
