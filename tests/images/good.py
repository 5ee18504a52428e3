"""Good images: a small partitioned disk in every form that is accepted, made by sfdisk and qemu-img."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

MIB = 2**20
SIZE = 6 * MIB
LIMIT = 64 * MIB
SMALL = 2**17  # bytes of a disk for which the tools make the smallest images
GPT = "label: gpt\nstart={start}, size={sectors}, type=L\n"
MBR = "label: dos\nstart={start}, size={sectors}, type=83, bootable\n"
FORMS = {
    "qcow2-v2": ("qcow2", "-o", "compat=0.10"),
    "qcow2-v3": ("qcow2",),
    "qcow2-zlib": ("qcow2", "-c"),
    "qcow2-v2-zlib": ("qcow2", "-c", "-o", "compat=0.10"),
    "qcow2-zstd": ("qcow2", "-c", "-o", "compression_type=zstd"),
    "qcow2-512": ("qcow2", "-o", "cluster_size=512"),
    "qcow2-2m": ("qcow2", "-o", "cluster_size=2M"),
    "qcow2-subclusters": ("qcow2", "-o", "extended_l2=on"),
    "qcow2-lazy": ("qcow2", "-o", "lazy_refcounts=on"),
    "qcow2-narrow": ("qcow2", "-o", "refcount_bits=1"),
    "qcow2-metadata": ("qcow2", "-o", "preallocation=metadata"),
    "vmdk-sparse": ("vmdk", "-o", "subformat=monolithicSparse"),
    "vmdk-stream": ("vmdk", "-o", "subformat=streamOptimized"),
    "vmdk-zeroed": ("vmdk", "-o", "subformat=monolithicSparse,zeroed_grain=on"),
}
VARIANTS = {"qcow2-v2": "v2", "qcow2-v2-zlib": "v2", "vmdk-stream": "streamOptimized", "vmdk-footer": "streamOptimized"}


class Good:
    """``forms``: the GPT disk by the name of its form, and the two raw ones, "raw-gpt" and "raw-mbr".

    No dataclass: hypothesis would write all of it into its notes.
    """

    def __init__(self, directory: Path, forms: dict[str, bytes]) -> None:
        self.directory = directory
        self.forms = forms

    def __getitem__(self, name: str) -> bytes:
        return self.forms[name]

    def disk(self, name: str) -> bytes:
        """What is inside."""
        return self["raw-mbr" if name == "raw-mbr" else "raw-gpt"]


def qemu_img(*arguments: object) -> None:
    subprocess.run(("qemu-img", *map(str, arguments)), check=True, capture_output=True)


def patched(content: bytes, offset: int, new: bytes) -> bytes:
    """Some bytes replaced; from the end when ``offset`` is negative."""
    offset += len(content) if offset < 0 else 0
    return content[:offset].ljust(offset, b"\0") + new + content[offset + len(new) :]


def make_good(directory: Path, size: int = SIZE) -> Good:
    forms = {"raw-gpt": _raw(directory / "gpt.raw", GPT, size), "raw-mbr": _raw(directory / "mbr.raw", MBR, size)}
    for name, (format, *options) in FORMS.items():
        made = directory / name
        qemu_img("convert", "-f", "raw", "-O", format, *options, directory / "gpt.raw", made)
        forms[name] = made.read_bytes()
    forms["vmdk-footer"] = with_footer(forms["vmdk-stream"])
    return Good(directory, forms)


def with_footer(stream: bytes) -> bytes:
    """A streamOptimized VMDK as VMware writes it: the place of the grain directory stands at the end."""
    marker = struct.pack("<QII496x", 1, 0, 3)
    return (
        patched(stream, 56, b"\xff" * 8).ljust(-(-len(stream) // 512) * 512, b"\0") + marker + stream[:512] + bytes(512)
    )


def _raw(path: Path, table: str, size: int) -> bytes:
    start, sectors = (2048, 8192) if size >= SIZE else (40, 64)
    path.write_bytes(bytes(size))
    text = table.format(start=start, sectors=sectors)
    subprocess.run(("sfdisk", "--quiet", str(path)), input=text, text=True, check=True, capture_output=True)
    content, draw = bytearray(path.read_bytes()), random.Random(7)
    for place, data in ((start * 512, draw.randbytes(300_000)), (3 * MIB, b"the same again, " * 12_500)):
        data = data[: min(sectors * 512, max(0, size - place))]
        content[place : place + len(data)] = data
    path.write_bytes(content)
    return bytes(content)
