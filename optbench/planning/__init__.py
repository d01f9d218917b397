"""Expands a configuration into the cells of the matrix, each with its cost and its execution. Needs no torch."""
