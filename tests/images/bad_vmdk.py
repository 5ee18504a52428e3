"""Bad VMDK images: each refusal of `infra.domain.vmdk_header` and its descriptor, and a word of what is told."""

from __future__ import annotations

import struct
from collections.abc import Callable

from tests.images.good import LIMIT, SIZE, Good, patched, qemu_img

Made = Callable[[Good], bytes]
SECTORS = SIZE // 512
DESCRIPTOR_SIZE = 20 * 512
PLAIN = f"""# Disk DescriptorFile
version=1
CID=12345678
parentCID=ffffffff
createType="monolithicSparse"

# Extent description
RW {SECTORS} SPARSE "disk.vmdk"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "4"
ddb.adapterType = "ide"
"""
FLAT = PLAIN.replace("monolithicSparse", "monolithicFlat").replace('SPARSE "disk.vmdk"', 'FLAT "/etc/shadow" 0')


def field(offset: int, format: str, value: int, form: str = "vmdk-sparse") -> Made:
    return lambda good: patched(good[form], offset, struct.pack("<" + format, value))


def described(text: str | bytes, form: str = "vmdk-sparse") -> Made:
    """With another descriptor."""
    content = text.encode() if isinstance(text, str) else text
    return lambda good: patched(good[form], 512, content.ljust(DESCRIPTOR_SIZE, b"\0"))


def line(new: str, old: str = "#DDB") -> Made:
    """With a line in its descriptor that is not there otherwise."""
    assert old in PLAIN
    return described(PLAIN.replace(old, new))


def backed(good: Good) -> bytes:
    target = good.directory / "backed.vmdk"
    target.unlink(missing_ok=True)
    qemu_img("create", "-f", "vmdk", "-b", good.directory / "vmdk-sparse", "-F", "vmdk", target)
    return target.read_bytes()


def place(good: Good, form: str = "vmdk-sparse") -> int:
    """Of the grain directory."""
    return int.from_bytes(good[form][56:64], "little") * 512


def directory_entry(sector: int) -> Made:
    return lambda good: patched(good["vmdk-sparse"], place(good), struct.pack("<I", sector))


def grain(sector: int) -> Made:
    def make(good: Good) -> bytes:
        image = good["vmdk-sparse"]
        table = int.from_bytes(image[place(good) :][:4], "little") * 512
        return patched(image, table + 40, struct.pack("<I", sector))

    return make


def shared_grains(good: Good) -> bytes:
    image = good["vmdk-sparse"]
    table = int.from_bytes(image[place(good) :][:4], "little") * 512
    return patched(image, table, image[table : table + 4] * 96)


def in_footer(offset: int, new: bytes) -> Made:
    return lambda good: patched(good["vmdk-footer"], offset - 1024, new)


BAD: dict[str, tuple[Made, str]] = {
    "flat, as a descriptor": (lambda good: FLAT.encode(), "only the descriptor of a VMDK"),
    "descriptor without its first comment": (
        lambda good: FLAT.split("\n", 1)[1].encode(),
        "only the descriptor of a VMDK",
    ),
    "descriptor after comments": (lambda good: f"# one\n\n#two\n{FLAT}".encode(), "only the descriptor of a VMDK"),
    "descriptor of many parts": (
        lambda good: PLAIN.replace("RW ", 'RW 2048 SPARSE "disk-s001.vmdk"\nRW ').encode(),
        "only the descriptor of a VMDK",
    ),
    "descriptor of large letters": (lambda good: FLAT.upper().encode(), "only the descriptor of a VMDK"),
    "COWD": (lambda good: b"COWD" + good["vmdk-sparse"][4:], "VMDK of an old kind"),
    "backing file": (backed, "difference to another image"),
    "no data of its own": (field(12, "Q", 0), "its size is 0"),
    "no data of its own, and flat": (
        lambda good: patched(described(FLAT)(good), 12, struct.pack("<Q", 0)),
        "holds no data itself",
    ),
    "flat": (described(FLAT), "in other files or on a device"),
    "flat part": (described(FLAT.replace("monolithicFlat", "monolithicSparse")), "a part of the kind FLAT"),
    **{
        f"of the kind {kind}": (line(f'createType="{kind}"', 'createType="monolithicSparse"'), "in other files or on")
        for kind in ("vmfs", "vmfsSparse", "twoGbMaxExtentSparse", "fullDevice", "vmfsRawDeviceMap", "custom", "")
    },
    **{
        f"part of the kind {kind}": (line(f'{kind} "disk.vmdk"', 'SPARSE "disk.vmdk"'), f"a part of the kind {kind}")
        for kind in ("VMFS", "VMFSSPARSE", "ZERO", "VMFSRDM", "SESPARSE")
    },
    "two parts": (line(f'RW {SECTORS} SPARSE "more.vmdk"'), "consists of 2 parts"),
    "no part": (line("# none", f'RW {SECTORS} SPARSE "disk.vmdk"'), "consists of 0 parts"),
    "part with a path": (line('"/etc/shadow"', '"disk.vmdk"'), "names a file as its part"),
    "part with a relative path": (line('"../disk.vmdk"', '"disk.vmdk"'), "names a file as its part"),
    "part with a Windows path": (line('"C:\\disk.vmdk"', '"disk.vmdk"'), "names a file as its part"),
    "part without quotes": (line("/etc/shadow", '"disk.vmdk"'), "names a file as its part"),
    "part with a JSON name": (line('"json:{}"', '"disk.vmdk"'), "names a file as its part"),
    "part without access": (line("NOACCESS", "RW"), "names a file as its part"),
    "part of another size": (line(f"RW {SECTORS - 1} ", f"RW {SECTORS} "), "different sizes"),
    "delta": (line("parentCID=12345678", "parentCID=ffffffff"), "difference to another image"),
    "native snapshot": (line('isNativeSnapshot="yes"'), "difference to another image"),
    "hint of a parent": (line('parentFileNameHint="/etc/shadow"'), "difference to another image"),
    "hint of a parent in a comment": (line('# parentFileNameHint="/etc/shadow"'), "difference to another image"),
    "hint of a parent within a line": (line('ddb.comment = "parentFileNameHint="'), "difference to another image"),
    "tracked changes": (line('changeTrackPath="disk-ctk.vmdk"'), "names another file"),
    "encrypted": (line('encryption.keySafe = "vmware:key/list/"'), "encrypted"),
    "unknown field": (line('secondFile="x"'), "line that is not accepted"),
    "field twice": (line("parentCID=ffffffff\nparentCID=ffffffff", "parentCID=ffffffff"), "line that is not accepted"),
    "unknown line": (line("!include other"), "line that is not accepted"),
    "text after the text": (
        described(PLAIN.encode() + b'\0parentFileName="x"'),
        "does not end where it should",
    ),
    "text without end": (described(PLAIN.encode().ljust(DESCRIPTOR_SIZE, b"\n")), "does not end where it should"),
    "not text": (described(PLAIN.encode() + b"\xff\xfe"), "is not text"),
    "control characters": (line("#\x1b[2J"), "is not text"),
    "no descriptor": (field(28, "Q", 0), "descriptor is not where"),
    "descriptor elsewhere": (field(28, "Q", 2), "descriptor is not where"),
    "descriptor without size": (field(36, "Q", 0), "descriptor is not where"),
    "descriptor without bounds": (field(36, "Q", 2**63), "descriptor is not where"),
    "version 0": (field(4, "I", 0), "version 0"),
    "version 4": (field(4, "I", 4), "version 4"),
    "unknown flag": (field(8, "I", 0x103), "features that are not known"),
    "stream that is not compressed": (field(8, "I", 3, "vmdk-stream"), "says otherwise"),
    "stream of unknown compression": (field(77, "H", 2, "vmdk-stream"), "says otherwise"),
    "sparse that is compressed": (field(77, "H", 1), "says otherwise"),
    "changed by a transfer": (field(73, "I", 0x0A0D0A0A), "transfer as text"),
    "not closed": (field(72, "B", 1), "not closed"),
    "something in the header": (field(300, "B", 1), "header holds what is not known"),
    "also an MBR": (field(510, "H", 0xAA55), "a raw disk with an MBR"),
    "also a GPT": (described(b"EFI PART"), "a raw disk with a GPT"),
    "also a VHD": (lambda good: good["vmdk-sparse"] + b"conectix".ljust(512, b"\0"), "VHD"),
    "no grain size": (field(20, "Q", 0), "grains of 0 sectors"),
    "odd grain size": (field(20, "Q", 127), "grains of 127 sectors"),
    "grains without bounds": (field(20, "Q", 2**63), "do not exist"),
    "tables of another size": (field(44, "I", 2**32 - 1), "do not exist"),
    "larger than allowed": (
        lambda good: patched(
            described(PLAIN.replace(str(SECTORS), str(LIMIT // 512 + 1)))(good), 12, struct.pack("<Q", LIMIT // 512 + 1)
        ),
        "at most",
    ),
    "larger than anything": (
        lambda good: patched(
            described(PLAIN.replace(str(SECTORS), str(2**64 - 1)))(good), 12, struct.pack("<Q", 2**64 - 1)
        ),
        "at most",
    ),
    "no directory": (field(56, "Q", 0), "no grain directory"),
    "directory past the end": (field(56, "Q", 2**40), "cut off or damaged: the grain directory"),
    "second directory past the end": (field(48, "Q", 2**40), "cut off or damaged: the second grain directory"),
    "table past the end": (directory_entry(2**31), "cut off or damaged: a grain table"),
    "grain past the end": (grain(2**31), "cut off"),
    "one grain many times": (shared_grains, "more data than the file can hold"),
    "cut off in the header": (lambda good: good["vmdk-sparse"][:300], "cut off"),
    "cut off in the descriptor": (lambda good: good["vmdk-sparse"][:1024], "cut off"),
    "cut off in the middle": (lambda good: good["vmdk-sparse"][: len(good["vmdk-sparse"]) // 2], "cut off"),
    "cut off within the last grain": (lambda good: good["vmdk-sparse"][:-512], "cut off"),
    "stream, cut off within the last grain": (lambda good: good["vmdk-stream"].rstrip(b"\0")[:-1], "cut off"),
    "stream, cut off": (lambda good: good["vmdk-stream"][: len(good["vmdk-stream"]) // 2], "cut off"),
    "footer cut off": (lambda good: good["vmdk-footer"][:-512], "footer of the VMDK is missing"),
    "footer cut within a sector": (lambda good: good["vmdk-footer"][:-1], "footer of the VMDK is missing"),
    "footer that is none": (in_footer(0, b"KDMX"), "is none"),
    "footer with another size": (in_footer(12, struct.pack("<Q", 8)), "do not agree"),
    "footer with another descriptor": (in_footer(28, struct.pack("<Q", 8)), "do not agree"),
    "footer that has no directory either": (in_footer(56, b"\xff" * 8), "no grain directory"),
    "footer whose directory is past the end": (in_footer(56, struct.pack("<Q", 2**40)), "the grain directory"),
}
