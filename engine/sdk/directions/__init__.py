"""Linear algebra of data-driven bases: leading directions of gradients and activations, outside the span of earlier rounds."""

from .complement import OrthogonalComplement
from .data_driven import DataDrivenBasis, PairsRequest, ProjectedSides
from .finite import require_finite
from .pairs import SingularPairs, leading_singular_pairs
from .principal import principal_directions
from .range_finder import gradient_singular_pairs
from .site_complements import SiteComplements

__all__ = [
    "DataDrivenBasis",
    "OrthogonalComplement",
    "PairsRequest",
    "ProjectedSides",
    "SingularPairs",
    "SiteComplements",
    "gradient_singular_pairs",
    "leading_singular_pairs",
    "principal_directions",
    "require_finite",
]
