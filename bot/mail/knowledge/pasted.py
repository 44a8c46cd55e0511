"""The words of a failure without their wrappings: what a person pasted, or what a server said in several lines.

People paste tracebacks, JSON, log lines, HTML, dialogs and whole sessions. `unwrapped` brings all of them into one
plain line that the rules of `replies.yaml` are written for.
"""

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

MOST = 65_536  # characters read at the beginning and at the end; what lies between is not read
_ESCAPED_CODE_POINT = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
_ESCAPED_BREAK = re.compile(r"\\{1,4}(?:r\\{1,4}n|n|r|t)")
_ESCAPED_SIGN = re.compile(r"\\{1,4}([\"'/])")
_TAG = re.compile(
    r"</?(?:p|br|div|span|b|i|u|em|strong|a|pre|code|tt|td|tr|th|table|tbody|html|head|body|ul|ol|li|h[1-6]|font|hr)"
    r"(?:\s[^<>]{0,300})?/?>",
    re.IGNORECASE,
)
_MARKS = str.maketrans({
    "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u00b4": "'", "`": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"',
    "\u00ab": '"', "\u00bb": '"', "\u2010": "-", "\u2011": "-", "\u2013": "-", "\u2014": "-", "\u0131": "i",
    "\u200b": None, "\ufeff": None, "\u00ad": None,
})  # fmt: skip
_SIDE = re.compile(r"^\s*(?:<<<|>>>|<-|->|<~|~>|\*\*|server -> client:|client -> server:|[sc]:|remote:|>|<(?=\s))\s*")
_LINE_CODE = re.compile(r"^([2-5]\d\d)[- ](?:#?([245]\.\d{1,3}\.\d{1,3})[\s:]+)?")
_PREFIX = re.compile(r"(?<![\w.])([2-5]\d\d)[- ]+#?([245]\.\d{1,3}\.\d{1,3})(?=[\s,:;<]|$)\s*")
_CHALLENGE = re.compile(r"\beyJ[A-Za-z0-9+/]{16,2000}={0,2}")
_BLANKS = re.compile(r"\s+")
# A reply code as the Rust libraries lettre and async-smtp print it, each of its three digits by name.
_NAMED_CODE = re.compile(
    r"severity: (permanent|transient)negativecompletion, category: (\w{1,20}), detail: (\w{1,20}),?"
)
_DIGITS = {"transient": "4", "permanent": "5"} | {
    name: str(digit)
    for names in (
        ("syntax", "information", "connections", "unspecified3", "unspecified4", "mailsystem"),
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    )
    for digit, name in enumerate(names)
}
# What the lost mail was about ("Error sending password reset email: ..."): it says nothing of a refused password.
_ERRAND = re.compile(
    r"(?:password[-_ ]?(?:reset|recovery)|(?:re-?set|forgot(?:ten)?|lost|recover)[-_ ]?password)[-_ ]?"
    r"(?:e-?mails?|mailer|mail|instructions|link|notifications?|message|token|request)"
    r"|password_?reset|reset_?password|forgot_?password"
    r"|(?:redefinicao|recuperacao|restablecimiento|recuperacion) (?:de|da)(?: la| sua| su| tu)? (?:senha|contrasena)"
)

_BOTH = re.compile(
    r"(?<![\w.:/-])([45]\d\d)(?:[-\s]+|[,:]\s?b?[\"']?)\s*[#(\[]?([45]\.\d{1,3}\.\d{1,3})(?![.\d])",
)
_CODE = re.compile(r"(?:^|(?<=[\s\"'(\[:;>=#-]))([45]\d\d)(?=[-\s:;,.\"')\]]|$)(?![.:]\d)")
_ENHANCED = re.compile(r"(?:^|(?<=[\s\"'(\[:;>=#]))([45]\.\d{1,3}\.\d{1,3})(?![.\d])")
_VERSION = re.compile(
    r"\b(?:version|php|exim|postfix|node(?:mailer|js)?|python|openssl|phpmailer|ruby|v)[ /:=-]*[45]\.[\d.]+"
)
_NUMBER_OF = re.compile(r"\b(?:ports?|porta|puerto|line|linea|linha|zeile|ligne|http|timeout|size|pid|errno)\W{0,3}$")
# RFC 5321 4.2, RFC 4954 6, RFC 7504, and what servers use beyond; 465 and 587 are ports
_CODES = frozenset(
    {421, 422, 430, 431, 432, 435, 441, 442, 446, 447, 449, 450, 451, 452, 453, 454, 455, 458, 459, 471}
    | {500, 501, 502, 503, 504, 510, 511, 512, 513, 515, 517, 519, 520, 521, 523, 525, 530, 532, 533, 534, 535, 538}
    | {540, 541, 542, 543, 546, 547, 550, 551, 552, 553, 554, 555, 556, 557, 571}
)


class Codes(NamedTuple):
    """The reply code (RFC 5321) and the enhanced code (RFC 3463) in a text, or None and ""."""

    code: int | None
    enhanced: str


def unwrapped(text: str) -> str:
    """The text as one line in lower case, without accents, escapes, tags and the codes that every line repeats.

    What the mail was about is left out where it is a forgotten password. Of a long text the first and the last
    65,536 characters are read. Never raises.
    """
    text = _with_challenges(_mended(_bounded(text)))
    text = _TAG.sub("\n", html.unescape(_unescaped(text)))
    line = _BLANKS.sub(" ", _without_repeats(" ".join(_lines(plain(text))))).strip()
    return _ERRAND.sub("mail", _NAMED_CODE.sub(_numbered, line))


def plain(text: str) -> str:
    """Lower case, straight quotes, no accents: "Não" and "nao" are one word in what people paste."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_MARKS))
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign)).lower()


def codes(text: str) -> Codes:
    """The first reply code and enhanced code in an unwrapped text; a pair of both wins over either alone."""
    both = next((found for found in _BOTH.finditer(text) if int(found[1]) in _CODES), None)
    if both:
        return Codes(int(both[1]), both[2])
    text = _VERSION.sub(" ", text)
    code = next((int(found[1]) for found in _CODE.finditer(text) if _is_reply(text, found)), None)
    enhanced = _ENHANCED.search(text)
    return Codes(code, enhanced[1] if enhanced else "")


def _numbered(found: re.Match[str]) -> str:
    digits = [_DIGITS.get(name) for name in found.groups()]
    return " ".join([found[0], "".join(digit or "" for digit in digits)]) if all(digits) else found[0]


def _is_reply(text: str, found: re.Match[str]) -> bool:
    before = text[max(0, found.start() - 12) : found.start()]
    return int(found[1]) in _CODES and not _NUMBER_OF.search(before)


def _bounded(text: str) -> str:
    return text if len(text) <= 2 * MOST else f"{text[:MOST]}\n{text[-MOST:]}"


def _mended(text: str) -> str:
    """UTF-8 that was read as Latin-1 on its way here ("nÃ£o"), read rightly; anything else as it is."""
    if "Ã" not in text:
        return text
    try:
        return text.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return text


def _with_challenges(text: str) -> str:
    """The JSON inside an XOAUTH2 error challenge, beside it: it says why a token was refused."""
    found = _CHALLENGE.search(text)
    return f"{text} {_decoded(found[0])}" if found else text


def _decoded(word: str) -> str:
    bare = word.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4)).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def _unescaped(text: str) -> str:
    """The strings of JSON, Python, PHP and JavaScript as what they stand for."""
    text = _ESCAPED_CODE_POINT.sub(lambda found: chr(int(found[1] or found[2], 16)), text)
    return _ESCAPED_SIGN.sub(r"\1", _ESCAPED_BREAK.sub("\n", text))


def _lines(text: str) -> Iterator[str]:
    """The lines without the marks of a session's sides and without the code that the line before began with."""
    code = enhanced = ""
    for raw in text.splitlines():
        line = _SIDE.sub("", raw).strip()
        if not line:
            continue
        found = _LINE_CODE.match(line)
        if found and found[1] == code:
            line = line[found.end() if found[2] in {None, enhanced} else found.end(1) + 1 :]
        elif found and line[found.end() :]:
            code, enhanced = found[1], found[2] or ""
        elif not found:
            code = ""
        yield line


def _without_repeats(text: str) -> str:
    """The codes at the head of every line only once, also where the lines had been joined before."""
    seen: set[str] = set()

    def first(found: re.Match[str]) -> str:
        known = f"{found[1]} {found[2]}"
        if known in seen:
            return ""
        seen.add(known)
        return f"{known} "

    return _PREFIX.sub(first, text)
