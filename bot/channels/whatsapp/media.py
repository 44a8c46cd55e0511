"""Files that came with a message: fetched from Twilio, bounded, and known by their bytes.

Twilio asks for the account's name and token, and then sends us on to a signed address of its own
(https://support.twilio.com/hc/en-us/articles/223183748). The token is said to api.twilio.com only, and only for a file
of our own account; a redirect is followed to the hosts below and to no other, so that no address in a webhook can lead
us into a private network.
"""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any
from urllib.parse import urljoin, urlsplit

from requests import PreparedRequest, RequestException, Response, Session
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import HTTPError

from bot.channels import Later, Refused, SendError
from bot.channels.file_types import is_true, known, told_name
from bot.channels.whatsapp.hosts import rewritten

API_HOST = "api.twilio.com"
# The signed address, the older signed one (two redirects, codeforamerica/vita-min#563), and the one of accounts that
# do not ask for a password.
REDIRECTS_TO = frozenset({"mms.twiliocdn.com", "media.twiliocdn.com", "s3-external-1.amazonaws.com"})
MAX_FILE_BYTES = 16 * 1024 * 1024  # the most that WhatsApp carries, TW/whatsapp/guidance-whatsapp-media-messages
MAX_REDIRECTS = 3
TIMEOUT = 10.0  # seconds, for connecting and between two packets
DEADLINE = 60.0  # seconds, for all of it
PAUSES = (1.0, 3.0)  # seconds: a file that just came is not found for a moment (chatwoot/chatwoot#15504)

_CHUNK = 65_536
_OK, _NOT_FOUND, _TOO_LARGE = 200, 404, 413
_MOVED = frozenset({301, 302, 303, 307, 308})
_MAY_PASS = frozenset({401, 403, 408, 409, 425, 429})  # a wrong token, an address that ran out, too many at once
_SERVER_FAULT = 500
_OURS = re.compile(
    rf"https://{re.escape(API_HOST)}/2010-04-01/Accounts/(AC[0-9a-fA-F]{{32}})"
    r"/Messages/[A-Za-z0-9]{1,64}/Media/[A-Za-z0-9]{1,64}",
    re.ASCII,
)
_PLAIN = re.compile(r"[!-~]{1,8000}", re.ASCII)


@dataclass(frozen=True, slots=True)
class File:
    """A file whose bytes are what its type says. `name`: as its keeper calls it, if that fits the type; else empty."""

    content: bytes = field(repr=False)
    content_type: str
    name: str = ""


def fetch(
    url: str,
    *,
    account_sid: str,
    auth_token: str,
    api_url: str = "",
    max_bytes: int = MAX_FILE_BYTES,
    seconds: float = DEADLINE,
    pause: Callable[[float], None] = time.sleep,
) -> File:
    """The file at `url`, an address of Twilio's Media resource in this account.

    `api_url`: a stand-in for all hosts, see `hosts.rewritten`; `seconds`: for all of it but for a header that drips,
    where each packet has 10 seconds; `pause` waits so many seconds.
    Raises Refused with a code of "host" (an address that is none of ours), "type" (not taken, or not what its bytes
    are), "413" (larger than `max_bytes`) or of HTTP (404: gone, or never there), and Later for all that may pass. No
    failure holds an address: the signed one opens the file to everybody for hours.
    """
    matched = _OURS.fullmatch(url)
    if not matched or matched[1] != account_sid:
        raise Refused("host", "no address of a file in this account")
    with _OneHop() as session:
        session.trust_env = not api_url
        fetching = _Fetching(session, HTTPBasicAuth(account_sid, auth_token), api_url, max_bytes, seconds)
        for wait in PAUSES:
            found = fetching.file(url)
            if found is not None:
                return found
            pause(wait)
        found = fetching.file(url)
    if found is None:
        raise Refused(str(_NOT_FOUND), "the file is not there")
    return found


class _OneHop(Session):
    """Every redirect is judged here; the library would also read a redirect's whole body, whatever its size."""

    def get_redirect_target(self, resp: Response) -> None:
        """None, whatever the answer says."""


class _Fetching:
    def __init__(self, session: Session, auth: HTTPBasicAuth, api_url: str, max_bytes: int, seconds: float) -> None:
        self._session = session
        self._auth = auth
        self._api_url = api_url
        self._max_bytes = max_bytes
        self._end = time.monotonic() + seconds

    def file(self, url: str) -> File | None:
        """None: Twilio knows no such file, perhaps not yet."""
        try:
            with self._followed(url) as answer:
                return None if answer.status_code == _NOT_FOUND else self._read(answer)
        except (RequestException, HTTPError, OSError) as error:
            name = type(error).__name__
        raise Later(name, "the file could not be read to its end")  # out here: what was caught carries the address

    def _followed(self, url: str) -> Response:
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._get(url)
            if answer.status_code not in _MOVED:
                return answer
            answer.close()
            url = _next(url, answer.headers.get("Location", ""))
        raise Refused("host", "too many redirects")

    def _get(self, url: str) -> Response:
        self._left()
        return self._session.get(
            rewritten(url, self._api_url),
            auth=self._auth if urlsplit(url).hostname == API_HOST else _nobody,
            headers={"Accept-Encoding": "identity"},  # a small file that swells has no way in
            timeout=TIMEOUT,
            stream=True,
            allow_redirects=False,
        )

    def _read(self, answer: Response) -> File:
        if answer.status_code != _OK:
            raise _failure(answer.status_code)
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Refused("type", "the file is packed")
        content = self._content(answer)
        content_type = known(answer.headers.get("Content-Type", ""))
        if not is_true(content_type, content):
            raise Refused("type", "the type is not taken, or is not that of the bytes")
        stated = _stated_name(answer.headers.get("Content-Disposition", ""))
        return File(content, content_type, told_name(stated, content_type))

    def _content(self, answer: Response) -> bytes:
        stated = answer.headers.get("Content-Length", "")
        if stated.isascii() and stated.isdigit() and int(stated[:18]) > self._max_bytes:
            raise _too_large()
        content = bytearray()
        while chunk := answer.raw.read1(_CHUNK):  # one packet, where `read` waits for all of the chunk
            content += chunk
            if len(content) > self._max_bytes:
                raise _too_large()
            self._left()
        return bytes(content)

    def _left(self) -> None:
        if time.monotonic() >= self._end:
            raise Later("deadline", "the file did not come in time")


def _next(url: str, location: str) -> str:
    """Where a redirect leads, put together anew from what was checked. Raises Refused for any place but Twilio's."""
    if _PLAIN.fullmatch(location):
        try:
            parts = urlsplit(urljoin(url, location))
            if parts.scheme == "https" and parts.netloc in REDIRECTS_TO:  # no port, and nobody's name before it
                return f"https://{parts.netloc}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")
        except ValueError:  # half a bracket
            pass
    raise Refused("host", "a redirect to a place that is none of Twilio's")


def _nobody(request: PreparedRequest) -> PreparedRequest:
    """No password: without this the library would look for one in the user's .netrc."""
    return request


def _failure(status: int) -> SendError:
    if status in _MAY_PASS or status >= _SERVER_FAULT:
        return Later(str(status), "Twilio does not give the file now")
    return Refused(str(status), "Twilio does not give the file")


def _too_large() -> Refused:
    return Refused(str(_TOO_LARGE), "the file is too large")


def _stated_name(disposition: str) -> str:
    """The file name in a Content-Disposition (RFC 6266), bounded; empty when there is none that can be read.

    Headers are read as Latin-1, but a bare name is often written in UTF-8.
    """
    if len(disposition) > 1000:  # noqa: PLR2004 - far beyond any name that is kept
        return ""
    message: Any = EmailMessage()
    try:
        with suppress(UnicodeError):
            disposition = disposition.encode("latin-1").decode()
        message["Content-Disposition"] = disposition
        return str(message.get_filename(""))
    except (ValueError, LookupError, IndexError):
        return ""
