"""Micro-timings of optbench against plain torch loops, both sides measured next to each other."""
