"""Volumes in TIFF files: the page directory, the slices among the pages, their strips and tiles, and the voxel size.

It knows nothing of other formats.
"""
