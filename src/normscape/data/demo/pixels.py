"""Integer picture arithmetic, and a PNG writer whose bytes depend on nothing but the pixels."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
"""A grey picture (H, W), 0 to 255."""

Share = NDArray[np.int64]
"""How much of each pixel (H, W) is covered, 0 to 256."""

_STORED_BLOCK = 65535


def write_png(path: Path, picture: Grey) -> None:
    """Write an 8-bit grey PNG with stored (uncompressed) blocks.

    Deflate leaves the compressor free, so compressed bytes differ between builds of zlib; stored
    blocks do not.
    """
    height, width = picture.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)  # column 0: filter type "none"
    rows[:, 1:] = picture
    raw = rows.tobytes()
    stream = bytearray(b"\x78\x01")
    for start in range(0, len(raw), _STORED_BLOCK):
        block = raw[start : start + _STORED_BLOCK]
        last = start + _STORED_BLOCK >= len(raw)
        stream += struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block
    stream += struct.pack(">I", zlib.adler32(raw))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", bytes(stream))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def blend(picture: Grey, target: NDArray[np.integer], share: Share) -> Grey:
    """Return `picture` with `share` of each pixel replaced by `target`, rounded to nearest."""
    mixed = picture.astype(np.int64) * (256 - share) + target.astype(np.int64) * share
    return clip((mixed + 128) >> 8)


def box_blur(picture: NDArray[np.integer], radius: int) -> Grey:
    """Return the mean over (2 `radius` + 1)² pixels, rounded to nearest; edges are repeated."""
    side = 2 * radius + 1
    total = np.pad(picture.astype(np.int64), radius, mode="edge")
    for axis in (0, 1):
        sums = np.cumsum(total, axis=axis)
        sums = np.concatenate([np.zeros_like(sums.take([0], axis)), sums], axis=axis)
        count = sums.shape[axis]
        total = sums.take(range(side, count), axis) - sums.take(range(count - side), axis)
    return clip((2 * total + side * side) // (2 * side * side))


def relight(picture: Grey, gain_percent: int, offset: int) -> Grey:
    """Return `picture` * `gain_percent` / 100 + `offset`, rounded and clipped."""
    return clip((picture.astype(np.int64) * gain_percent + 50) // 100 + offset)


def clip(values: NDArray[np.integer]) -> Grey:
    """Return `values` limited to 0 … 255 as a picture."""
    return np.asarray(np.clip(values, 0, 255), dtype=np.uint8)
