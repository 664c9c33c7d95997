"""What a JPEG file says about itself, and how it is told whether its pixels are all there.

Decoders paint grey what a cut file lacks, and say so only on the error output of the process. But
they stop where a file ends without its end marker. So it is decoded without that marker, and with
so many more bytes that a decoder which looks ahead finds them: what lacks pixels then cannot be
decoded. A file with several scans, as progressive ones have, cannot be decoded like that: it is
read once more to see whether a decoder takes all of it (12 megapixels: 0.3 instead of 0.2 s).

Not noticed are cuts by a few bytes, which cost a few pixels, and cuts just between two scans, after
which a progressive image is coarse everywhere, but whole. Of progressive images with restart
markers, which are rare, about every sixth cut is not noticed.
"""

import io
import re
import struct
from collections.abc import Iterator

from PIL import Image, JpegImagePlugin

from consumer.vision.structure import MAX_SEGMENTS, Container, corrupt

_SIGNATURE_BYTES = 2
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
# A marker that starts a segment or ends the image: no fill byte, stuffed zero or bare marker.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
_MARKED = 0xFF
_SCAN, _END = b"\xda", b"\xd9"
# Kept for the decoder: JFIF and Adobe say which colour transform was used.
_DROPPED = {*range(0xE1, 0xEE), 0xEF, 0xFE}
# Some Kodak cameras write another last byte; browsers accept any.
EXIF_MARK = re.compile(rb"\AExif\0.", re.DOTALL)
_EXIF_MARK_BYTES = 6
# Each scan of a progressive JPEG has every block of the image visited again, and costs 23 bytes.
_MAX_SCANS = 100
_COEFFICIENTS = 64  # of each block and component
# libjpeg looks 7 bytes ahead. Codes of many ones are long: these bytes hold few pixels, if any.
_AHEAD = b"\xfe" * 8
_OTHERS_AHEAD = b"\x6d" * 8
_MORE_AHEAD = (_AHEAD, *(bytes((0xFE, byte, 0xB6)) for byte in range(1, 200, 9)))

Sent = tuple[int, int, bool]
"""A component, the number of a coefficient in its blocks, and whether that is exact."""


def scan_jpeg(data: bytes) -> Container:
    """Only the first image of the file is looked at: an MPO's previews come after its end."""
    container = Container("JPEG")
    container.keep(0, _SIGNATURE_BYTES)
    profile: dict[int, bytes] = {}
    progressive = False
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if marker in _FRAMES:
            depth, height, width, channels = struct.unpack_from(">BHHB", body)
            container.frame(width, height)
            container.bit_depth, container.channels = depth, channels
            progressive = marker in _PROGRESSIVE
        elif marker == 0xE1 and container.exif is None and EXIF_MARK.match(body):
            container.exif = body if len(body) > _EXIF_MARK_BYTES else None
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
            profile[body[12]] = body[14:]
        if marker not in _DROPPED:
            container.keep(start, end)
        if marker == 0xDA:
            several = progressive or body[0] < container.channels
            _keep_scans(data, start, end, container, several=several)
            break
    else:
        raise corrupt("the JPEG has no scan")
    container.icc = b"".join(profile[number] for number in sorted(profile))
    return container


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of each segment before the pixels, start of scan included."""
    position = _SIGNATURE_BYTES
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None or found[1] == _END:
            return
        start = found.start()
        (length,) = struct.unpack_from(">H", data, start + 2)
        position = start + 2 + length
        if length < 2 or position > len(data):
            raise corrupt("a JPEG segment is cut off")
        yield found[1][0], start, position
    raise corrupt("the JPEG has too many segments")


def _keep_scans(
    data: bytes, header: int, start: int, container: Container, *, several: bool
) -> None:
    """Keep what a decoder reads from ``start`` on, and say how that may end.

    ``header``: where the first scan's own segment starts, ``start``: where its pixels do.
    """
    sent = _sent(data[header + 4 : start])
    first, last, ended = _scans(data, start, sent)
    if several and not _is_complete(sent, container.channels, ended=ended):
        raise corrupt("scans of the JPEG are missing")
    end = last if several else first
    while data[end - 1] == _MARKED:  # it would be a marker together with what follows it
        end -= 1
    container.keep(start, end)
    container.several_scans = several
    if several:
        container.endings = (b"\xff\xd9",)
    else:  # without a mark the last pixels could be missing: then these bytes show in the picture
        container.endings = (_AHEAD,) if ended else (_AHEAD, _OTHERS_AHEAD)


def lacks_pixels(bare: bytes) -> bool:
    """Return whether the last scan of a JPEG with several of them, without its end mark, is cut.

    Raises OSError: Pillow refuses the file for another reason.
    """
    with JpegImagePlugin.JpegImageFile(io.BytesIO(bare)) as image:
        image.load_prepare()
        [tile] = image.tile
        # Nothing public says how much of a file a decoder has taken.
        decoder = Image._getdecoder(image.mode, tile.codec_name, tile.args)  # noqa: SLF001
        decoder.setimage(image.im, tile.extents)
        left = bare
        # One that waits for another scan or the end takes all that is no marker. One that waits for
        # pixels keeps what makes up no block, or just by chance nothing.
        for ahead in (b"", *_MORE_AHEAD):
            left += ahead
            taken, failed = decoder.decode(left)
            if failed or taken < 0:
                raise OSError("the decoder refuses the JPEG")
            left = left[taken:]
            if left and ahead:
                return True
    return False


def _is_complete(sent: set[Sent], components: int, *, ended: bool) -> bool:
    """Return whether scans hold all they must: without an end mark, all there can be."""
    begun = {component for component, coefficient, _ in sent if not coefficient}
    exact = [it for it in sent if it[2]]
    return len(begun) >= components and (ended or len(exact) >= _COEFFICIENTS * components)


def _scans(data: bytes, position: int, sent: set[Sent]) -> tuple[int, int, bool]:
    """Return where the first scan ends, where the last one does, and if an end marker follows.

    Adds to ``sent`` what the scans after the first one hold.
    """
    ends: list[int] = []
    in_scan = True
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, position)
        if in_scan:
            ends.append(len(data) if found is None else found.start())
        if found is None or found[1] == _END or found.end() + 2 > len(data):
            return ends[0], ends[-1], found is not None and found[1] == _END
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
        in_scan = found[1] == _SCAN
        if in_scan:
            sent |= _sent(data[found.end() + 2 : position])
        if len(ends) + in_scan > _MAX_SCANS:
            raise corrupt("the JPEG has too many scans")
    raise corrupt("the JPEG has too many segments")


def _sent(header: bytes) -> set[Sent]:
    """Return what a scan with this header holds."""
    components = header[1 : 1 + 2 * header[0] : 2]
    first, last, precision = struct.unpack_from(">BBB", header, 1 + 2 * header[0])
    exact = not precision & 0xF
    return {(it, k, exact) for it in components for k in range(first, min(last, 63) + 1)}
