"""Plots of results: each a function, frames in, the figure and the frame that it draws out."""

from optbench.plots.draw import Picture, draw_all

__all__ = ["Picture", "draw_all"]
