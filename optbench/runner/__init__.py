"""Computation of a plan's cells: checks, engines, workers, the timing pass and progress."""
