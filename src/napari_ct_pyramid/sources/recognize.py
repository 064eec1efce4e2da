"""How files are recognized: the first bytes of formats, and tests for those that do not begin with such bytes.

Needs no other library.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

GZIP = b"\x1f\x8b"
HDF5 = b"\x89HDF\r\n\x1a\n"
COMPOUND_FILE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""Of the files of files in which Zeiss keeps its scans."""

ISQ, AIM_030, AIM_020 = b"CTDATA-HEADER_V1", b"AIMDATA_V030", b"\x14\0\0\0\x8c\0\0\0"
"""Of Scanco's files. AIM of version 020 has no name: its first two sizes are always the same."""

_USER_BLOCK = 2**20  # bytes before the signature of HDF5, at most

VOL_HEADERS = (".vgi", ".vol.info", ".pcr")
"""The endings of files that describe a ``.vol`` file beside them."""

_METAIMAGE = re.compile(rb"\s*(ObjectType|NDims|Comment)\s*=")
_NIFTI_MAGIC = ((344, (b"n+1\0", b"ni1\0")), (4, (b"n+2\0", b"ni2\0")))


def is_hdf5(path: Path, head: bytes) -> bool:
    """Whether it has the signature of HDF5, which may follow a block of the user, as in MATLAB's files."""
    if head.startswith(HDF5):
        return True
    at, size = 512, path.stat().st_size
    with path.open("rb") as file:
        while at + len(HDF5) <= min(size, _USER_BLOCK):
            file.seek(at)
            if file.read(len(HDF5)) == HDF5:
                return True
            at *= 2
    return False


def is_metaimage(path: Path, head: bytes) -> bool:
    """Whether a file is a MetaImage, or the header of one."""
    named = path.suffix.lower() in (".mhd", ".mha") and b"NDims" in head
    return named or _METAIMAGE.match(head) is not None


def is_nifti(_path: Path, head: bytes) -> bool:
    """Whether a file is a NIfTI volume, compressed or not."""
    return nifti_magic(decoded(head)) is not None


def nifti_magic(head: bytes) -> bytes | None:
    """The first three of the bytes that tell which kind of NIfTI a file is, from its decoded beginning."""
    return next((magic[:3] for at, known in _NIFTI_MAGIC for magic in known if head[at : at + 4] == magic), None)


def decoded(head: bytes) -> bytes:
    """The first bytes of a file, decoded if it is compressed with gzip."""
    if not head.startswith(GZIP):
        return head
    try:
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(head, 4096)
    except zlib.error:
        return b""


def is_vol(path: Path, _head: bytes) -> bool:
    """Whether a file is a ``.vol``, or a header of one."""
    return path.name.lower().endswith((".vol", *VOL_HEADERS))
