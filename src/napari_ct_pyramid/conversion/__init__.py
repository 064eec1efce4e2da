"""The jobs: convert, verify and batches, with threads or on a Dask cluster. It knows nothing of any user interface."""
