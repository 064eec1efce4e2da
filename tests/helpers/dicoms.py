"""DICOM files, written by pydicom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

SERIES = "1.2.826.0.1.3680043.8.498.1"
NAMES: dict[str, str] = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big-endian": ExplicitVRBigEndian,
    "RLE": RLELossless,
    "JPEG 2000": JPEG2000Lossless,
    "HTJ2K": HTJ2KLossless,
    "JPEG-LS": JPEGLSLossless,
    "lossless JPEG": JPEGLosslessSV1,
}
"""Transfer syntaxes, by the name that tests give them."""

_ENCODERS: dict[str, Callable[[np.ndarray], bytes]] = {
    "JPEG 2000": lambda image: imagecodecs.jpeg2k_encode(image, level=0, reversible=True, codecformat="j2k"),
    "HTJ2K": lambda image: imagecodecs.htj2k_encode(image),
    "JPEG-LS": lambda image: imagecodecs.jpegls_encode(image.view(f"u{image.itemsize}")),
    "lossless JPEG": lambda image: imagecodecs.jpeg8_encode(
        image.view(f"u{image.itemsize}"), lossless=True, predictor=1, bitspersample=8 * image.itemsize
    ),
}


def dataset(images: np.ndarray, syntax: str = "explicit", **values: Any) -> Dataset:
    """A file with one frame for each image (z, y, x). Values override what is written otherwise; None leaves it out."""
    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == "RLE" else NAMES[syntax]
    kind = CTImageStorage if len(images) == 1 else EnhancedCTImageStorage
    instance = f"{SERIES}.{values.get('InstanceNumber', 1)}"
    found.file_meta.MediaStorageSOPClassUID = found.SOPClassUID = kind
    found.file_meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID = instance
    bits = 8 * images.itemsize
    fields = {
        "SeriesInstanceUID": SERIES,
        "SeriesNumber": 3,
        "SeriesDescription": "Recon 512",
        "Rows": images.shape[1],
        "Columns": images.shape[2],
        "NumberOfFrames": len(images) if len(images) > 1 else None,
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(images.dtype.kind == "i"),
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.03, 0.02],
        **values,
    }
    for name, value in fields.items():
        if value is not None:
            setattr(found, name, value)
    if syntax in _ENCODERS:
        found.PixelData = encapsulate([_ENCODERS[syntax](image) for image in images])
        found["PixelData"].VR = "OB"
    else:
        order = ">" if syntax == "big-endian" else "<"
        found.PixelData = images.astype(images.dtype.newbyteorder(order)).tobytes()
        found["PixelData"].VR = "OW" if images.itemsize > 1 else "OB"
    if syntax == "RLE":
        found.compress(RLELossless)
    return found


def write_series(
    folder: Path,
    volume: np.ndarray,
    syntax: str = "explicit",
    *,
    step: float = 0.05,
    names: Sequence[str] | None = None,
    **values: Any,
) -> Path:
    """A folder with one file for each slice, which are named in another order than they have in space."""
    folder.mkdir(parents=True, exist_ok=True)
    for z, image in enumerate(volume):
        place = {"ImagePositionPatient": [-1.5, 2.5, round(10 + z * step, 6)], "InstanceNumber": z + 1}
        name = names[z] if names else f"IM{(z * 7 + 3) % len(volume):04}.dcm"
        dataset(image[None], syntax, **place, **values).save_as(folder / name, enforce_file_format=True)
    return folder


def write_frames(
    path: Path, volume: np.ndarray, syntax: str = "explicit", *, step: float = 0.05, **values: Any
) -> Path:
    """An enhanced file, whose frames are stored from the last slice to the first."""
    found = dataset(volume[::-1], syntax, ImageOrientationPatient=None, PixelSpacing=None, **values)
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [0.03, 0.02]
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    found.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for z in reversed(range(len(volume))):
        position, group = Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, round(z * step, 6)]
        group.PlanePositionSequence = [position]
        groups.append(group)
    found.PerFrameFunctionalGroupsSequence = groups
    found.save_as(path, enforce_file_format=True)
    return path
