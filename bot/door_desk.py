"""Who may send through the door, and how their mail leaves: as an ordinary mail of their mailbox, once.

What the mailbox's own server says is what the guest hears: accepted, refused (5xx) or later (4xx), with our sentence.
Before the last byte leaves it is noted that it will; after that the same mail is never handed over again, whoever hands
it in once more, and whatever dies in between. A mail of which no answer came is answered with 250, because a 4xx
would have it sent again; it is looked for, and its person is told.
"""

import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from math import ceil
from typing import Any, cast
from uuid import UUID

import structlog
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from bot import door_keys
from bot.credentials import relay
from bot.door import letter as letters
from bot.door.letter import Letter
from bot.door.words import Guest, Refusal, Reply
from bot.facts import language as language_of
from bot.grants import NotNowError
from bot.handiwork import Tools, provider_of
from bot.insist import insist
from bot.limits import Exhausted, source
from bot.live_tests import stored
from bot.mail.wire import send as sending
from bot.mail.wire.account import BadCredential
from bot.mail.wire.addresses import BadAddress, normalise
from bot.mail.wire.relay import Lines, NeedsEightBit
from bot.safe import WAITING
from bot.store import door_mails, doors, mailboxes, promises
from bot.store.door_mails import HOUR, Once
from bot.store.engine import DatabaseDown, Row, reading
from bot.vault import Secret, Unopenable
from flows.sign_in import why
from flows.speech import sentence

PARALLEL = 2  # at once from one mailbox, where its provider tells no number
MAX_PARALLEL = 5
PER_MINUTE, PER_HOUR = 60, 200  # mails of a mailbox
# A product that sends for many people comes from few machines.
OF_AN_AGENCY, OF_A_SOURCE = parse("1000 per minute"), parse("2000 per 10 seconds")
# So long a process that hands a mail over counts as alive when nothing is heard of it; then the truth is told. While it
# lives it says so (`tidy`), as long as a server may take after the last byte.
LEASE = timedelta(seconds=45)
SLOWED = (2.0, 30.0)  # seconds that a wrong key waits for its answer: at first, and where there were too many
REST = timedelta(minutes=15)  # after a refused password or token nothing signs in with it again for so long
MAX_PERSON = 320
A_MOMENT = 3.0  # seconds that a guest waits for our database where nothing depends on it
LEAVE = 1.0  # seconds for the good-bye of a connection that is given up
_TOLD = re.compile(r"(?:^|: )([45]\d\d)[ -](?:([45]\.\d{1,3}\.\d{1,3})\b)?")
_PASSED_ON = frozenset({450, 451, 452, 550, 551, 552, 553, 554})  # of what a server says after MAIL, RCPT or DATA
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Going:
    """One mail on its way: from which mailbox (its row), for whom, and by what it is known again."""

    mail_id: UUID
    row: Row
    letter: Letter
    recipients: tuple[str, ...]
    once: Once
    note: dict[str, int]  # the promise that looks after it


class DoorDesk:
    """What the door asks (`bot.door.words.House`). Its functions may be called from many threads."""

    def __init__(self, tools: Tools, lines: Lines | None = None) -> None:
        self._tools = tools
        self._lines = lines or Lines()
        self._lately = FixedWindowRateLimiter(MemoryStorage())
        self._resting: dict[tuple[UUID, int], datetime] = {}
        self._handing: set[UUID] = set()

    # --- who ---

    def sign_in(self, user: str, key: str, source_address: str) -> Guest | Refusal:
        """See `House`. The same words for a wrong address and a wrong key: nobody learns which was right."""
        hashed = door_keys.hash_of(key)
        try:
            with reading(self._tools.engine) as db:
                row = door_mails.standing(db, hashed, "", self._tools.clock.now())
            if row is None or row.address.lower() != user.strip().lower():
                return self._turned_away(user.strip(), source_address)
            language = language_of(row.language)
            if row.state != "works":
                self._remember(row.address, row.cause or "not_working")
                return Refusal(Reply(535, "5.7.0", self.says("door_reply.not_working", language)))
            with self._tools.engine.begin() as db:
                door_mails.hurried(db)
                doors.used(db, row.mailbox_id, self._tools.clock.now())
        except DatabaseDown:
            return Refusal(Reply(454, "4.7.0", self.says("door_reply.down", "en")))
        return self._guest(row, hashed)

    def _turned_away(self, user: str, source_address: str) -> Refusal:
        address = user.lower()[:MAX_PERSON].replace("\0", "?").encode("utf-8", "replace").decode() or "-"
        counted = self._tools.limits.allow("door_sign_in", source(source_address), address)
        self._remember(address, "wrong_key")
        _log.info("a guest was turned away", why="wrong_key")
        if isinstance(counted, Exhausted):
            reply = Reply(535, "5.7.8", self.says("door_reply.too_often", "en"), closes=True)
            return Refusal(reply, wrong=True, seconds=SLOWED[1])
        return Refusal(Reply(535, "5.7.8", self.says("door_reply.wrong", "en")), wrong=True, seconds=SLOWED[0])

    def _remember(self, address: str, cause: str) -> None:
        with self._tools.engine.begin() as db:
            door_mails.hurried(db)
            doors.refused(db, address, cause, self._tools.clock.now())

    def _guest(self, row: Row, hashed: str) -> Guest:
        provider = provider_of(self._tools, stored(row))
        known = provider.limits if provider is not None else None
        parallel = min(known.connections, MAX_PARALLEL) if known and known.connections else PARALLEL
        return Guest(
            mailbox=str(row.mailbox_id),
            agency=str(row.agency_id),
            address=row.address,
            language=language_of(row.language),
            key=hashed,
            host=row.host if row.transport == "smtp" else row.transport,
            parallel=parallel,
            a_minute=(known.messages_a_minute or 0) if known else 0,
            size=row.size or 0,
        )

    def may_send(self, guest: Guest) -> Guest | Reply:
        """See `House`."""
        now = self._tools.clock.now()
        try:
            with reading(self._tools.engine) as db:
                row = door_mails.standing(db, guest.key, "", now)
        except DatabaseDown:
            return self._down(guest)
        closed = self._closed(row, guest)
        if row is None or closed is not None:
            return closed or self._gone(guest)
        return self._limited(guest, row, now) or self._guest(row, guest.key)

    def _limited(self, guest: Guest, row: Row, now: datetime) -> Reply | None:
        """What left from a mailbox is counted by all processes; an agency and a source, by each for itself."""
        minutes = 1 if row.in_minute >= PER_MINUTE else 0
        if row.in_hour >= PER_HOUR:
            minutes = max(1, ceil((row.since + HOUR - now).total_seconds() / 60))
        return self._reply(guest, 450, "4.7.1", "limit", {"minutes": str(minutes)}) if minutes else None

    def is_busy(self, guest: Guest, source_address: str) -> Reply | None:
        """See `House`."""
        free = self._lately.hit(OF_AN_AGENCY, guest.agency) and self._lately.hit(OF_A_SOURCE, source(source_address))
        return None if free else self._reply(guest, 450, "4.7.1", "limit", {"minutes": "1"})

    def _closed(self, row: Row | None, guest: Guest) -> Reply | None:
        """Why a key that was right opens nothing any more."""
        if row is None or row.address.lower() != guest.address.lower():
            return self._gone(guest)
        if row.state != "works" or row.secret_id is None:
            return self._reply(guest, 550, "5.7.1", "not_working")
        if row.conversation_id is None:
            return self._reply(guest, 550, "5.7.1", "nobody")
        return None

    # --- what ---

    def letter(self, guest: Guest, content: bytes, mail_id: UUID) -> Letter | Reply:
        """See `House`."""
        made = partial(sending.message_id, mail_id.hex, guest.address)
        try:
            return letters.read(content, address=guest.address, now=self._tools.clock.now(), made_id=made)
        except letters.Unfit as unfit:
            if unfit.fault == "from_other":
                return self._reply(guest, 550, "5.7.1", "from_other")
            return self._reply(guest, 554, "5.5.2" if unfit.fault == "bare" else "5.6.0", unfit.fault)

    def recipient(self, guest: Guest, address: str) -> str | Reply:
        """See `House`."""
        try:
            return normalise(address)
        except BadAddress as bad:
            if bad.reason == "local_part_not_ascii":
                return self._reply(guest, 553, "5.6.7", "beyond_ascii")
            return self._reply(guest, 553, "5.1.3", "address")

    # --- sending ---

    def send(self, guest: Guest, letter: Letter, recipients: tuple[str, ...], mail_id: UUID) -> Reply:
        """See `House`."""
        now = self._tools.clock.now()
        try:
            digest = letters.digest_for(letter, recipients)
            with reading(self._tools.engine) as db:
                row = door_mails.standing(db, guest.key, digest, now)
            closed = self._closed(row, guest)
            if row is None or closed is not None:
                return closed or self._gone(guest)
            once = Once(digest, letter.own_id)
            if row.before_id is not None and row.before_came > now - once.kept:
                return self._said_before(guest, row, now)
            limited = self._limited(guest, row, now)
            if limited is not None:
                return limited
            if self._resting.get((row.secret_id, row.version), now) > now:
                return self._reply(guest, 451, "4.7.0", "not_working")
            return self._sent(guest, _Going(mail_id, row, letter, recipients, once, {}))
        except DatabaseDown:
            return self._down(guest)

    def _said_before(self, guest: Guest, row: Row, now: datetime) -> Reply:
        """The same mail once more: what became of it, as far as that is known."""
        if row.before_state == "accepted":
            return self._reply(guest, 250, "2.0.0", "before")
        if row.before_state == "handing" and now - row.before_at < LEASE:
            return self._reply(guest, 451, "4.3.0", "under_way")
        if row.before_state == "handing":  # its process died in the middle
            why = "the process ended while the mail was handed over"
            self._unknown_now(row.before_id, row.before_promise, why)
        return self._reply(guest, 250, "2.0.0", "unknown")

    def _sent(self, guest: Guest, mail: _Going) -> Reply:
        row = mail.row
        try:
            outcome = relay(
                self._tools,
                self._lines,
                stored(row),
                row.secret_id,
                mail.letter.wire,
                mail.recipients,
                on_handing=partial(self._note_handing, mail),
                on_accepted=partial(self._note_accepted, mail),
            )
        except door_mails.Known:
            return self._reply(guest, 451, "4.3.0", "under_way")
        except Unopenable:
            return self._reply(guest, 550, "5.7.1", "not_working")
        except NotNowError:
            return self._reply(guest, 451, "4.7.0", "down")
        except NeedsEightBit:
            return self._reply(guest, 554, "5.6.3", "eight_bit")
        except BadAddress:
            return self._reply(guest, 553, "5.1.3", "address")
        except (BadCredential, sending.BadMessage) as bad:
            fault = "others" if isinstance(bad, sending.BadMessage) and bad.part == "recipients" else "not_working"
            return self._reply(guest, 550, "5.7.1", fault)
        finally:
            self._handing.discard(mail.mail_id)
        return self._answered(guest, mail, outcome)

    def _answered(self, guest: Guest, mail: _Going, outcome: sending.Outcome) -> Reply:
        ids = {"mail": str(mail.mail_id), "mailbox": guest.mailbox}
        match outcome:
            case sending.Accepted(declined=declined):
                _log.info("a mail left through the door", **ids, declined=len(declined))
                if not declined:
                    return self._reply(guest, 250, "2.0.0", "accepted")
                names = ", ".join(one.address for one in declined)
                return self._reply(guest, 250, "2.0.0", "partly", {"declined": names})
            case sending.Unknown(raw):
                _log.warning("nobody knows whether a mail left through the door", **ids)
                self._unknown_now(mail.mail_id, mail.note.get("promise", 0), raw)
                return self._reply(guest, 250, "2.0.0", "unknown")
            case sending.Refused() | sending.Later():
                _log.info("a mail did not leave through the door", **ids, stage=outcome.stage, cause=outcome.cause)
                self._note_refused(mail, outcome)
                return self._verdict(guest, mail.row, outcome)

    def _verdict(self, guest: Guest, row: Row, outcome: sending.Refused | sending.Later) -> Reply:
        """The server's own code where it has one that fits here; what failed at signing in is no reply to a mail."""
        later = isinstance(outcome, sending.Later)
        found = _TOLD.search(outcome.raw) if outcome.stage in {"mail_from", "rcpt_to", "data", "post_data"} else None
        told, enhanced = (int(found[1]), found[2] or "") if found else (0, "")
        kind = told // 100 if told else 4 if later else 5
        code = told if told in _PASSED_ON else 451 if kind == 4 else 554  # noqa: PLR2004 - RFC 5321 4.2.1
        fits = enhanced.startswith(f"{kind}.")
        usual = "7.0" if outcome.stage == "auth" else "4.1" if not found else "0.0"
        signed_in = "token" if row.transport == "graph" or getattr(outcome, "token_refused", False) else ""
        words = self.says(why(outcome.cause, signed_in), guest.language)
        return Reply(code, enhanced if fits else f"{kind}.{usual}", words)

    # --- what is noted ---

    def _note_handing(self, mail: _Going) -> None:
        """Before the last byte leaves: from here on nobody hands this mail over again. Raises Known, DatabaseDown."""
        try:
            mail.note["promise"] = self._begun(mail)
        except DatabaseDown:  # it may stand there all the same, and would be told as unknown
            with suppress(*DatabaseDown):
                insist(partial(self._taken_back, mail), A_MOMENT)
            raise

    def _begun(self, mail: _Going) -> int:
        now = self._tools.clock.now()
        self._handing.add(mail.mail_id)  # first: whoever sees the mail stand there may tidy up the next moment
        with reading(self._tools.engine) as db:
            if mail.row.before_id is not None:
                door_mails.forget(db, mail.row.before_id)  # its time is over
            return door_mails.begin(db, mail.mail_id, self._values(mail, now), mail.once, now + LEASE)

    def _taken_back(self, mail: _Going) -> None:
        with reading(self._tools.engine) as db:
            door_mails.take_back(db, mail.mail_id)

    def _values(self, mail: _Going, now: datetime) -> dict[str, Any]:
        return {
            "conversation_id": mail.row.conversation_id,
            "mailbox_id": mail.row.mailbox_id,
            "mailbox_version": mail.row.version,
            "message_id": mail.letter.message_id,
            "date": now,
            "recipients": list(mail.recipients),
            "at": now,
        }

    def _note_accepted(self, mail: _Going, reply: str) -> None:
        """At the server's last word, before anything else is said to it; a database that is away is waited for."""
        now, words = self._tools.clock.now(), Secret(mail.letter.copy.decode("latin-1"))
        use, owner = {"mail": str(mail.mail_id)}, mail.row.contact_id
        content = self._tools.safe.seal(words, kind="door.mail", owner=owner, use=use, now=now, keep=WAITING)

        def note() -> None:
            with reading(self._tools.engine) as db:
                door_mails.accepted(
                    db, mail.mail_id, row=mail.row, reply=reply, promise_id=mail.note["promise"], content=content,
                    at=now,
                )  # fmt: skip

        insist(note)

    def _note_refused(self, mail: _Going, outcome: sending.Refused | sending.Later) -> None:
        """It did not leave; handed in again it is a new mail. What was noted before is undone, whatever it takes."""
        if mail.note:
            insist(lambda: self._kept_refused(mail, outcome))
        else:
            self._kept_refused(mail, outcome)

    def _kept_refused(self, mail: _Going, outcome: sending.Refused | sending.Later) -> None:
        now, row = self._tools.clock.now(), mail.row
        blamed = isinstance(outcome, sending.Refused) and (outcome.blames_secret or outcome.token_refused)
        with self._tools.engine.begin() as db:
            if mail.note:
                mailboxes.move_mail(db, mail.mail_id, to="refused", of=("handing",), reply=outcome.raw, at=now)
                promises.cancel(db, mail.note["promise"])
                door_mails.forget(db, mail.mail_id)
            else:
                values = {**self._values(mail, now), "state": "refused", "reply": outcome.raw[:500]}
                mailboxes.add_mail(db, mail.mail_id, values)
            doors.refused(db, row.address, outcome.cause, now)
            if blamed:  # whether the password is of no use any more, the watch finds out
                promises.watch(db, row.conversation_id, row.mailbox_id, now, now)
                promises.wake(db, {"work"})
        if blamed:
            self._resting[(row.secret_id, row.version)] = now + REST

    def _unknown_now(self, mail_id: UUID, promise_id: int, raw: str) -> None:
        """No answer came: it is looked for now, by the promise that stands there for it."""
        now = self._tools.clock.now()

        def note() -> None:
            with self._tools.engine.begin() as db:
                mailboxes.move_mail(db, mail_id, to="unknown", of=("handing",), reply=raw, at=now)
                promises.move(db, promise_id, now)
                promises.wake(db, {"mail"})

        insist(note)

    # --- words ---

    def says(self, name: str, language: str, values: Mapping[str, str] | None = None) -> str:
        """See `House`. Replies of SMTP are ASCII (RFC 5321 2.4), so letters lose their accents."""
        said = sentence(name, cast("Any", language), **(values or {})).replace("*", "")
        return unicodedata.normalize("NFKD", said).encode("ascii", "ignore").decode()

    def _reply(
        self, guest: Guest, code: int, enhanced: str, name: str, values: Mapping[str, str] | None = None, *,
        closes: bool = False,
    ) -> Reply:  # fmt: skip
        return Reply(code, enhanced, self.says(f"door_reply.{name}", guest.language, values), closes)

    def _gone(self, guest: Guest) -> Reply:
        return self._reply(guest, 530, "5.7.0", "gone", closes=True)

    def _down(self, guest: Guest) -> Reply:
        return self._reply(guest, 451, "4.3.0", "down")

    def tidy(self) -> Mapping[str, int]:
        """See `House`."""
        now = self._tools.clock.now()
        self._resting = {key: until for key, until in list(self._resting.items()) if until > now}
        closed = self._lines.sweep(LEAVE)
        if handing := list(self._handing):
            with reading(self._tools.engine) as db:
                door_mails.still_handing(db, handing, now, now + LEASE)
        return {"lines": self._lines.count, "lines_closed": closed}

    def close(self) -> None:
        """Nothing is handed over any more."""
        self._lines.close()
