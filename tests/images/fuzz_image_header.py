"""Inputs that nobody thought of, for `identify`: atheris draws them, guided by which lines they reach.

`python -m tests.images.fuzz_image_header SEEDS [libFuzzer's options]`. Anything but ImageRefused that comes out is a
finding; so are an input that takes long or much memory, and one accepted that breaks a promise. The checksums of a GPT
are made right in each second input, since no drawing gets past them.
"""

from __future__ import annotations

import struct
import sys
import zlib

import atheris

with atheris.instrument_imports(include=["infra.domain"]):
    from infra.domain import image_header
    from infra.domain.errors import ImageRefused

from tests.images.sources import Bytes

LIMIT = 2**40
LARGEST_READ = 2**20
CLAIMS: tuple[image_header.Format | None, ...] = (None, "qcow2", "raw", "vmdk")


def try_one(content: bytes) -> None:
    """The first byte says how; the rest is the image."""
    if not content:
        return
    how, image = content[0], content[1:]
    source = Bytes(signed(image) if how & 1 else image)
    claimed = CLAIMS[how >> 1 & 3]
    try:
        found = image_header.identify(source, LIMIT, claimed)
    except ImageRefused:
        return
    finally:
        assert source.largest <= LARGEST_READ, source.largest
    assert 0 < found.virtual_size <= LIMIT
    assert found.virtual_size % 512 == 0
    assert claimed in (None, found.format)


def signed(image: bytes) -> bytes:
    """The image with the checksums that its GPT should have, if it has one."""
    if image[512:520] != b"EFI PART" or len(image) < 1024:
        return image
    table, count, width = struct.unpack_from("<QII", image, 512 + 72)
    entries = image[table * 512 : table * 512 + min(count * width, 2**20)]
    image = image[:600] + struct.pack("<I", zlib.crc32(entries)) + image[604:]
    length = min(struct.unpack_from("<I", image, 524)[0], 512)
    header = (image[512:528] + bytes(4) + image[532:1024])[:length]
    return image[:528] + struct.pack("<I", zlib.crc32(header)) + image[532:]


def main() -> None:
    atheris.Setup(sys.argv, try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
