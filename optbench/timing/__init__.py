"""Tests whether a change made something slower, with pytest-benchmark and statistics that ignore noise."""
