"""Bad qcow2 images: each refusal of `infra.domain.qcow2_header`, and a word of what the user is told."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from tests.images.good import LIMIT, MIB, Good, patched, qemu_img

Made = Callable[[Good], bytes]
L1, REFCOUNTS, CLUSTER = 40, 48, 65536
EXTENSIONS = 112  # where they begin in a v3 header of today
MARK = 1 << 63  # an entry's cluster is used once


def field(offset: int, format: str, value: int, form: str = "qcow2-v3") -> Made:
    """A header that says something else."""
    return lambda good: patched(good[form], offset, struct.pack(">" + format, value))


def extension(kind: int, content: bytes, length: int | None = None) -> Made:
    head = struct.pack(">II", kind, len(content) if length is None else length)
    return lambda good: patched(
        good["qcow2-v3"], EXTENSIONS, head + content.ljust(-(-len(content) // 8) * 8, b"\0") + bytes(400)
    )


def made(*arguments: str) -> Made:
    """By qemu-img itself; ``{}`` is a directory."""

    before: list[bytes] = []

    def make(good: Good) -> bytes:
        if not before:
            target = good.directory / "made.qcow2"
            target.unlink(missing_ok=True)
            qemu_img(*(argument.format(good.directory) for argument in arguments))
            before.append(target.read_bytes())
        return before[0]

    return make


def snapshot(good: Good) -> bytes:
    target = good.directory / "snapshot.qcow2"
    target.write_bytes(good["qcow2-v3"])
    qemu_img("snapshot", "-c", "before", target)
    return target.read_bytes()


def number(content: bytes, offset: int) -> int:
    return int.from_bytes(content[offset : offset + 8])


def l1_entry(entry: int) -> Made:
    return lambda good: patched(good["qcow2-v3"], number(good["qcow2-v3"], L1), struct.pack(">Q", entry))


def l2_entry(entry: int, form: str = "qcow2-v3") -> Made:
    def make(good: Good) -> bytes:
        table = number(good[form], number(good[form], L1)) & ~MARK
        return patched(good[form], table + 80 * 8, struct.pack(">Q", entry))

    return make


def shared_clusters(good: Good) -> bytes:
    """Every cluster of the disk is the same one of the file."""
    image = good["qcow2-v3"]
    table = number(image, number(image, L1)) & ~MARK
    return patched(patched(image, 24, struct.pack(">Q", LIMIT)), table, image[table + 128 : table + 136] * 1024)


def shared_tables(good: Good) -> bytes:
    """A disk of the largest size, all of whose tables are the same one."""
    image, size = good["qcow2-v3"], 2**40
    l1 = number(image, L1)
    return patched(
        patched(patched(image, 24, struct.pack(">Q", size)), 36, struct.pack(">I", 2048)), l1, image[l1 : l1 + 8] * 2048
    )


def cut(form: str, at: Callable[[bytes], int]) -> Made:
    return lambda good: good[form][: at(good[form])]


BAD: dict[str, tuple[Made, str]] = {
    "backing file": (
        made("create", "-f", "qcow2", "-b", "{}/gpt.raw", "-F", "raw", "{}/made.qcow2"),
        "difference to a backing file",
    ),
    "backing file of v2": (
        made("create", "-f", "qcow2", "-o", "compat=0.10", "-b", "{}/gpt.raw", "-F", "raw", "{}/made.qcow2"),
        "difference to a backing file",
    ),
    "backing file's place only": (field(8, "Q", 400), "difference to a backing file"),
    "backing file's length only": (field(16, "I", 9), "difference to a backing file"),
    "backing format only": (extension(0xE2792ACA, b"raw"), "difference to a backing file"),
    "data file": (
        made("create", "-f", "qcow2", "-o", "data_file={}/data.raw", "{}/made.qcow2", "4M"),
        "keeps its data in another file",
    ),
    "data file, raw": (
        made("create", "-f", "qcow2", "-o", "data_file={}/data.raw,data_file_raw=on", "{}/made.qcow2", "4M"),
        "keeps its data in another file",
    ),
    "data file without a name": (field(72, "Q", 4), "keeps its data in another file"),
    "data file's name only": (extension(0x44415441, b"/etc/shadow"), "keeps its data in another file"),
    "data file named in JSON": (
        extension(0x44415441, b'json:{"driver":"raw","file":{"driver":"nbd","host":"198.51.100.7"}}'),
        "keeps its data in another file",
    ),
    "raw data file by autoclear only": (field(88, "Q", 2), "keeps its data in another file"),
    "dirty": (field(72, "Q", 1), "not closed"),
    "corrupt": (field(72, "Q", 2), "marked as corrupt"),
    "first unknown feature": (field(72, "Q", 1 << 5), "features that are not known"),
    "last unknown feature": (field(72, "Q", 1 << 63), "features that are not known"),
    "unknown beside known features": (field(72, "Q", 1 << 17, "qcow2-subclusters"), "features that are not known"),
    "internal snapshot": (snapshot, "internal snapshots"),
    "number of snapshots": (field(60, "I", 2**32 - 1), "internal snapshots"),
    "encrypted by AES": (field(32, "I", 1), "encrypted"),
    "encrypted by LUKS": (field(32, "I", 2), "encrypted"),
    "encryption's header only": (extension(0x0537BE77, bytes(16)), "encrypted"),
    "encrypted in an unknown way": (field(32, "I", 9), "encrypted"),
    "version 1": (field(4, "I", 1), "version 1"),
    "version 4": (field(4, "I", 4), "version 4"),
    "clusters too small": (field(20, "I", 8), "clusters of 2^8 bytes"),
    "clusters too large": (field(20, "I", 22), "clusters of 2^22 bytes"),
    "clusters beyond sense": (field(20, "I", 2**32 - 1), "clusters of"),
    "header too short": (field(100, "I", 96), "header has 96 bytes"),
    "header of an odd length": (field(100, "I", 108), "header has 108 bytes"),
    "header of tomorrow": (field(100, "I", 120), "header has 120 bytes"),
    "header without end": (field(100, "I", 2**31), "header has"),
    "unknown extension": (extension(0x12345678, b"what is it"), "header extension 0x12345678"),
    "extension twice": (lambda good: twice(good), "header extension"),
    "extension over the cluster": (extension(0x6803F857, b"", 2**32 - 1), "longer than the header's cluster"),
    "unknown compression": (field(104, "B", 2, "qcow2-zstd"), "compressed in a way"),
    "zstd that is not told": (field(104, "B", 1), "compressed in a way"),
    "compression told and not there": (field(72, "Q", 8), "compressed in a way"),
    "reference counts too wide": (field(96, "I", 7), "reference counts of 2^7 bits"),
    "no size": (field(24, "Q", 0), "its size is 0"),
    "half a sector": (field(24, "Q", 6 * MIB + 1), "not a multiple of 512"),
    "larger than allowed": (field(24, "Q", LIMIT + 512), "at most"),
    "larger than anything": (field(24, "Q", 2**64 - 512), "at most"),
    "no L1 table": (field(36, "I", 0), "too short"),
    "L1 table too short": (field(24, "Q", 64 * MIB, "qcow2-512"), "too short"),
    "L1 table too large": (field(36, "I", 2**32 - 1), "larger than any disk needs"),
    "L1 table over the end": (field(36, "I", 4 * 2**20), "cut off or damaged: the L1 table"),
    "L1 table past the end": (field(40, "Q", 2**40), "cut off or damaged: the L1 table"),
    "L1 table past all bounds": (field(40, "Q", 2**64 - CLUSTER), "cut off or damaged: the L1 table"),
    "L1 table in the header": (field(40, "Q", 0), "where it cannot be"),
    "L1 table not aligned": (field(40, "Q", CLUSTER + 512), "where it cannot be"),
    "no reference counts": (field(56, "I", 0), "no table of reference counts"),
    "reference counts too many": (field(56, "I", 2**32 - 1), "larger than any disk needs"),
    "reference counts past the end": (field(48, "Q", 2**40), "table of reference counts"),
    "L2 table past the end": (l1_entry(MARK | 2**40), "cut off or damaged: an L2 table"),
    "L2 table not aligned": (l1_entry(MARK | 512), "no place of a table"),
    "L2 table of an unknown kind": (l1_entry(1 << 60), "no place of a table"),
    "cluster past the end": (l2_entry(MARK | 2**40), "cut off"),
    "cluster not aligned": (l2_entry(MARK | 512), "no place of a cluster"),
    "compressed cluster past the end": (l2_entry(1 << 62 | 2**40, "qcow2-zlib"), "cut off"),
    "compressed cluster over the end": (l2_entry((1 << 62) - 1 | 1 << 62, "qcow2-zlib"), "cut off"),
    "one cluster many times": (shared_clusters, "more data than the file can hold"),
    "one table many times": (shared_tables, "at most"),
    "cut off in the header": (cut("qcow2-v3", lambda image: 60), "cut off"),
    "cut off in the longer header": (cut("qcow2-v3", lambda image: 90), "cut off"),
    "cut off before the tables": (cut("qcow2-v3", lambda image: CLUSTER), "cut off"),
    "cut off in the middle": (cut("qcow2-v3", lambda image: len(image) // 2), "cut off"),
    "cut off within the last cluster": (cut("qcow2-v3", lambda image: len(image) - 1), "cut off"),
    "cut off before the last cluster": (
        cut("qcow2-v3", lambda image: (len(image) - 1) // CLUSTER * CLUSTER),
        "cut off",
    ),
    "compressed, cut off": (cut("qcow2-zlib", lambda image: len(image) - CLUSTER), "cut off"),
    "also an MBR": (lambda good: patched(good["qcow2-v3"], 510, b"\x55\xaa"), "a raw disk with an MBR"),
    "also a GPT": (lambda good: patched(good["qcow2-v3"], 512, b"EFI PART"), "a raw disk with a GPT"),
    "also a CD": (lambda good: patched(good["qcow2-v3"], 32769, b"CD001"), "CD or DVD"),
    "also a DVD": (lambda good: patched(good["qcow2-v3"], 34817, b"NSR02"), "CD or DVD"),
    "also a VHD": (lambda good: good["qcow2-v3"] + b"conectix".ljust(512, b"\0"), "VHD"),
    "also a DMG": (lambda good: good["qcow2-v3"] + b"koly".ljust(512, b"\0"), "DMG"),
    "also a tar": (lambda good: patched(good["qcow2-v3"], 257, b"ustar"), "tar archive"),
    "also a VDI": (lambda good: patched(good["qcow2-v3"], 64, b"\x7f\x10\xda\xbe"), "VDI"),
}


def twice(good: Good) -> bytes:
    one = struct.pack(">II", 0x6803F857, 0)
    return patched(good["qcow2-v3"], EXTENSIONS, one + one + bytes(400))


def data_file_of(path: Path, secret: Path, size: int) -> None:
    """A qcow2 all of whose data is another file's, from its first byte on."""
    qemu_img(
        *("create", "-f", "qcow2", "-o", f"data_file={secret},data_file_raw=on,preallocation=metadata"), path, size
    )
