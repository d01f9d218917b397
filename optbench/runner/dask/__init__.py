"""The engine `dask`: cells on the workers of a Dask scheduler, on this machine or on others (extra `scale`)."""
