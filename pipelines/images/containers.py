"""Image files as bytes: which format they are of, whether they end where they should, and what their names declare."""

from __future__ import annotations

import zlib
from enum import IntEnum

View = memoryview


class ImageFormat(IntEnum):
    """Formats that are decoded, all by decoders within Pillow; the value is the code in tables."""

    NONE = 0  # no format: a refused image, or a name that declares none
    JPEG = 1
    PNG = 2
    WEBP = 3
    GIF = 4
    BMP = 5
    TIFF = 6


EXTENSIONS = {
    "jpg": ImageFormat.JPEG,
    "jpeg": ImageFormat.JPEG,
    "jpe": ImageFormat.JPEG,
    "jfif": ImageFormat.JPEG,
    "mpo": ImageFormat.JPEG,  # a JPEG with further pictures behind the first
    "png": ImageFormat.PNG,
    "apng": ImageFormat.PNG,
    "webp": ImageFormat.WEBP,
    "gif": ImageFormat.GIF,
    "bmp": ImageFormat.BMP,
    "dib": ImageFormat.BMP,
    "tif": ImageFormat.TIFF,
    "tiff": ImageFormat.TIFF,
}
"""Extensions, and what follows ``image/`` in media types, with the format that they declare."""

_SIGNATURES = (
    (b"\xff\xd8\xff", ImageFormat.JPEG),
    (b"\x89PNG\r\n\x1a\n", ImageFormat.PNG),
    (b"GIF87a", ImageFormat.GIF),
    (b"GIF89a", ImageFormat.GIF),
    (b"BM", ImageFormat.BMP),
    (b"II*\0", ImageFormat.TIFF),
    (b"MM\0*", ImageFormat.TIFF),
    (b"II+\0", ImageFormat.TIFF),
    (b"MM\0+", ImageFormat.TIFF),
)
_NOT_DECODED = (
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\x01\0", "Windows icon"),
    (b"\0\0\0\x0cjP  \r\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"DDS ", "DirectDraw surface"),
    (b"<svg", "SVG"),
    (b"qoif", "QOI"),
    (b"P1\n", "PBM"),
    (b"P4\n", "PBM"),
    (b"P2\n", "PGM"),
    (b"P5\n", "PGM"),
    (b"P3\n", "PPM"),
    (b"P6\n", "PPM"),
)
_ISO_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF"}


def format_of(data: View) -> ImageFormat | None:
    """The format by the first bytes; None where they are those of no format that is decoded."""
    head = bytes(data[:12])
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ImageFormat.WEBP
    return next((name for signature, name in _SIGNATURES if head.startswith(signature)), None)


def name_of_other_format(data: View) -> str | None:
    """The name of an image format that is known and not decoded, by the first bytes; None for anything else."""
    head = bytes(data[:256])
    if head[4:8] == b"ftyp":
        return _ISO_BRANDS.get(head[8:12])
    if head.lstrip().startswith(b"<?xml") and b"<svg" in head:
        return "SVG"
    return next((name for signature, name in _NOT_DECODED if head.startswith(signature)), None)


def declared_format(name: str | None) -> ImageFormat:
    """What a file's name, a bare extension or a media type declares; `ImageFormat.NONE` where it declares nothing.

    ``a/b.JPG``, ``.jpg``, ``jpg`` and ``image/jpeg`` are all JPEG.
    """
    if not name:
        return ImageFormat.NONE
    last = name.lower().rpartition("/")[2]
    return EXTENSIONS.get(last.rpartition(".")[2], ImageFormat.NONE)


def damage(data: View, format_: ImageFormat) -> tuple[bool, str] | None:
    """Damage that shows in the structure of the file, which decoders pass over: (whether it is cut short, details).

    1. PNG: every chunk's checksum, and that the last is IEND. (Pillow's decoder skips the checksums of pixel data, and
       stops once it has all pixels.)
    2. GIF: that the blocks lead to the trailer. (Pillow takes a cut between two pictures for the end.)
    3. WebP: that the file is as long as its first chunk says.

    None where nothing is wrong, and for formats that have no such structure.
    """
    if format_ is ImageFormat.PNG:
        return _png_damage(data)
    if format_ is ImageFormat.GIF:
        return _gif_damage(data)
    if format_ is ImageFormat.WEBP:
        stated = int.from_bytes(data[4:8], "little") + 8
        return (True, f"{len(data):,} bytes of {stated:,}") if len(data) < stated else None
    return None


def is_cut(data: View, format_: ImageFormat) -> bool:
    """Whether a file that could not be decoded looks cut short rather than changed.

    JPEG: no end marker in its last kilobyte. BMP: shorter than it says. Others: never, or see `damage`.
    """
    if format_ is ImageFormat.JPEG:
        return b"\xff\xd9" not in bytes(data[-1024:])
    return format_ is ImageFormat.BMP and int.from_bytes(data[2:6], "little") > len(data)


def _png_damage(data: View) -> tuple[bool, str] | None:
    position = 8
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = bytes(data[position + 4 : position + 8])
        end = position + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return False, f"the checksum of the chunk {kind.decode('ascii', 'backslashreplace')!r} is wrong"
        if kind == b"IEND":
            return None
        position = end + 4
    return True, "the file ends before its last chunk, IEND"


def _gif_damage(data: View) -> tuple[bool, str] | None:
    def table(flags: int) -> int:
        return 3 << ((flags & 7) + 1) if flags & 128 else 0

    cut = True, "the file ends before its trailer"
    if len(data) < 13:
        return cut
    position = 13 + table(data[10])
    while position < len(data):
        kind = data[position]
        if kind == 0x3B:
            return None
        if kind == 0x21:
            position += 2
        elif kind == 0x2C:
            if position + 10 > len(data):
                return cut
            position += 11 + table(data[position + 9])
        else:
            return False, f"byte {position:,} begins no block"
        while position < len(data) and data[position]:
            position += 1 + data[position]
        position += 1
    return cut
