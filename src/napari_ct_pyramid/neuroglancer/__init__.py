"""Shows OME-Zarr volumes in Neuroglancer: the view, and the local server. It uses neither napari nor the terminal."""
