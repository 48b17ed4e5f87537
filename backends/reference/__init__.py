"""NumPy and SciPy in float64 with gradients derived by hand: the truth that other backends are held to."""
