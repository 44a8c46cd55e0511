"""What a message means. Text that may be a secret is sealed here, and goes no further in clear."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from bot import member_files
from bot.channels import Inbound, Media
from bot.facts import FactReader
from bot.mail.knowledge.explain import explain_text
from bot.mail.knowledge.looks import looks_like_an_error
from bot.mail.knowledge.redact import HIDDEN as HIDDEN_WORDS
from bot.mail.knowledge.redact import redact
from bot.mail.wire.send import MAX_FILE_NAME
from bot.promising import promise_all
from bot.safe import SUSPECTED, UNCLAIMED, Safe, use_of
from bot.scene import Scene
from bot.search import Search
from bot.store import conversations, files, promises
from bot.store.promises import Wanted
from bot.transcript import HIDDEN, MAX_LINE, came, caption
from bot.vault import Secret
from flows.conversation import Envelope, Secretive, awaits_secret, may_ask, private, takes_files, understand
from flows.facts import Pasted
from flows.reading import command, looks_like_a_leak, surely_language, written
from flows.words import EraseAtProvider, Event, FileShared, Said, SecretLeaked, SecretSuspected, SecretTyped, Shared

ALWAYS_HEARD = frozenset({"bot", "stop", "start", "erase"})
SHORTEST_ERROR = 10  # characters; most messages are a number or a word, and need no look


@dataclass(frozen=True, slots=True)
class Heard:
    """An event with what the transcript may say about it, and the files that go into a case's thread with that."""

    event: Event
    line: str
    files: Sequence[Media] = ()
    came_in: str = ""  # the provider's id of the message
    for_mail: bool = False  # one of the files may go with a mail, too


class Listener:
    """Understands what people write, within the transaction of their turn."""

    def __init__(self, facts: FactReader, safe: Safe, search: Search) -> None:
        """`search`: finds what the guide has for a question."""
        self._facts = facts
        self._safe = safe
        self._search = search

    def looked_up(self, scene: Scene, envelope: Envelope, inbound: Inbound) -> Scene:
        """The scene, in whose facts stands what was pasted, or else asked, if the message may be one of both."""
        facts = scene.standing.facts
        if pasted := _pasted(inbound):
            facts = replace(facts, pasted=pasted)
        elif inbound.kind == "text" and not inbound.button and may_ask(envelope, inbound.text):
            found = self._search.find(inbound.text, envelope.topic)
            facts = replace(facts, question=self._facts.named(found, inbound.text, scene.now.date()))
        return replace(scene, standing=replace(scene.standing, facts=facts))

    def heard(self, scene: Scene, envelope: Envelope, inbound: Inbound) -> Heard:
        """What a message means. Text that may be a secret is sealed here and goes no further in clear."""
        facts, case = scene.standing.facts, scene.held.case
        event = understand(envelope, inbound.text, inbound.button, inbound.kind, facts, inbound.fields)
        if inbound.media and not private(envelope) and looks_like_a_leak(caption(inbound)):
            event = SecretLeaked()  # below a file as anywhere; neither of them stays, here or at the provider
        if isinstance(event, Secretive):
            return Heard(self._sealed(scene, envelope, inbound.text, event), HIDDEN)
        if inbound.fields is not None and any(map(looks_like_a_leak, inbound.fields.values())):
            return Heard(event, HIDDEN)
        for_staff = bool(inbound.media) and case is not None and not _is_for_mail_alone(envelope)
        for_mail = isinstance(event, Shared) and bool(inbound.media) and takes_files(envelope, facts)
        if for_mail:
            event = _file_taken(scene, inbound, also_for_staff=for_staff)
        if isinstance(event, SecretLeaked) or awaits_secret(envelope) or envelope.lost:
            return Heard(event, HIDDEN)
        if isinstance(event, Said) and private(envelope):
            return Heard(event, f"({len(event.text)} characters of a mail)")
        words = (redact(inbound.text) if facts.pasted else inbound.text)[:MAX_LINE]
        line = came(inbound, words, shown=for_staff)
        return Heard(event, line, inbound.media if for_staff else (), inbound.message_id, for_mail=for_mail)

    def _sealed(self, scene: Scene, envelope: Envelope, text: str, judged: Secretive) -> SecretTyped | SecretSuspected:
        secret_id = self._safe.put(
            scene.db,
            Secret(text.strip("\r\n")),
            kind="mailbox.password",
            owner=scene.held.contact_id,
            use=use_of(envelope.state.account),
            now=scene.now,
            keep=UNCLAIMED if judged.taken else SUSPECTED,
        )
        return SecretTyped(str(secret_id)) if judged.taken else SecretSuspected(str(secret_id))


def overheard(scene: Scene, envelope: Envelope, inbound: Inbound, *, crowded: bool) -> None:
    """What is written goes into the thread; the bot neither steps nor speaks.

    A person owns the conversation, or too much of it is still to be done (`crowded`). Where a secret is awaited
    only what is surely language is shown: that person has to be understood there, too.
    """
    db, held, facts, now = scene.db, scene.held, scene.standing.facts, scene.now
    meant = understand(envelope, inbound.text, inbound.button, inbound.kind, facts, inbound.fields)
    awaited = isinstance(meant, Secretive | SecretLeaked) or envelope.lost
    secretive = looks_like_a_leak(caption(inbound)) or (awaited and not surely_language(inbound.text))
    words = redact(inbound.text) if looks_like_an_error(inbound.text) else written(inbound.text)
    words = words if len(words) <= MAX_LINE else f"{words[: MAX_LINE - 1]}…"
    text = HIDDEN if secretive else came(inbound, words, shown=held.case is not None)
    if inbound.media and held.case is not None and not secretive:
        heard = Heard(Shared(inbound.kind), text, inbound.media, inbound.message_id)
        taken_along(scene, heard, crowded=crowded)
    else:
        conversations.note(db, held.id, [("in", text, None)], now)
    if (secretive or awaits_secret(envelope)) and not crowded:
        promise_all(db, held, [EraseAtProvider()], facts.language, held.ticket, now)
        promises.wake(db, {"work"})


def taken_along(scene: Scene, heard: Heard, *, crowded: bool = False) -> None:
    """Note a line whose files are for the team of the open case. `crowded`: see `overheard`."""
    line = conversations.note_heard(scene.db, scene.held.id, heard.line, scene.now)
    if scene.held.case is not None:
        member_files.coming(
            scene.db, scene.held.id, scene.held.case, line, heard.files, heard.came_in, scene.now,
            crowded=crowded, also_for_mail=heard.for_mail,
        )  # fmt: skip


def left_of(inbound: Inbound, envelope: Envelope) -> str:
    """What the transcript may say of a message whose turn raised, so that nobody knows what it meant."""
    window = inbound.fields is not None  # whose fields are kept nowhere: it cannot be replayed
    secretive = window or awaits_secret(envelope) or envelope.lost or looks_like_a_leak(inbound.text)
    if secretive or private(envelope):
        return HIDDEN
    return redact(inbound.text) if looks_like_an_error(inbound.text) else written(inbound.text[:MAX_LINE])


def is_always_heard(inbound: Inbound) -> bool:
    """Whether the person wants the bot again, or no messages at all: the words that count also beside a human."""
    return inbound.kind == "text" and not inbound.button and command(inbound.text) in ALWAYS_HEARD


def _file_taken(scene: Scene, inbound: Inbound, *, also_for_staff: bool) -> FileShared:
    """A file for a mail: known from now on, fetched by a promise.

    Where it is also for staff, whoever fetches it for them erases it at the provider, later.
    """
    db, held, now = scene.db, scene.held, scene.now
    media, file_id = inbound.media[0], uuid4()
    name = media.name[:MAX_FILE_NAME]
    files.add(db, file_id, held.id, name=name, url=media.url, at=now)
    of = {"file": str(file_id), "message": "" if also_for_staff else inbound.message_id}
    promises.add(db, held.id, [Wanted("work", promises.FETCH_FILE, now, of)], now)
    promises.wake(db, {"work"})
    return FileShared(str(file_id), name)


def _is_for_mail_alone(envelope: Envelope) -> bool:
    """Whether a file that comes now is part of a mail of the person's, which is nobody else's to read."""
    return envelope.flow == "compose"


def _pasted(inbound: Inbound) -> Pasted | None:
    """What an error text means, if the message is one."""
    if inbound.kind != "text" or inbound.button or len(inbound.text) < SHORTEST_ERROR:
        return None
    if not looks_like_an_error(inbound.text):
        return None
    found = explain_text(inbound.text)
    return Pasted(found.cause, found.who, found.retry, secretive=HIDDEN_WORDS in redact(inbound.text))
