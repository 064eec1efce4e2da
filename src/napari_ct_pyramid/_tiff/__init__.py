"""Reading volumes out of TIFF files, for `source.py`: the page directory, the layout of the voxels, their size."""
