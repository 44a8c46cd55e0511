"""Files in Slack: fetched with the workspace's token, bounded, from Slack's own hosts only; and brought there.

Fetched by `url_private_download` of a file object (https://docs.slack.dev/reference/objects/file-object), with the
token as a bearer's: that wants `files:read`. Brought by `files.getUploadURLExternal`, a POST to the address that it
names, and `files.completeUploadExternal`, which alone makes the file visible: `files:write`.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from bot.channels import Later, Media, Refused
from bot.channels.file_types import known, made_up_name, told_name

HOSTS = ".slack.com"  # mostly files.
HOSTED = "hosted"  # the mode of a file that lies at Slack itself
TIMEOUT = 10.0  # seconds, for connecting and between two packets
DEADLINE = 40.0  # seconds, for all of it
MAX_FILES = 10  # of one message
OPERATOR_WAIT = 300.0  # seconds: time to install the app again
_CHUNK = 65_536
_OK, _TOO_MANY, _SERVER_FAULT = 200, 429, 500
_MOVED, _MAY_PASS = frozenset({301, 302, 303, 307, 308}), frozenset({401, 403, _TOO_MANY})
_PLAIN = re.compile(r"https://[!-~]{1,2000}", re.ASCII)
_OURS = re.compile(r"/files-[a-z]{1,8}/([TE][A-Z0-9]{1,30})-F[A-Z0-9]{1,30}/")


@dataclass(frozen=True, slots=True)
class File:
    """A file as Slack has it; its type is what was stated, and nothing of it is proved."""

    content: bytes = field(repr=False)
    content_type: str = ""
    name: str = ""


def listed(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The file objects of a message, whatever stands in it."""
    files = message.get("files")
    return [one for one in files if isinstance(one, Mapping)][:MAX_FILES] if isinstance(files, list) else []


def media(message: Mapping[str, Any]) -> tuple[Media, ...]:
    """The files of a message that lie at Slack; what lies elsewhere, or was deleted, is none."""
    return tuple(_media(one) for one in listed(message) if is_hosted(one))


def is_hosted(told: Mapping[str, Any]) -> bool:
    """Whether a file object is that of a file which can be fetched from Slack."""
    return told.get("mode", HOSTED) in {HOSTED, "snippet"} and _is_slacks(str(told.get("url_private_download", "")))


def _media(told: Mapping[str, Any]) -> Media:
    kind = known(str(told.get("mimetype", "")))
    name = str(told.get("name") or "")
    return Media(str(told["url_private_download"]), kind, told_name(name, kind) or made_up_name(kind))


def team_of(url: str) -> str:
    """In which workspace a file lies: the host gives the file only to a token of that one. Empty: it does not say."""
    found = _OURS.match(urlsplit(url).path) if _is_slacks(url) else None
    return found[1] if found else ""


def _is_slacks(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    own = host.endswith(HOSTS) and port is None and parts.username is None
    return own and bool(_PLAIN.fullmatch(url))


class SlackFiles:
    """Fetches and brings the bytes. Safe to share between threads.

    `token_of`: the token of a workspace; raises NoWorkspaceError. `api_url`: a stand-in for Slack's API, ending in
    `/api`; it stands for the host of the files, too.
    """

    def __init__(self, token_of: Callable[[str], str], api_url: str = "", seconds: float = DEADLINE) -> None:
        self._token_of = token_of
        self._root = api_url.removesuffix("/api")
        self._seconds = seconds

    def fetch(self, team: str, url: str, max_bytes: int) -> File:
        """The file at an address of Slack's.

        Raises Refused with a code of "host" (none of Slack's), "413" (larger than `max_bytes`) or of HTTP, and Later
        for all that may pass; neither holds the address or the token.
        """
        if not _is_slacks(url):
            raise Refused("host", "no address of a file at Slack")
        token, end = self._token_of(team), time.monotonic() + self._seconds
        try:
            with self._session() as session, session.get(
                self._rewritten(url),
                headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"},
                timeout=TIMEOUT, stream=True, allow_redirects=False,
            ) as answer:  # fmt: skip
                _check(answer)
                content = b"".join(_bounded(answer, max_bytes, end))
                return File(content, known(answer.headers.get("Content-Type", "")))
        except (requests.RequestException, HTTPError, OSError) as error:
            name = type(error).__name__
        raise Later(name, "the file could not be read to its end")  # out here: what was caught carries the address

    def bring(self, url: str, content: bytes) -> None:
        """The bytes of a file, to the address that Slack named for it. Nothing is visible yet: it may be done again.

        Raises Refused (an address that is none of Slack's) and Later.
        """
        if not _is_slacks(url):
            raise Refused("host", "no address of Slack's for a file")
        try:
            with self._session() as session:
                status = session.post(
                    self._rewritten(url), data=content, timeout=self._seconds, allow_redirects=False,
                    headers={"Content-Type": "application/octet-stream"},
                ).status_code  # fmt: skip
        except (requests.RequestException, OSError) as error:
            raise Later(type(error).__name__, "the file could not be brought to Slack") from None
        if status != _OK:
            raise Later(str(status), "Slack did not take the bytes of a file")

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False if self._root else session.trust_env
        return session

    def _rewritten(self, url: str) -> str:
        parts = urlsplit(url)
        return f"{self._root}{parts.path}" + (f"?{parts.query}" if parts.query else "") if self._root else url


def upload(
    call: Callable[..., Mapping[str, Any]], bring: Callable[[str, bytes], None], name: str, content: bytes
) -> str:
    """Bring a file to Slack, where nobody sees it yet; Slack's name of it. `call`: a method with its arguments.

    Raises like both.
    """
    told = call("files.getUploadURLExternal", filename=name, length=len(content))
    bring(str(told.get("upload_url", "")), content)
    return str(told.get("file_id", ""))[:32]


def _check(answer: requests.Response) -> None:
    """Without the right to read it Slack leads to a page for signing in, or shows one."""
    status = answer.status_code
    page = answer.headers.get("Content-Type", "").startswith("text/html")
    if status in _MOVED or (status == _OK and page):
        raise Later("files:read", "Slack does not let us read files: install the app again", OPERATOR_WAIT)
    if status in _MAY_PASS or status >= _SERVER_FAULT:
        raise Later(str(status), "Slack does not give the file now")
    if status != _OK:
        raise Refused(str(status), "Slack does not give the file")


def _bounded(answer: requests.Response, max_bytes: int, end: float) -> Iterator[bytes]:
    stated, size = answer.headers.get("Content-Length", ""), 0
    if stated.isascii() and stated.isdigit() and int(stated[:18]) > max_bytes:
        raise Refused("413", "the file is too large")
    while chunk := answer.raw.read1(_CHUNK):
        size += len(chunk)
        if size > max_bytes:
            raise Refused("413", "the file is too large")
        if time.monotonic() >= end:
            raise Later("deadline", "the file did not come in time")
        yield chunk
