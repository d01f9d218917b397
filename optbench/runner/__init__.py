"""Computes the cells of a plan: engines, workers, timing pass, progress."""
