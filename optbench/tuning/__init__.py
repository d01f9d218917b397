"""Tuning: the search for a cell's hyperparameters within its tuning budget."""
