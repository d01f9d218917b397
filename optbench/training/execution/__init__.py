"""Ways to execute a cell's trainings: eagerly, many replicas at once, compiled, or as a CUDA graph."""
