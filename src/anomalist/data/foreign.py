"""Files that hold images and aren't read: what each is, and what to save instead."""

from __future__ import annotations

from pathlib import Path

RAW = (
    "is a camera's raw file, whose colours aren't made yet: develop it to 16-bit TIFF, all images"
    " with the same settings, or let the camera save JPEG"
)
_DICOM = "is a DICOM file: export its frames as 16-bit TIFF or PNG, all with the same window"
_HEIF = "is a HEIF image, which takes an extra: pip install 'anomalist[heif]'"
_PNG = "save it as PNG or TIFF"

#: What files with these suffixes are, and what to do; the rest of a sentence.
FOREIGN_SUFFIXES = {
    **dict.fromkeys(
        (".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw",
         ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srw", ".x3f"), RAW,
    ),
    ".dcm": _DICOM,
    ".dicom": _DICOM,
    ".exr": f"is an OpenEXR image, which isn't read: {_PNG}",
    ".gif": f"is a GIF image, of 256 colours at most, which isn't read: {_PNG}",
    ".hdr": f"is a Radiance image, which isn't read: {_PNG}",
    ".j2k": f"is a JPEG 2000 image, which isn't read: {_PNG}",
    ".jls": f"is a JPEG-LS image, which isn't read: {_PNG}",
    ".jp2": f"is a JPEG 2000 image, which isn't read: {_PNG}",
    ".jxl": f"is a JPEG XL image, which isn't read: {_PNG}",
    ".jxr": f"is a JPEG XR image, which isn't read: {_PNG}",
    ".pdf": "is a PDF document: extract its images as PNG or TIFF",
    ".psd": f"is a Photoshop file, which isn't read: {_PNG}",
    ".svg": f"is a drawing, not a photograph: {_PNG}",
}  # fmt: skip

# By their first bytes, the rest of a suffix's sentence.
_HEADS = {
    b"GIF8": ".gif",
    b"8BPS": ".psd",
    b"%PDF": ".pdf",
    b"v/1\x01": ".exr",
    b"#?RADIANCE": ".hdr",
    b"\0\0\0\x0cjP  ": ".jp2",
    b"\xff\x4f\xff\x51": ".j2k",
    b"\0\0\0\x0cJXL ": ".jxl",
    b"\xff\x0a": ".jxl",
    b"\xff\xd8\xff\xf7": ".jls",
    b"II\xbc\x01": ".jxr",
    b"IIRO": ".orf",
    b"IIRS": ".orf",
    b"MMOR": ".orf",
    b"IIU\0": ".rw2",
    b"FUJIFILMCCD-RAW": ".raf",
    b"FOVb": ".x3f",
    b"\0MRM": ".mrw",
}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
#: How much of a file tells what it is.
HEAD = 132


def is_raw(name: str | Path) -> bool:
    """Whether a file's suffix is that of a camera's raw files, many of which look like TIFF."""
    return FOREIGN_SUFFIXES.get(Path(name).suffix.lower()) is RAW


def is_heif(head: bytes) -> bool:
    """Whether a file that begins so is a HEIF image, such as of a telephone; AVIF is not meant."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


def foreign(head: bytes, name: str | Path) -> str | None:
    """Return what a file is and what to do, None where nothing is known of it.

    Parameters
    ----------
    head : bytes
        Its first ``HEAD`` bytes, which count more than its name.
    name : str or Path
        What it is called.

    Examples
    --------
    >>> foreign(b"GIF89a", "a.png")
    "is a GIF image, of 256 colours at most, which isn't read: save it as PNG or TIFF"
    >>> foreign(b"text", "notes.png")
    """
    if head[128:132] == b"DICM":
        return _DICOM
    if head[4:12] == b"ftypcrx ":
        return RAW
    if is_heif(head):
        return _HEIF
    if head[4:8] == b"ftyp" and head[8:12] in _AVIF_BRANDS:
        return "is an AVIF image, which this Pillow can't read: pip install -U pillow"
    if head[:2] == b"P7":
        return f"is a PAM image, which isn't read: {_PNG}"
    if head[:2] == b"PF":
        return "is a PFM image in colour, which isn't read: save it as 16-bit TIFF"
    for start, suffix in _HEADS.items():
        if head.startswith(start):
            return FOREIGN_SUFFIXES[suffix]
    return FOREIGN_SUFFIXES.get(Path(name).suffix.lower())
