"""Volumes in DICOM files: the headers of the frames, their order in space, and their pixels.

It knows nothing of other formats. PS3.3 and the like are parts of the DICOM standard:
https://www.dicomstandard.org/current
"""
