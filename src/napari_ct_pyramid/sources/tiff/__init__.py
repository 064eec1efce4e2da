"""Volumes in TIFF files: the page directory, the layout of the voxels, and their size."""
