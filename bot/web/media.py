"""`/m/<token>`: a file of staff's, for the provider that carries it to the person. Nothing says whether there was one.

Twilio asks by HEAD, then by GET, from hosts of its own and without a password, and takes the file for what its
Content-Type says: https://www.twilio.com/docs/messaging/guides/accepted-mime-types. So the token is all that protects
it: 192 random bits, of which only a hash is stored, good for an hour or until the message has arrived.
"""

from collections.abc import Callable
from urllib.parse import quote

from flask import Blueprint, Response

MAX_TOKEN = 64  # ours are shorter


def media_pages(look: Callable[[str], tuple[str, str, bytes] | None]) -> Blueprint:
    """The route. `look`: name, type and bytes of the file behind a token; None: there is none."""
    blueprint = Blueprint("media", __name__)

    def file(token: str) -> Response:
        found = look(token) if len(token) <= MAX_TOKEN else None
        if found is None:
            return Response("not found\n", 404, mimetype="text/plain")
        name, content_type, content = found
        answer = Response(content, content_type=content_type)
        answer.headers["Content-Disposition"] = disposition(name)
        return answer

    blueprint.add_url_rule("/m/<token>", "file", file, methods=["GET"], provide_automatic_options=False)
    return blueprint


def disposition(name: str) -> str:
    """Never shown in a browser as a page of ours; the name as RFC 6266 wants it, with one for those who read ASCII."""
    plain = "".join(sign if sign.isascii() and sign.isprintable() and sign not in '"\\%' else "_" for sign in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
