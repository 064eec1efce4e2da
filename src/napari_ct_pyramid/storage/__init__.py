"""Bytes at a path: on a disk or in an object store. It knows neither Zarr nor volumes."""
