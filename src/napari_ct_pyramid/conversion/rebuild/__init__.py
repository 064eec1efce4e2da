"""Makes coarser levels of an OME-Zarr of any program new, in place. It knows no source, and never writes level 0."""
