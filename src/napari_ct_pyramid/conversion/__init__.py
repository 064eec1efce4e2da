"""The jobs: convert, verify and batch, by threads or on a Dask cluster. It knows nothing of who watches."""
