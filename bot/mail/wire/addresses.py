"""E-mail addresses in the one form that is stored, compared and put on the wire."""

import re
from typing import Literal

from email_validator import EmailSyntaxError, validate_email

Reason = Literal["empty", "too_long", "line_break", "malformed", "local_part_not_ascii"]

_MAX_TYPED = 320
_WRAPPED = re.compile(r"(?:mailto:)?<?(?:mailto:)?([^<>]*)>?", re.IGNORECASE)


class BadAddress(ValueError):
    """What was typed is no address that we can send from or to; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        """The text is the reason's name: the address itself is never in it."""
        super().__init__(reason)
        self.reason: Reason = reason


def normalise(text: str) -> str:
    """The address in `text`: domain as ASCII (IDNA 2008) in lower case, local part as typed.

    Blanks around it, angle brackets and `mailto:` are taken off. Raises BadAddress. Local parts beyond ASCII are
    refused: they need SMTPUTF8 on every hop (RFC 6531), which many hosts do not have. Domains under .test are let
    through, for trying the assistant out.
    """
    text = text.strip()
    if not text:
        raise BadAddress("empty")
    if len(text) > _MAX_TYPED:
        raise BadAddress("too_long")
    if "\r" in text or "\n" in text:
        raise BadAddress("line_break")
    wrapped = _WRAPPED.fullmatch(text)
    if wrapped is None:
        raise BadAddress("malformed")
    return _validated(wrapped[1].strip())


def _validated(text: str) -> str:
    try:
        parts = validate_email(text, check_deliverability=False, strict=True, test_environment=True)
    except EmailSyntaxError:
        raise BadAddress("malformed") from None
    if parts.ascii_email is None:
        raise BadAddress("local_part_not_ascii")
    return parts.ascii_email
