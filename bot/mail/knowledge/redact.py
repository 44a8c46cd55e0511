"""What a server or a person wrote, made safe to store and to show: one short line without secrets.

Everything that leaves for a log, a transcript or Slack and was not written by us goes through `redact`.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

HIDDEN = "[hidden]"
MAX_LENGTH = 500
_MAX_INPUT = 16_384

_AUTH = re.compile(
    r"\bAUTH[ =]+(?:PLAIN|LOGIN|XOAUTH2|OAUTHBEARER|CRAM-MD5|DIGEST-MD5|NTLM|GSSAPI|EXTERNAL|SCRAM-[A-Z0-9-]+)\b.*",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(r"\b((?:proxy-)?authorization)\b.*", re.IGNORECASE)
_BEARER = re.compile(r"\bbearer\s+\S+", re.IGNORECASE)
_NAMED = re.compile(
    r"""\b(pass(?:word|wd|phrase)?|pwd|senha|contraseña|clave|secret|(?:access|refresh)[_-]token|api[_-]?key)\b"""
    r"""(["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\s,;)}]+)""",
    re.IGNORECASE,
)
_CHALLENGE = re.compile(r"(?<![\d.])334(?:[\s)-].*|$)")
_REPLY = re.compile(r"(?<![\d.])[245]\d\d(?:[\s)-]|$)")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_ADDRESS = re.compile(r"([^\s<>()\[\]\"',;:=@])([^\s<>()\[\]\"',;:=@]{0,63})@([\w.-]{1,253})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_BLANKS = re.compile(r"\s+")


def redact(text: str, secrets: Iterable[str] = (), *, keep_addresses: bool = False) -> str:
    """`text` as one line of at most 500 characters from which the following is gone.

    The given secrets (also inside base64 and URL encodings), everything after AUTH, challenges (334) and the lines
    that answer them, Authorization headers and bearer tokens, values named password and the like, control
    characters. E-mail addresses keep their first letter and domain (a***@example.com), or all with `keep_addresses`,
    where Message-IDs, which look the same, are what the text is kept for.
    """
    known = tuple(secret for secret in secrets if secret)
    text = " ".join(_without_dialogue(_without(text[:_MAX_INPUT], known)))
    text = _AUTHORIZATION.sub(rf"\1: {HIDDEN}", text)
    text = _BEARER.sub(f"Bearer {HIDDEN}", text)
    text = _NAMED.sub(rf"\1\2{HIDDEN}", text)
    if not keep_addresses:
        text = _ADDRESS.sub(r"\1***@\3", text)
    text = _BLANKS.sub(" ", _CONTROL.sub(" ", text)).strip()
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "…"


def _without(text: str, secrets: tuple[str, ...]) -> str:
    """The text without the secrets, plain, URL-encoded, or inside any base64 word."""
    if not secrets:
        return text
    forms = {form for secret in secrets for form in (secret, quote(secret), quote_plus(secret))}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    return _BASE64.sub(lambda word: HIDDEN if _carries(word[0], secrets) else word[0], text)


def _carries(word: str, secrets: tuple[str, ...]) -> bool:
    bare = word.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        decoded = base64.b64decode(bare + "=" * (-len(bare) % 4))
    except (binascii.Error, ValueError):
        return False
    return any(secret.encode() in decoded for secret in secrets)


def _without_dialogue(text: str) -> Iterator[str]:
    """The lines of a pasted session, without what answers a challenge."""
    answering = False
    for line in text.splitlines():
        if _CHALLENGE.search(line):
            answering = True
            yield _CHALLENGE.sub(f"334 {HIDDEN}", _AUTH.sub(f"AUTH {HIDDEN}", line))
        elif not answering or _REPLY.search(line):
            answering = False
            yield _AUTH.sub(f"AUTH {HIDDEN}", line)
