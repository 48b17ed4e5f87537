"""NumPy and SciPy in float64 with manually derived gradients: the reference that other backends are verified against."""
