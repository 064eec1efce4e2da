"""Verifies an OME-Zarr of any program: its metadata, files, voxels and levels. It knows no source, and writes nothing."""
