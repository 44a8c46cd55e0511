"""The team's tools: what they say, look at, fill in and decide for the person of an open case.

Each is done in the transaction that holds the conversation, and is an audit entry. None shows a secret, or takes one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from bot import desk_windows as windows
from bot.calendar import may_write
from bot.casework import Casework
from bot.channels.slack.style import SlackStyle
from bot.desk import rules
from bot.desk_facts import last_error, provider_facts
from bot.desk_lines import new_name
from bot.desk_packet import TESTS
from bot.desk_windows import MAX_SAID, View
from bot.facts import FactReader, Standing, language
from bot.mail.knowledge.providers import Providers
from bot.store import access, cases, conversations, housekeeping, promises
from bot.store import people as people_store
from bot.store.conversations import Held
from bot.store.engine import Connection, Row
from bot.team import decided, elsewhere
from bot.transcript import HIDDEN
from bot.turns import Turns
from flows import guide, saved, sign_in
from flows import mailbox_states as mailbox
from flows.conversation import Envelope, may_fill, subject
from flows.questions import shown_article
from flows.reading import looks_like_a_leak
from flows.speech import Plain, render, sentence
from flows.words import Account, Code, FieldErrors, Language, Link, Say, Speak, Steered, TestLogin, Values

PROVEN = frozenset({"answer", "access", "assign"})  # done only once Slack has said that whoever wants it is of the team
MAX_ABOUT = 300  # characters of a template's variable
UNSHOWN = timedelta(seconds=30)  # a line leaves by then even if Slack could not show it
Errors = dict[str, str]


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the desk stands."""

    team: str
    channel: str
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class _Use:
    """One use of a tool: the case with its person, who uses it, and in which language the team reads."""

    db: Connection
    row: Row
    held: Held
    by: str
    spoken: Language
    now: datetime

    @property
    def theirs(self) -> Language:
        """The person's language."""
        return language(self.held.language)

    @property
    def talk(self) -> Envelope:
        """The state of the talk; at its beginning where it cannot be read."""
        try:
            return saved.load_envelope(self.held.envelope) if self.held.envelope else Envelope()
        except saved.Unreadable:
            return Envelope()


class DeskTools:
    """Uses tools. Every method is called with the case's conversation held."""

    def __init__(
        self, casework: Casework, turns: Turns, facts: FactReader, providers: Providers, desk: Desk,
        now: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self._casework = casework
        self._turns = turns
        self._facts = facts
        self._providers = providers
        self._desk = desk
        self._now = now
        self._tools: dict[str, Callable[[_Use], None]] = {
            "test": self._test,
            "error": self._error,
            "facts": self._provider,
            "link": self._link,
            "template": self._template,
        }
        self._windows: dict[str, Callable[[_Use, Mapping[str, str]], Errors]] = {
            "send": self._send,
            "canned": self._canned,
            "article": self._article,
            "answer": self._answer,
            "access": self._access,
            "assign": self._assign,
        }

    # --- at the edge ---

    def window(self, db: Connection, number: int, what: str, by: str) -> View | None:
        """The window in which a tool is used; None: it has none, or not now."""
        use = self._use(db, number, by)
        if use is None:
            return None
        of = windows.About(
            number, self._desk.channel, use.spoken, use.theirs, use.held.window_until, self._desk.zone
        )  # fmt: skip
        match what:
            case "send" | "canned" | "article":
                return {"send": windows.send, "canned": windows.canned, "article": windows.article}[what](of)
            case "answer":
                return windows.answer(of, may_fill(use.talk))
            case "access" if (wish := access.of_case(db, number)) is not None:
                open_ = [one.name for one in people_store.agencies(db) if one.closed_at is None]
                return windows.access(of, wish, open_)
        return None

    def use(self, db: Connection, number: int, what: str, by: str) -> bool:
        """Use a tool that needs no window; False: there is none of that name, or the case is closed."""
        use, tool = self._use(db, number, by), self._tools.get(what)
        if use is None or tool is None:
            return False
        tool(use)
        self._used(use, what)
        return True

    def submitted(self, db: Connection, number: int, what: str, given: Mapping[str, str], by: str) -> Errors:
        """A window was filled in; what is wrong, by field: then nothing was done."""
        use, tool = self._use(db, number, by), self._windows.get(what)
        if tool is None:
            return {}
        if use is None:
            row = cases.get(db, number)
            spoken = self._casework.spoken(db)
            return {next(iter(given), "text"): sentence("desk.why.closed", spoken)} if row is not None else {}
        if what not in PROVEN:
            errors = tool(use, given)
            if not errors:
                self._used(use, what)
            return errors
        with db.begin_nested() as rehearsal:
            errors = tool(use, given)
            rehearsal.rollback()
        if not errors:
            of = {"case": number, "what": what, "given": dict(given), "by": by}
            promises.add(
                db, use.row.conversation_id, [promises.Wanted("work", promises.DESK_USE, use.now, of)], use.now
            )
            promises.wake(db, {"work"})
        return errors

    def assign(self, db: Connection, number: int, shown: str, by: str) -> None:
        """Somebody was chosen in the menu of colleagues. `shown`: whose the case was when it was shown, and them.

        Done once both are known to be of the team. What is wrong is told in the thread: there is no window.
        """
        seen, _, user = shown.rpartition(":")
        use = self._use(db, number, by)
        if use is None or not user:
            return
        for words in self.submitted(db, number, "assign", {"user": user, "seen": seen}, by).values():
            self._note(use, words)

    def proven(self, db: Connection, number: int, what: str, given: Mapping[str, str], by: str) -> None:
        """Somebody who surely is of the team has filled in a window; what is not possible any more is told there."""
        use, tool = self._use(db, number, by), self._windows.get(what)
        if use is None or tool is None:
            return
        errors = tool(use, given)
        for words in errors.values():
            self._note(use, words)
        if not errors:
            self._used(use, what, given.get("user", ""))

    def _use(self, db: Connection, number: int, by: str) -> _Use | None:
        row = cases.about(db, number)
        held = conversations.hold(db, row.conversation_id) if row is not None else None
        row = cases.about(db, number) if held is not None else None  # as it stands now that nobody changes it
        if row is None or held is None or row.closed_at is not None:
            return None
        return _Use(db, row, held, by, self._casework.spoken(db), self._now())

    def _used(self, use: _Use, what: str, whom: str = "") -> None:
        subject = f"{use.row.number} {whom}".strip()
        housekeeping.audit_entry(use.db, use.now, actor=use.by, action=f"case_{what}", subject=subject)

    def _note(self, use: _Use, text: str, *, offers: bool = False) -> None:
        """A note for the team alone, in the thread. `offers`: with a button for a template, where one may be sent."""
        cases.note(use.db, use.row.number, use.row.conversation_id, text, use.now, offers=offers)
        self._casework.show(use.db, use.row.conversation_id, use.now)

    # --- said to the person ---

    def _send(self, use: _Use, given: Mapping[str, str]) -> Errors:
        text = given.get("text", "").strip()
        if not text or len(text) > MAX_SAID:
            return {"text": sentence("desk.why.long" if text else "desk.why.empty_field", use.spoken)}
        if looks_like_a_leak(text):
            return {"text": sentence("desk.why.secret_field", use.spoken)}
        return self._said(use, "text", "send", text)

    def _canned(self, use: _Use, given: Mapping[str, str]) -> Errors:
        name = given.get("reply", "")
        if name not in windows.CANNED:
            return {"reply": sentence("desk.why.empty_field", use.spoken)}
        return self._told(use, "reply", "canned", Say(f"desk.canned.{name}"))

    def _article(self, use: _Use, given: Mapping[str, str]) -> Errors:
        topic = given.get("topic", "")
        if topic not in guide.articles(use.spoken):
            return {"topic": sentence("desk.why.empty_field", use.spoken)}
        said = shown_article(topic, self._standing(use).facts, "").effects[0]
        return self._told(use, "topic", "article", said) if isinstance(said, Say) else {}

    def _told(self, use: _Use, field: str, tool: str, said: Say) -> Errors:
        """A sentence of ours, in the person's language; the thread shows it in both."""
        text, gloss = _in_words(said, use.theirs), _in_words(said, use.spoken)
        return self._said(use, field, tool, text, gloss if use.theirs != use.spoken else "", said)

    def _said(self, use: _Use, field: str, tool: str, text: str, gloss: str = "", said: Say | None = None) -> Errors:
        """The way of a line with a mark: shown in the thread, and held there for five seconds."""
        if not may_write(use.held.window_until, use.now):
            return {field: self._over(use)}
        self._casework.happened(use.db, use.row.conversation_id, rules.Taken(use.by), use.now)
        self._under_way(use, tool, text, gloss, {"say": saved.dump(said)} if said is not None else {})
        return {}

    def _over(self, use: _Use) -> str:
        """That their 24 hours are over, and what can be done now."""
        offer = self._casework.offers.of(use.db, use.row.number, use.now)
        over = sentence("desk.why.window", use.spoken)
        return f"{over}. {offer.words(use.spoken)}" if offer is not None else over

    def _under_way(self, use: _Use, tool: str, text: str, gloss: str, how: Mapping[str, object]) -> None:
        """A line that our own message shows. `how`: it is said by something else than its words."""
        db, row = use.db, use.row
        line_id = cases.add_line(
            db, row.number, ts=new_name(), by=use.by, text=text, at=use.now, tool=tool, gloss=gloss
        )  # fmt: skip
        of = {"line": line_id, **how}
        wanted = promises.Wanted("speak", promises.SAY_LINE, use.now + UNSHOWN, of)
        (promise_id,) = promises.add(db, row.conversation_id, [wanted], use.now)
        if line_id is not None:
            cases.change_line(db, line_id, promise_id=promise_id)
        self._casework.show(db, row.conversation_id, use.now)

    def _template(self, use: _Use) -> None:
        """Ask them to answer, in the words that WhatsApp approved; by the way of a line, which can be taken back."""
        offers = self._casework.offers
        offer = offers.of(use.db, use.row.number, use.now)
        if offer is None or not offer.stands:
            self._note(use, offer.words(use.spoken) if offer else sentence("desk.offer.needless", use.spoken))
            return
        self._taken(use)
        about = self._account_at_hand(use)[0][:MAX_ABOUT]
        theirs = about or sentence("desk.offer.about", use.theirs, number=str(use.row.number))
        ours = about or sentence("desk.offer.about", use.spoken, number=str(use.row.number))
        gloss = offers.words(use.spoken, ours) if use.theirs != use.spoken else ""
        self._under_way(use, cases.TEMPLATE, offers.words(use.theirs, theirs), gloss, {"template": theirs})

    def _link(self, use: _Use) -> None:
        """A new one-time link for the account at hand; its address is made when it leaves, and stands nowhere here."""
        if not may_write(use.held.window_until, use.now):
            self._note(use, self._over(use), offers=True)
            return
        self._taken(use)
        self._turns.steer(use.db, use.row.conversation_id, Steered("link"))
        after = self._use(use.db, use.row.number, use.by)
        state = after.talk.state if after is not None else None
        if not isinstance(state, mailbox.AwaitingSecret | sign_in.AwaitingSignIn):
            self._note(use, sentence("desk.link.none", use.spoken))
            return
        values: Values = {"address": Code(state.account.address), "link": Link(state.link_id)}
        said = Say("desk.said.link", values)
        if isinstance(state, sign_in.AwaitingSignIn):
            said = Say("desk.said.sign_in", {**values, **sign_in.brand(state.provider)})
        self._told(use, "", "link", said)

    # --- looked at ---

    def _provider(self, use: _Use) -> None:
        address, host = self._account_at_hand(use)
        today = use.now.date()
        known = self._providers.for_address(address, today) if address else None
        known = known or (self._providers.for_host(host, today) if host else None)
        text = provider_facts(known, address, use.spoken) if address else sentence("desk.facts.nobody", use.spoken)
        self._note(use, text)

    def _account_at_hand(self, use: _Use) -> tuple[str, str]:
        """The address that the talk is about, else the mailbox's, else that of their wish for access; its server."""
        address, host = subject(use.talk)
        if not address and use.row.address:
            address, host = use.row.address, use.row.host
        wish = access.of_case(use.db, use.row.number) if not address else None
        return (wish.address, "") if wish is not None else (address, host)

    def _error(self, use: _Use) -> None:
        found = promises.last_outcome(use.db, use.row.conversation_id, TESTS)
        self._note(use, last_error(found.outcome if found is not None else None, use.spoken))

    def _test(self, use: _Use) -> None:
        """The live test: of the password that waits in the talk, which then goes on; else of the saved mailbox."""
        state = use.talk.state
        if isinstance(state, mailbox.Testing):
            self._note(use, sentence("desk.test.runs", use.spoken))
            return
        if isinstance(state, mailbox.Stuck):
            self._taken(use)
            self._turns.steer(use.db, use.row.conversation_id, Steered("test"))
            return
        standing = self._standing(use)
        kept = standing.facts.mailbox
        if kept is None or not kept.secret_id or standing.member_id is None:
            self._note(use, sentence("desk.test.nothing", use.spoken))
            return
        certified = self._certified(kept.account, use.now)
        of = {
            "effect": saved.dump(TestLogin(kept.account, kept.secret_id, mail=not certified)),
            "member": str(standing.member_id),
            "version": standing.mailbox_version,
            "by": use.by,
        }
        wanted = promises.Wanted("work", promises.DESK_TEST, use.now, of)
        promises.add(use.db, use.row.conversation_id, [wanted], use.now)
        self._note(use, sentence("desk.test.begun", use.spoken, by=f"<@{use.by}>"))

    def _certified(self, account: Account, now: datetime) -> bool:
        """Mail with legal force is not sent as a test."""
        known = self._facts.provider(account.address, account.server.host, now)
        return known is not None and known.certified

    # --- filled in, decided ---

    def _answer(self, use: _Use, given: Mapping[str, str]) -> Errors:
        """Answers for the person, checked by the flow's own form; it goes on as if they had typed them."""
        fields = may_fill(use.talk)
        values = {name: given[name] for name in fields if given.get(name, "").strip()}
        if not values:
            return {fields[0]: sentence("desk.why.empty_field", use.spoken)}
        leaked = [name for name, value in values.items() if looks_like_a_leak(value)]
        if leaked:
            return {leaked[0]: sentence("desk.why.secret_field", use.spoken)}
        if use.talk.silent:
            return {next(iter(values)): sentence("desk.why.silent", use.spoken)}
        with use.db.begin_nested() as together:
            self._taken(use)
            effects = self._turns.steer(use.db, use.row.conversation_id, Steered(next(iter(values)), values))
            wrong = [problem for one in effects if isinstance(one, FieldErrors) for problem in one.problems]
            after = conversations.look(use.db, use.held.id)
            moved = after is not None and after.ticket != use.held.ticket
            if wrong or not moved:
                together.rollback()
        if not wrong and not moved:
            return {next(iter(values)): sentence("desk.why.no_place", use.spoken)}
        if wrong:
            return {name: _in_words(why, use.spoken) for name, why in wrong}
        shown = ", ".join(f"{sentence(f'desk.window.{name}', use.spoken)}: {value}" for name, value in values.items())
        self._note(use, sentence("desk.filled", use.spoken, by=f"<@{use.by}>", answers=_safe(shown)))
        return {}

    def _access(self, use: _Use, given: Mapping[str, str]) -> Errors:
        """Found the agency that they named, let them into another one, or do not."""
        wish = access.of_case(use.db, use.row.number)
        if wish is None:
            return {"decision": sentence("desk.why.decided", use.spoken)}
        match given.get("decision"):
            case "found":
                return self._found(use, wish)
            case "member" | "admin" as role:
                into = people_store.agency_by_name(use.db, given.get("agency", "")) if given.get("agency") else None
                if into is None:
                    return {"agency": sentence("desk.why.no_agency", use.spoken)}
                if elsewhere(use.db, wish, into.id):
                    return {"agency": sentence("desk.why.elsewhere", use.spoken)}
                return self._let_in(use, wish, into.id, role)
            case "decline":
                return self._let_in(use, wish, None, "")
        return {"decision": sentence("desk.why.empty_field", use.spoken)}

    def _found(self, use: _Use, wish: Row) -> Errors:
        if people_store.agency_by_name(use.db, wish.agency) is not None:
            return {"decision": sentence("desk.why.agency_known", use.spoken)}
        if elsewhere(use.db, wish, None):
            return {"decision": sentence("desk.why.elsewhere", use.spoken)}
        zone = self._desk.zone.key
        return self._let_in(use, wish, people_store.add_agency(use.db, wish.agency, use.theirs, zone, use.now), "admin")

    def _let_in(self, use: _Use, wish: Row, agency_id: UUID | None, role: str) -> Errors:
        self._casework.happened(
            use.db, use.row.conversation_id, rules.Ended("granted" if agency_id else "declined"), use.now
        )
        decided(use.db, wish, agency_id, role, use.now)
        promises.wake(use.db, {"work"})
        return {}

    def _assign(self, use: _Use, given: Mapping[str, str]) -> Errors:
        """Give the case to a colleague, unless it is somebody else's by now: of two the first one counts."""
        user, seen = given["user"], given["seen"]
        if use.row.owner == user:
            return {"user": sentence("desk.assign.theirs", use.spoken, owner=f"<@{user}>")}
        if use.row.owner != seen:
            has = f"<@{use.row.owner}>" if use.row.owner else sentence("desk.assign.nobody", use.spoken)
            return {"user": sentence("desk.assign.late", use.spoken, by=f"<@{use.by}>", owner=has)}
        self._casework.happened(use.db, use.row.conversation_id, rules.Taken(user), use.now)
        self._note(use, sentence("desk.assign.done", use.spoken, by=f"<@{use.by}>", owner=f"<@{user}>"))
        return {}

    # --- what they have in common ---

    def _taken(self, use: _Use) -> None:
        """Who acts for the person has the case: the bot says nothing while they do."""
        if not use.row.owner:
            self._casework.happened(use.db, use.row.conversation_id, rules.Taken(use.by), use.now)

    def _standing(self, use: _Use) -> Standing:
        return self._facts.read(use.db, use.held, use.talk, use.now)


def _in_words(said: Say, spoken: Language) -> str:
    return render(Speak((said,)), spoken, Plain(), lambda _link: HIDDEN).body


def _safe(text: str) -> str:
    return SlackStyle().plain(text)
