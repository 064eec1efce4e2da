"""Levels as arrays of other libraries. Beside `conversion.dask`, only this package imports Dask."""
