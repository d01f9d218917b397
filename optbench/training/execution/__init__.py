"""The ways to execute a cell's trainings: one after another, or many replicas at once; the same numbers."""
