"""Which directions data asks for, among those that no earlier round has used: the core of the informed bases."""

from .complement import Complement
from .data_driven import DataDriven, Project
from .finite import finite
from .pairs import Pairs, leading_pairs
from .principal import principal_directions
from .range_finder import find_pairs
from .unused import Unused

__all__ = [
    "Complement",
    "DataDriven",
    "Pairs",
    "Project",
    "Unused",
    "find_pairs",
    "finite",
    "leading_pairs",
    "principal_directions",
]
