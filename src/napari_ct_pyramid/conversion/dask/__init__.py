"""Conversions on a Dask cluster: the client, the scheduling of blocks, and what runs in a worker.

Only this package, and `omezarr.libraries`, import Dask.
"""
