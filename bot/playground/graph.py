"""What of Microsoft Graph the bot uses: `POST /v1.0/me/sendMail` with a mail as MIME, delivered into the sandbox.

learn.microsoft.com/graph/api/user-sendmail (202, MIME in base64 as text/plain; the copy is filed by itself),
learn.microsoft.com/graph/errors (the form of an error).
"""

import base64
import binascii
import email
import email.policy
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from typing import TypeAlias

from flask import Flask, Response, jsonify, request

from bot.playground.identity import GRAPH_SEND, Identity

MAX_REQUEST = 4 * 1024 * 1024  # bytes
ACCEPTED = 202
# Puts a mail into the mailboxes: sender, recipients, content.
Post: TypeAlias = Callable[[str, Sequence[str], bytes], None]


class _Refusal(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.code, self.message = status, code, message


def add_graph(app: Flask, identity: Identity, post: Post) -> None:
    """Serve what the bot uses of Graph, for tokens of an identity."""

    @app.post("/v1.0/me/sendMail")
    def send_mail() -> tuple[Response | str, int]:
        request.max_content_length = MAX_REQUEST
        try:
            owner = _owner(identity, request.headers.get("Authorization", ""))
            content, mail = _read(request.get_data(cache=False))
            post(owner, _recipients(owner, mail), _without_bcc(content, mail))
        except _Refusal as refusal:
            error = {"code": refusal.code, "message": refusal.message}
            return jsonify({"error": error}), refusal.status
        return "", ACCEPTED


def _owner(identity: Identity, authorization: str) -> str:
    owner = identity.owner(authorization.removeprefix("Bearer "), GRAPH_SEND)
    if owner is None:
        raise _Refusal(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.")
    if not owner:
        raise _Refusal(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
    return owner


def _read(body: bytes) -> tuple[bytes, EmailMessage]:
    """The mail as it came, and what can be read in it. Raises _Refusal."""
    try:
        content = base64.b64decode(body, validate=True)
    except binascii.Error as error:
        message = "Invalid base64 string for MIME content."
        raise _Refusal(400, "ErrorMimeContentInvalidBase64String", message) from error
    mail = email.message_from_bytes(content, policy=email.policy.SMTP)
    if mail["From"] is None:
        raise _Refusal(400, "ErrorMimeContentInvalid", "The MIME content is invalid.")
    return content, mail


def _recipients(owner: str, mail: EmailMessage) -> list[str]:
    """To whom it goes. Raises _Refusal, also where it is not its owner who sends it."""
    if [one.addr_spec.lower() for one in mail["From"].addresses] != [owner]:
        message = "The user account which was used to submit this request does not have the right to send mail on "
        raise _Refusal(403, "ErrorSendAsDenied", f"{message}behalf of the specified sending account.")
    headers = [value for name in ("To", "Cc", "Bcc") for value in mail.get_all(name, [])]
    people = [one.addr_spec for value in headers for one in value.addresses]
    if not people:
        raise _Refusal(400, "ErrorInvalidRecipients", "At least one recipient is not valid.")
    return people


def _without_bcc(content: bytes, mail: EmailMessage) -> bytes:
    if "Bcc" not in mail:
        return content
    del mail["Bcc"]
    return mail.as_bytes()
