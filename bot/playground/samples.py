"""Files that somebody with a phone can send in the playground: made up, but each is what it says it is. Pure."""

import struct
import zlib
from dataclasses import dataclass
from itertools import accumulate

WIDTH, HEIGHT = 96, 64  # of the picture, in points


@dataclass(frozen=True, slots=True)
class Sample:
    """A file: its type, what the phone calls it (pictures and voice notes have no name there), and its bytes."""

    content_type: str
    name: str
    content: bytes


def _picture() -> bytes:
    """A sunset as PNG: https://www.w3.org/TR/png-3/."""
    rows = b"".join(b"\0" + bytes((250 - y // 2, 190 - 2 * y, 90 + y)) * WIDTH for y in range(HEIGHT))
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def _document() -> bytes:
    """A page with one line as PDF 1.4."""
    words = b"BT /F1 24 Tf 60 740 Td (Voucher) Tj ET"
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources 6 0 R >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(words), words),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Font << /F1 5 0 R >> >>",
    )
    head = b"%PDF-1.4\n"
    written = [b"%d 0 obj\n%s\nendobj\n" % (number, one) for number, one in enumerate(objects, start=1)]
    starts = list(accumulate((len(one) for one in written), initial=len(head)))
    table = b"".join(b"%010d 00000 n \n" % start for start in starts[:-1])
    tail = b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return head + b"".join(written) + tail % (len(objects) + 1, table, len(objects) + 1, starts[-1])


def _voice() -> bytes:
    """The first page of an Ogg stream with Opus in it, which is all of a voice note that anybody here looks at."""
    opus = b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0"
    return b"OggS\0\x02" + b"\0" * 8 + b"\1\0\0\0" + b"\0" * 8 + bytes((1, len(opus))) + opus


SAMPLES = {
    "photo": Sample("image/png", "", _picture()),
    "document": Sample("application/pdf", "voucher.pdf", _document()),
    "voice": Sample("audio/ogg", "", _voice()),
}
