"""Volumes in HDF5 and NeXus files: the dataset that is the volume, links to other files, chunks, and the voxel size.

h5py lets only one thread work at a time. So this package asks h5py only for the positions of plain rows and of chunks
whose filters it knows, and reads and decodes these itself, with all threads. h5py reads everything else.
"""
