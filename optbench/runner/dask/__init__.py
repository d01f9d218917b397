"""Cells on the workers of a dask scheduler, on this machine or on others: the extra `scale`."""
