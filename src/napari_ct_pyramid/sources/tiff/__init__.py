"""Volumes in TIFF files: the pages, the slices among the pages, their strips and tiles, and the voxel size.

It knows nothing of other formats.
"""
