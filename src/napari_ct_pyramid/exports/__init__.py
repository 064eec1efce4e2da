"""Volumes out again: TIFF, slices, MetaImage, NRRD and OME-Zarr of any level or part. It knows no user interface."""
