"""Shows OME-Zarr volumes in Neuroglancer: the view, and the local server. It knows neither napari nor the terminal."""
