"""The files that are taken from a chat: what they are called, and by which bytes they are known.

Types: https://www.twilio.com/docs/messaging/guides/accepted-mime-types, without what runs when it is opened (programs,
scripts, web pages, macros) and the formats of old offices, in which macros cannot be told from words.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping

MAX_NAME = 100
MAX_SENT, MAX_SENT_IMAGE = 16 * 1024 * 1024, 5 * 1024 * 1024  # bytes: see `sendable`
UNKNOWN = "application/octet-stream"  # RFC 2046 4.5.1
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}", re.ASCII)  # RFC 6838 4.2
_OFFICE = "application/vnd.openxmlformats-officedocument."
_SAME = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "audio/mp3": "audio/mpeg",
    "audio/x-m4a": "audio/mp4",
    "text/comma-separated-values": "text/csv",  # what older Android calls it
    "application/csv": "text/csv",
    "application/x-pdf": "application/pdf",
}
_MADE_UP = {"image": "photo", "audio": "audio", "video": "video"}
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # Cf: a mark that turns the writing round hides an extension
_FORBIDDEN = frozenset('/\\:*?"<>|')  # parts of a path somewhere


def _starts(*heads: bytes) -> Callable[[bytes], bool]:
    return lambda content: content.startswith(heads)


def _box(content: bytes) -> bool:
    """MP4 and 3GP begin with a box named `ftyp` (ISO/IEC 14496-12)."""
    return content[4:8] == b"ftyp"


def _webp(content: bytes) -> bool:
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def _mp3(content: bytes) -> bool:
    """An ID3 mark, or the eleven set bits at the start of a frame."""
    return content[:3] == b"ID3" or (content[:1] == b"\xff" and content[1:2] >= b"\xe0")


def _office(main: bytes) -> Callable[[bytes], bool]:
    """A zip with the part that makes it this kind of document, and no macros. A zip writes its names uncompressed."""
    return lambda content: content[:4] == b"PK\x03\x04" and main in content and b"vbaProject" not in content


def _text(content: bytes) -> bool:
    """Nothing but text: UTF-16 with its mark, or no byte that no text has (some old character set may be meant)."""
    if content[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return _decodes(content, "utf-16")
    return b"\0" not in content


def _decodes(content: bytes, charset: str) -> bool:
    try:
        content.decode(charset)
    except UnicodeDecodeError:
        return False
    return True


# Type: its extensions, the usual one first, and what tells it by its bytes.
_KNOWN: Mapping[str, tuple[tuple[str, ...], Callable[[bytes], bool]]] = {
    "image/jpeg": (("jpg", "jpeg"), _starts(b"\xff\xd8\xff")),
    "image/png": (("png",), _starts(b"\x89PNG\r\n\x1a\n")),
    "image/webp": (("webp",), _webp),
    "image/gif": (("gif",), _starts(b"GIF87a", b"GIF89a")),
    "application/pdf": (("pdf",), _starts(b"%PDF-")),
    f"{_OFFICE}wordprocessingml.document": (("docx",), _office(b"word/document")),
    f"{_OFFICE}spreadsheetml.sheet": (("xlsx",), _office(b"xl/workbook")),
    f"{_OFFICE}presentationml.presentation": (("pptx",), _office(b"ppt/presentation")),
    "text/plain": (("txt",), _text),
    "text/csv": (("csv",), _text),
    "audio/ogg": (("ogg", "oga", "opus"), _starts(b"OggS")),
    "audio/mpeg": (("mp3",), _mp3),
    "audio/mp4": (("m4a", "mp4"), _box),
    "audio/aac": (("aac",), _starts(b"\xff\xf1", b"\xff\xf9", b"ADIF")),
    "audio/amr": (("amr",), _starts(b"#!AMR")),
    "video/mp4": (("mp4",), _box),
    "video/3gpp": (("3gp",), _box),
}
TAKEN = frozenset(_KNOWN)
# What goes to a person, told by its bytes alone, in this order: the last ones are told by little.
_SENT = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "application/pdf",
    f"{_OFFICE}wordprocessingml.document",
    f"{_OFFICE}spreadsheetml.sheet",
    f"{_OFFICE}presentationml.presentation",
    "audio/ogg",
    "audio/amr",
    "audio/aac",
    "audio/mpeg",
)
_OLD_OFFICE_BYTES = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # [MS-CFB] 2.2; which of them it is only the name says
_OLD_OFFICE = {"doc": "application/msword", "xls": "application/vnd.ms-excel", "ppt": "application/vnd.ms-powerpoint"}
# The brands of a `ftyp` box (https://mp4ra.org/registered-types/brands). Photos of iPhones begin with one, too.
_VIDEO_BRANDS = (b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"M4V ", b"MSNV", b"mmp4")


def sendable(content: bytes, name: str) -> str:
    """The type of a file that WhatsApp takes from us, by its bytes; empty: it takes no such file.

    https://www.twilio.com/docs/whatsapp/guidance-whatsapp-media-messages: at most 16 MB, images 5 MB. `name` is asked
    only where bytes are the same for several types.
    """
    extension = name.rpartition(".")[2].lower()
    if content.startswith(_OLD_OFFICE_BYTES):
        return _OLD_OFFICE.get(extension, "")
    if _box(content):
        return _boxed(content[8:12], extension)
    return next((kind for kind in _SENT if is_true(kind, content)), "")


def _boxed(brand: bytes, extension: str) -> str:
    if brand in {b"M4A ", b"M4B "} or (brand in _VIDEO_BRANDS and extension == "m4a"):
        return "audio/mp4"
    if brand[:3] in {b"3gp", b"3g2"}:
        return "video/3gpp"
    return "video/mp4" if brand in _VIDEO_BRANDS else ""


def too_large(content_type: str, size: int) -> bool:
    """Whether a file of this type and size is more than WhatsApp takes."""
    return size > (MAX_SENT_IMAGE if content_type.startswith("image/") else MAX_SENT)


def known(stated: str) -> str:
    """A stated type as we write it: small letters, no parameters, one name for each; `UNKNOWN` when it is none."""
    bare = stated.partition(";")[0].strip().lower()
    return _SAME.get(bare, bare) if _TYPE.fullmatch(bare) else UNKNOWN


def is_true(content_type: str, content: bytes) -> bool:
    """Whether this type is taken, and the bytes begin as it does."""
    found = _KNOWN.get(content_type)
    return found is not None and found[1](content)


def told_name(told: str, content_type: str) -> str:
    """The name that a file of this type was given, if it is one plain name with a fitting extension; else empty.

    A name says nothing about what is in a file; one that fits the type cannot open it with another program either.
    """
    name = "".join(letter for letter in told if unicodedata.category(letter) not in _HIDDEN).strip()
    stem, _, extension = name.rpartition(".")
    plain = len(name) <= MAX_NAME and not _FORBIDDEN & set(name) and "\n" not in told.strip()
    return name if plain and extension.lower() in _extensions(content_type) and stem.strip(". ") else ""


def made_up_name(content_type: str) -> str:
    """What a file of this type is called when nobody told: photo.jpg, document.pdf; `file` for a type of none."""
    extensions = _extensions(content_type)
    word = _MADE_UP.get(content_type.partition("/")[0], "document")
    return f"{word}.{extensions[0]}" if extensions else "file"


def _extensions(content_type: str) -> tuple[str, ...]:
    old = tuple(extension for extension, kind in _OLD_OFFICE.items() if kind == content_type)
    return _KNOWN[content_type][0] if content_type in _KNOWN else old
