"""XOAUTH2: how an access token signs in, and what a server says that refuses it.

https://developers.google.com/gmail/imap/xoauth2-protocol and learn.microsoft.com, "Authenticate an IMAP, POP or SMTP
connection using OAuth": `user=ADDRESS ^A auth=Bearer TOKEN ^A ^A`. A token that is refused is answered by a challenge,
JSON with `status`, `schemes` and `scope`; the client says an empty line, and only then comes the refusal.
"""

import base64
import binascii
import json

from bot.mail.wire.account import BadCredential, Token

MECHANISM = "XOAUTH2"
NOT_OFFERED = "XOAUTH2 is not offered"  # replies.yaml knows these words
_MAX_CHALLENGE = 4_096
_FIELDS = {"status": 8, "schemes": 40, "scope": 200}  # what may stand in it, and how much of it is told


def response(user: str, token: Token) -> str:
    """What the client says, before base64. Raises BadCredential for what would forge a field."""
    if not (user.isprintable() and token.value.isprintable()):
        raise BadCredential("with control characters")
    return f"user={user}\1auth=Bearer {token.value}\1\1"


def encoded_reason(challenge: bytes) -> str:
    """As `reason`, of a challenge that is still in base64."""
    try:
        return reason(base64.b64decode(challenge[:_MAX_CHALLENGE], validate=True))
    except (binascii.Error, ValueError):
        return ""


def reason(challenge: bytes) -> str:
    """What a challenge tells, in a few words to stand behind the refusal; empty where it tells nothing.

    It is the server's text: printable, short, and still to be redacted.
    """
    try:
        told = json.loads(challenge[:_MAX_CHALLENGE])
    except (ValueError, RecursionError):
        return ""
    if not isinstance(told, dict):
        return ""
    words = [f"{name} {_shown(told[name], most)}" for name, most in _FIELDS.items() if name in told]
    return f" (token refused: {', '.join(words)})" if words else ""


def _shown(value: object, most: int) -> str:
    return "".join(sign for sign in str(value)[:most] if sign.isprintable())
