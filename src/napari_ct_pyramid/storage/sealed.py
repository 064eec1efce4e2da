"""JSON that carries a checksum of itself: a damaged byte, or a change by another program, is recognized."""

from __future__ import annotations

import json
import re
import zlib
from typing import Any

from napari_ct_pyramid.parsing import parse_json

_EMPTY = b"00000000"
_SEAL = re.compile(rb'"crc32": "([0-9a-f]{8})"\s*}\Z')


def seal(value: dict[str, Any], *, indent: int | None = None) -> bytes:
    """The JSON text of a dict, with the CRC-32 of the text as its last entry, ``crc32``.

    The checksum is that of the text with zeros in place of its own eight digits.
    """
    text = json.dumps({**value, "crc32": _EMPTY.decode()}, indent=indent).encode()
    at = text.rindex(_EMPTY)
    return text[:at] + b"%08x" % zlib.crc32(text) + text[at + len(_EMPTY) :]


def unseal(data: bytes) -> dict[str, Any]:
    """The dict that `seal` wrote, without the checksum.

    Raises
    ------
    ValueError
        If the text has no checksum, or another one.
    """
    found = _SEAL.search(data)
    if not found:
        raise ValueError("it has no checksum of itself")
    start, end = found.span(1)
    if int(found[1], 16) != zlib.crc32(data[:start] + _EMPTY + data[end:]):
        raise ValueError("it is not as it was written")
    value = parse_json(data)
    del value["crc32"]
    return dict(value)
