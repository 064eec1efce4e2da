"""OME-Zarr volumes in Neuroglancer: the view, and the server under it. It knows neither napari nor the command line."""
