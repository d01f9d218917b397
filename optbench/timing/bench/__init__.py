"""Micro-timings of optbench against plain torch loops, with both sides measured in turn."""
