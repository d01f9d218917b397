"""Plots of results: each a function, frames in, the figure and the frame that it draws out."""
