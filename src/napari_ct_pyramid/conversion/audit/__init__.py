"""Verifies an OME-Zarr of any program: metadata, files, voxels, levels. It knows no source, and writes nothing."""
