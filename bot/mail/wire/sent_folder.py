"""The proof in the *Sent* folder: found there, or put there once; and what became of a mail whose outcome is unknown.

Apart from sending: whatever goes wrong here never sends a mail a second time. Before a copy is put there it is always
looked for, so that after a crash the same call makes no second one.
"""

import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal

from imapclient import SEEN, imap_utf7

from bot.mail.knowledge.explain import Failure, explain
from bot.mail.knowledge.redact import redact
from bot.mail.wire.account import Account, Secret, Token, check_account, plain
from bot.mail.wire.guard import GuardError
from bot.mail.wire.imap import NONSENSE, Lost, Refusal, Session, imap_session
from bot.mail.wire.smtp import Deadline, Network, Track

State = Literal["found", "appended", "no_folder", "failed", "not_seen_yet", "no_imap"]

# Seconds that are waited before each look: servers file their copy a moment after they took the mail.
WAITS = (0.0, 1.0, 2.0, 4.0)
MAX_CONTENT = 50_000_000
_NEWEST = 20
_MAX_IDS = 3
_MAX_SHOWN = 100
_INBOX = "INBOX"

# As servers and mail programs call it, the likeliest first: nextcloud/mail lib/IMAP/FolderMapper.php, Mailspring,
# mailcore2; several are additions of ours.
NAMES = (
    "Sent",
    "Sent Items",
    "Sent Messages",
    "Sent Mail",
    "[Gmail]/Sent Mail",
    "SentBox",
    "Gesendet",
    "Gesendete Elemente",
    "Gesendete Objekte",
    "Enviados",
    "Elementos enviados",
    "Itens enviados",
    "Mensagens enviadas",
    "Éléments envoyés",
    "Messages envoyés",
    "Envoyés",
    "Posta inviata",
    "Inviata",
    "Verzonden items",
    "Verzonden",
    "Skickat",
    "Sendt",
    "Lähetetyt",
    "Odeslané",
    "Odoslané",
    "Wysłane",
    "Elküldött",
    "Отправленные",
    "Надіслані",
    "Gönderilmiş Öğeler",
    "送信済み",
    "已发送",
    "寄件備份",
    "보낸편지함",
)
_UNKNOWN_NAME = len(NAMES)

# Some servers give a mail another Message-ID, and keep ours here: Outlook.com, and Gmail for a malformed one.
_KEPT_IN = ("X-Microsoft-Original-Message-ID", "X-Google-Original-Message-ID")
# Only so much of them: whoever writes to a person could fill a session with one header
_HEADERS = f"BODY.PEEK[HEADER.FIELDS (MESSAGE-ID {' '.join(_KEPT_IN).upper()})]<0.2000>"
_ID = re.compile(r"<[!-;=?-~]{1,250}>")
# The new id in a server's last word: Outlook.com writes `<...> [Hostname=`, Amazon SES its own form without brackets
_NEW_ID = re.compile(r"<[^\s<>@\"\\]{1,200}@[^\s<>@\"\\]{1,200}>|\b[0-9a-f]{16}-[0-9a-f-]{36}-[0-9]{6}\b")


@dataclass(frozen=True)
class Copy:
    """What is known of the copy. `folder` as people read it; `raw` is the server's text, redacted, for staff only.

    found: it is there; appended: we put it there; no_folder: there is no Sent folder; not_seen_yet: the server files
    it, or cannot show its folders today; failed: may succeed when tried again, or is to be told of (`cause`); no_imap:
    the same sign-in would fail again (`token_refused`: a fresh access token may do).
    """

    state: State
    folder: str = ""
    cause: str = ""
    raw: str = ""
    token_refused: bool = False


@dataclass(frozen=True)
class Folder:
    """A folder's name as people read it, and as it is on the wire (modified UTF-7, RFC 3501 5.1.3)."""

    name: str
    wire: str


@dataclass(frozen=True)
class _Listed:
    folder: Folder
    flagged: bool
    rank: int


@dataclass(frozen=True)
class _Sought:
    """A mail by our Message-ID, and by those that the server may have given it instead."""

    own: str
    given: tuple[str, ...]

    @classmethod
    def of(cls, message_id: str, reply: str) -> "_Sought":
        """Raises ValueError for a Message-ID that is none."""
        if not _ID.fullmatch(message_id):
            raise ValueError("not a Message-ID")
        found = dict.fromkeys(id_ for id_ in _NEW_ID.findall(reply) if id_.isascii() and id_ != message_id)
        return cls(message_id, tuple(found)[:_MAX_IDS])

    def stands_in(self, headers: bytes) -> bool:
        return any(id_.encode() in headers for id_ in (self.own, *self.given))


def find_sent(session: Session) -> Folder | None:
    """The folder of sent mail: by its flag (RFC 6154), advertised or not, else by its name; None where there is none.

    Folders of other people and shared ones are left out (RFC 2342). Raises Refusal, OSError.
    """
    own, foreign = _namespaces(session)
    listed = [
        _Listed(folder, rb"\sent" in flags, _rank(folder.name, own | {f"{_INBOX}{delimiter}"}))
        for flags, delimiter, folder in _folders(session)
        if not folder.name.startswith(foreign)
    ]
    likely = [one for one in listed if one.flagged or one.rank < _UNKNOWN_NAME]
    return min(likely, key=lambda one: (not one.flagged, one.rank)).folder if likely else None


def prove(
    account: Account | None,
    secret: Secret,
    content: bytes,
    message_id: str,
    *,
    network: Network,
    server_files: bool,
    reply: str = "",
    provider: str | None = None,
    waits: Sequence[float] = WAITS,
    sleep: Callable[[float], None] = time.sleep,
) -> Copy:
    """See to it that a mail that was sent is in the Sent folder, exactly once.

    `account` is the IMAP account (None: there is none), `content` the mail's bytes with CRLF line ends, `reply` the
    server's last word at sending. With `server_files` it is only looked for. `waits` are the seconds before each look.
    Raises BadAddress, BadCredential, ValueError before a byte is sent, and nothing that a server or network can cause.
    """
    sought = _Sought.of(message_id, reply)
    if len(content) > MAX_CONTENT:
        raise ValueError("larger than any server takes")
    if account is None:
        return Copy("no_imap")
    visit = _Visit(account, secret, network, provider, waits, sleep)
    return visit.prove(sought, None if server_files else content)


def arrived(
    account: Account,
    secret: Secret,
    message_id: str,
    *,
    network: Network,
    reply: str = "",
    waits: Sequence[float] = WAITS,
    sleep: Callable[[float], None] = time.sleep,
) -> bool | None:
    """Whether a mail to oneself is in the INBOX; False: not within the waits, None: it could not be looked for.

    Raises as `prove` does.
    """
    visit = _Visit(account, secret, network, None, waits, sleep)
    return visit.seen(_Sought.of(message_id, reply), lambda _: (_INBOX,))


def resolve_unknown(
    account: Account,
    secret: Secret,
    message_id: str,
    *,
    network: Network,
    waits: Sequence[float] = WAITS,
    sleep: Callable[[float], None] = time.sleep,
) -> bool | None:
    """Whether a mail of which no answer came lies in the Sent folder or the INBOX: then it was sent.

    False (not within the waits) says nothing: the server may file no copy. None: it could not be looked for. Raises as
    `prove` does.
    """
    visit = _Visit(account, secret, network, None, waits, sleep)
    return visit.seen(_Sought.of(message_id, ""), _sent_and_inbox)


class _Visit:
    """One session in a person's mailbox, to look for one mail."""

    def __init__(
        self,
        account: Account,
        secret: Secret,
        network: Network,
        provider: str | None,
        waits: Sequence[float],
        sleep: Callable[[float], None],
    ) -> None:
        check_account(account, secret)
        self._account = account
        self._secret = secret
        self._network = network
        self._provider = provider
        self._waits = waits
        self._sleep = sleep
        self._track = Track()
        self._listed = False
        self._folder = ""

    def prove(self, sought: _Sought, content: bytes | None) -> Copy:
        try:
            with self._session() as session:
                return self._proved(session, sought, content)
        except (OSError, GuardError, Refusal) as error:
            return self._failed(error)

    def seen(self, sought: _Sought, folders: Callable[[Session], tuple[str, ...]]) -> bool | None:
        try:
            with self._session() as session:
                return self._found(session, folders(session), sought)
        except (OSError, GuardError, Refusal):
            return None

    def _session(self) -> AbstractContextManager[Session]:
        deadline = Deadline(self._network.timeouts.total + sum(self._waits))
        account = self._account
        return imap_session(account.server, account.user, self._secret, self._network, deadline, self._track)

    def _proved(self, session: Session, sought: _Sought, content: bytes | None) -> Copy:
        folder = find_sent(session)
        self._listed = True
        if folder is None:
            return Copy("no_folder")
        self._folder = _shown(folder.name)
        if self._found(session, (folder.wire,), sought):
            return Copy("found", self._folder)
        if content is None:
            return Copy("not_seen_yet", self._folder)
        self._track.enter("sent_copy")
        times = self._network.timeouts
        session.allow(Deadline(times.content + times.final), times.content)
        session.append(folder.wire, content, (SEEN,))
        return Copy("appended", self._folder)

    def _found(self, session: Session, folders: Iterable[str], sought: _Sought) -> bool:
        for seconds in self._waits or (0.0,):  # it is looked for at least once
            if seconds:
                self._sleep(seconds)
            if any(_holds(session, folder, sought) for folder in folders):
                return True
        return False

    def _failed(self, error: Exception) -> Copy:
        by_token = isinstance(self._secret, Token)
        failure = replace(Failure.of(error, self._track.stage, self._provider), by_token=by_token)
        found = explain(failure)
        state = self._state(error, retry=found.retry)
        raw = redact(failure.text, (plain(self._secret),))
        return Copy(state, self._folder, found.cause, raw, token_refused=found.blames_secret and by_token)

    def _state(self, error: Exception, *, retry: bool) -> State:
        """Before sign-in only what passes by itself is worth another try; afterwards there is an IMAP account."""
        if self._track.stage not in {"imap_select", "sent_copy"}:
            return "failed" if retry else "no_imap"
        if self._listed or isinstance(error, (OSError, Lost)):
            return "failed"
        return "not_seen_yet"  # Exchange signs people in and may then show nothing: the copy may be there all the same


def _sent_and_inbox(session: Session) -> tuple[str, ...]:
    sent = find_sent(session)
    return (sent.wire, _INBOX) if sent else (_INBOX,)


def _holds(session: Session, folder: str, sought: _Sought) -> bool:
    """Whether the mail is in a folder, by its headers: searches find too little on some servers, too much on others."""
    count = session.select_folder(folder, readonly=True)[b"EXISTS"]
    newest = range(max(1, count - _NEWEST + 1), count + 1)
    hits = _hits(session, sought) if count else ()
    numbers = sorted({*newest, *(number for number in hits if 0 < number <= count)})
    found = session.fetch(numbers, [_HEADERS])
    parts = (part for message in found.values() for part in message.values())
    return any(isinstance(part, bytes) and sought.stands_in(part) for part in parts)


def _hits(session: Session, sought: _Sought) -> set[int]:
    """The numbers that the server's search gives, the newest 20 of each."""
    hits = {number for id_ in (sought.own, *sought.given) for number in _search(session, "Message-ID", id_)}
    for header in _KEPT_IN:
        try:
            hits.update(_search(session, header, sought.own))
        except Lost:
            raise
        except Refusal:  # not all servers search headers that they do not know; the newest mails are read anyway
            continue
    return hits


def _search(session: Session, header: str, id_: str) -> list[int]:
    return sorted(session.search(["HEADER", header, id_]))[-_NEWEST:]


def _folders(session: Session) -> Iterator[tuple[frozenset[bytes], str, Folder]]:
    """All folders that can hold mail: flags in lower case, delimiter (empty: none), name."""
    for flags, delimiter, wire in session.list_folders():
        lower = frozenset(flag.lower() for flag in flags)
        raw = str(wire).encode() if isinstance(wire, int) else wire
        name = _read(raw)
        if name is not None and not lower & {rb"\noselect", rb"\nonexistent"}:
            yield lower, _read(delimiter) or "", Folder(name, raw.decode("ascii"))


def _namespaces(session: Session) -> tuple[frozenset[str], tuple[str, ...]]:
    """The prefixes of the person's own folders, and those of other people's and shared ones (RFC 2342)."""
    if not session.has_capability("NAMESPACE"):
        return frozenset(), ()
    try:
        own, *foreign = session.namespace()
    except Lost:
        raise
    except (Refusal, *NONSENSE):  # it only helps
        return frozenset(), ()
    return frozenset(_prefixes(own)), tuple(_prefixes(prefix for part in foreign for prefix in part or ()))


def _prefixes(pairs: Iterable[tuple[bytes, str]] | None) -> list[str]:
    return [prefix for prefix in (_read(raw) for raw, _ in pairs or ()) if prefix]


def _read(wire: object) -> str | None:
    """A name on the wire as text; None where it is none, or where no command could carry it (CR, LF, NUL)."""
    if not isinstance(wire, bytes) or not wire.isascii() or not wire.decode("ascii").isprintable():
        return None
    try:
        return unicodedata.normalize("NFC", imap_utf7.decode(wire))
    except ValueError:
        return None


def _shown(name: str) -> str:
    """A server's name for a folder, safe to show: it may hold anything, also what breaks lines or turns writing."""
    return "".join(letter for letter in name if letter.isprintable())[:_MAX_SHOWN]


def _rank(name: str, prefixes: frozenset[str]) -> int:
    """The place of a name among those that Sent folders have, with or without a prefix."""
    bare = (name, *(name[len(prefix) :] for prefix in prefixes if name.casefold().startswith(prefix.casefold())))
    return min(_RANKS.get(one.casefold(), _UNKNOWN_NAME) for one in bare)


_RANKS = {unicodedata.normalize("NFC", name).casefold(): rank for rank, name in enumerate(NAMES)}
