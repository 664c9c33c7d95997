"""Generated ICC profiles with strong effects."""

import struct

from PIL import ImageCms


def swapped_profile() -> bytes:
    """Return an ICC profile whose red is sRGB's green and the other way round."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    count = struct.unpack_from(">I", profile, 128)[0]
    table = {
        profile[132 + 12 * i : 136 + 12 * i]: profile[136 + 12 * i : 144 + 12 * i]
        for i in range(count)
    }
    swapped = bytearray(profile)
    for i in range(count):
        name = bytes(swapped[132 + 12 * i : 136 + 12 * i])
        other = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(name)
        if other:
            swapped[136 + 12 * i : 144 + 12 * i] = table[other]
    return bytes(swapped).replace("sRGB".encode("utf-16-be"), "Swap".encode("utf-16-be"))


def linear_profile() -> bytes:
    """Return an ICC profile of linear light with the colours, and the name, of sRGB."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    start = profile.index(b"para")
    linear = b"para" + bytes(8) + struct.pack(">i", 65536)
    return profile.replace(profile[start : start + 32], linear.ljust(32, b"\0"))


def grey_profile(gamma: float) -> bytes:
    """Return an ICC profile of one channel with a plain power curve."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061)
    tags = struct.pack(">I", 2) + b"wtpt" + struct.pack(">II", 156, 20)
    tags += b"kTRC" + struct.pack(">II", 176, 16)
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40] = b"\x02\x40\0\0", b"mntrGRAYXYZ ", b"acsp"
    head[68:80] = struct.pack(">iii", 63190, 65536, 54061)
    struct.pack_into(">I", head, 0, 192)
    return bytes(head) + tags + white + curve


def cmyk_profile() -> bytes:
    """Return an ICC profile in which full cyan is a dark red and everything else white."""
    white, red = (255, 128, 128), (138, 208, 195)
    nodes = b"".join(bytes(red if node >= 8 else white) for node in range(16))
    ramp = bytes(range(256))
    unity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + unity + ramp * 4 + nodes + ramp * 3
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40] = b"\x02\x40\0\0", b"prtrCMYKLab ", b"acsp"
    head[68:80] = struct.pack(">iii", 63190, 65536, 54061)
    struct.pack_into(">I", head, 0, 144 + len(table))
    return (
        bytes(head) + struct.pack(">I", 1) + b"A2B0" + struct.pack(">II", 144, len(table)) + table
    )
