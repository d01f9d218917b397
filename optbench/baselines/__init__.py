"""Stored results that new ones are compared with: the reference that comes with optbench, or one's own."""
