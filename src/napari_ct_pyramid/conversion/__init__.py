"""The jobs: convert, verify and batches of them, with threads of this process or on a Dask cluster."""
