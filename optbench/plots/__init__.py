"""Plots of results. Each plot is a function from frames to the figure and the frame of the drawn values."""

from optbench.plots.draw import Picture, draw_all

__all__ = ["Picture", "draw_all"]
