"""Parts of the mathematical tasks: enumerated arithmetic problems, and a worker pool for math-verify."""
