"""Plays: talks written down as plain text, with everything the assistant says. They are tests and documentation.

    # A title, and any remark
    people: Ana +5511999990001
    Ana has an invitation in pt                     Ana has a group's invitation in pt
    Ana: oi
        bot: Olá! ...
    Ana: {invitation}
    Ana taps: 2                                     Ana shares photo.jpg
    Ana's page: right password | wrong password | any words
    (sandbox: auth_down)   (sandbox: well)
    (2 hours later)        (restart)               (it is 2027-01-02)
    (in pt)                                         (another agency invites Ana)
    (the number of Ana is issued again)
    (the sandbox plays gmail for gmail.com)         (the agency's server: smtp.gmail.com, warn)
    (inbox of bruno@sandbox.test: Olá)              (sent of ana@sandbox.test: Olá)
    (copies: files | files_under_other_ids | no_folder | none)
    (support founds the agency of Ana)              (support declines the wish of Ana)
    Bia sends the invitation that Ana was given     Bia types the digits that Ana was shown
    Bia types the digits mailed to ana@sandbox.test

Lines that begin with four blanks are the assistant's; playing writes them anew, so that a play that still says the
same is unchanged.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from bot.channels import Identity
from bot.channels.terminal import render
from bot.playground.mail import INBOX, SENT
from bot.playground.theatre import Theatre
from flows.reading import invitation_code, six_digits
from flows.speech import Message, sentence
from flows.words import LANGUAGES, Language

INDENT = "    "
LINK = re.compile(r"http://\S+/s/[A-Za-z0-9_-]+")
CODE = re.compile(r"\b[A-Z0-9]{4}(?:-[A-Z0-9]{4}){2}\b")
SHOWN = re.compile(r"^> (\d{6})$", re.MULTILINE)
EXAMPLE = "ACDE-7FGH-JKMN"
WRONG = "not-the-password"
GROUP = 20  # uses of a group's invitation
ANOTHER_AGENCY = "Agência Lua"
AFTERNOON = datetime(2026, 3, 2, 19, tzinfo=UTC)  # every play begins on a Monday at four, São Paulo's time
SPAN = {"minutes": 1, "hours": 60, "days": 1440, "minute": 1, "hour": 60, "day": 1440}


class BadPlay(Exception):
    """A line of a play cannot be understood."""


@dataclass
class Actor:
    """One person in a play, with what they saw last."""

    name: str
    number: str
    invitation: str = ""
    last: Message | None = None
    link: str = ""
    code: str = ""  # of an invitation, in the last message that had one
    said: list[Message] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)


class Play:
    """Plays a script in a theatre and writes it down."""

    def __init__(self, home: Path, database: str = "", port: int = 8000) -> None:
        self._actors: dict[str, Actor] = {}
        self._language: Language = LANGUAGES[0]
        self.theatre = Theatre(home, self._shown, port, database, AFTERNOON)

    def _shown(self, to: Identity, message: Message) -> None:
        actor = next(one for one in self._actors.values() if one.number == to.address)
        actor.last = message
        actor.said.append(message)
        actor.bodies.append(message.body)
        actor.code = invitation_code(message.body) or actor.code
        if found := LINK.search(message.body):
            actor.link = found.group()

    def play(self, script: str) -> str:
        """Play a script; what it looks like now."""
        return "\n".join(self._lines(script)) + "\n"

    def _lines(self, script: str) -> Iterator[str]:
        for line in script.rstrip().splitlines():
            if line.startswith(INDENT):
                continue
            yield line
            if line.strip() and not line.startswith("#"):
                self._act(line.strip())
                yield from self._heard()

    def _heard(self) -> Iterator[str]:
        for actor in self._actors.values():
            self.theatre.settle(actor.number)
        for actor in self._actors.values():
            whom = f" (to {actor.name})" if len(self._actors) > 1 else ""
            for message in actor.said:
                yield from self._written(f"bot{whom}: ", render(message))
            actor.said.clear()

    def _written(self, who: str, words: str) -> Iterator[str]:
        first, *rest = self._steady(words).splitlines()
        yield f"{INDENT}{who}{first}"
        for line in rest:
            yield f"{INDENT}  {line}".rstrip() if line else INDENT.rstrip() or INDENT

    def _steady(self, words: str) -> str:
        """Without what differs each time."""
        usual_ports = re.sub(r"465 / 587( / \d+)+", "465 / 587", words)
        for name, port in self.theatre.sandbox.ports.items():
            usual_ports = usual_ports.replace(str(port), f"({name})")
        usual_ports = SHOWN.sub("> (digits)", usual_ports)
        usual_ports = CODE.sub(lambda code: code[0] if code[0] == EXAMPLE else "(code)", usual_ports)
        return LINK.sub("http://(link)", usual_ports).replace(self.theatre.parts.settings.domain, "(our domain)")

    def _act(self, line: str) -> None:
        for pattern, act in self.LINES:
            if found := re.fullmatch(pattern, line):
                act(self, *found.groups())
                return
        raise BadPlay(f"This line of the play cannot be understood: {line}")

    def _people(self, named: str) -> None:
        for name, number in re.findall(r"(\w+) (\+\d+)", named):
            self._actors[name] = Actor(name, number)

    def _invite(self, name: str, admin: str, spoken: str) -> None:
        actor = self._actor(name)
        self._language = next(one for one in LANGUAGES if one == spoken)
        role, many = "admin" if "admin" in admin else "member", "group" in admin
        name, uses = ("", GROUP) if many else (actor.name, 1)
        actor.invitation = self.theatre.invitation(self._language, name, role, uses)

    def _reissue(self, name: str) -> None:
        self.theatre.reissue(self._actor(name).number)

    def _invite_elsewhere(self, name: str) -> None:
        actor = self._actor(name)
        actor.invitation = self.theatre.invitation(self._language, actor.name, agency=ANOTHER_AGENCY)

    def _send_invitation(self, name: str, giver: str) -> None:
        code = self._actor(giver).code
        if not code:
            raise BadPlay(f"{giver} was given no invitation.")
        self.theatre.say(self._actor(name).number, sentence("invitation.text", self._language, code=code), name)

    def _type_digits(self, name: str, giver: str) -> None:
        shown = next((found for body in reversed(self._actor(giver).bodies) if (found := SHOWN.search(body))), None)
        if shown is None:
            raise BadPlay(f"{giver} was shown no digits.")
        self.theatre.say(self._actor(name).number, shown[1], name)

    def _type_mailed_digits(self, name: str, address: str) -> None:
        self.theatre.settle(self._actor(name).number)
        mails = self.theatre.sandbox.mailboxes().get(address, {}).get(INBOX, [])
        found = [digits for mail in mails if (digits := six_digits(mail.text))]
        if not found:
            raise BadPlay(f"No digits were mailed to {address}.")
        self.theatre.say(self._actor(name).number, found[-1], name)

    def _answer_wish(self, does: str, name: str) -> None:
        self.theatre.answer_wish(name, self._language, found=does == "founds the agency")

    def _speak(self, spoken: str) -> None:
        self._language = next(one for one in LANGUAGES if one == spoken)

    def _pass_time(self, count: str, unit: str) -> None:
        self.theatre.pass_time(timedelta(minutes=int(count) * SPAN[unit]))

    def _move_to(self, day: str) -> None:
        self.theatre.pass_time(datetime.fromisoformat(f"{day}T19:00+00:00") - self.theatre.clock.now())

    def _say(self, name: str, words: str) -> None:
        actor, ports = self._actor(name), self.theatre.sandbox.ports
        text = words.replace("{invitation}", actor.invitation).replace("\\n", "\n")
        text = text.replace("{submission}", str(ports["submission"])).replace("{smtps}", str(ports["smtps"]))
        self.theatre.say(actor.number, text.replace("{right password}", self._password(actor)), actor.name)

    def _actor(self, name: str) -> Actor:
        if name not in self._actors:
            raise BadPlay(f"Nobody is called {name}; the line `people: {name} +15550000001` is missing.")
        return self._actors[name]

    def _share(self, name: str, file: str) -> None:
        self.theatre.share(self._actor(name).number, file)

    def _tap(self, name: str, number: str) -> None:
        actor = self._actor(name)
        if actor.last is None or int(number) > len(actor.last.buttons):
            raise BadPlay(f"{actor.name} has no button {number} to tap.")
        self.theatre.say(actor.number, f"[{actor.last.buttons[int(number) - 1].id}]", actor.name)

    def _fill_in(self, name: str, what: str) -> None:
        actor = self._actor(name)
        secret = {"right password": self._password(actor), "wrong password": WRONG}.get(what, what)
        if not self.theatre.fill_in(actor.link, secret):
            raise BadPlay(f"{actor.name}'s link is closed.")

    def _password(self, actor: Actor) -> str:
        view = self.theatre.links.look(actor.link.rsplit("/", 1)[-1]) if actor.link else None
        return self.theatre.sandbox.passwords.get(view.address, WRONG) if view else WRONG

    def _look_into(self, address: str, subject: str) -> None:
        if not self._found(address, INBOX, subject):
            raise BadPlay(f"There is no mail with the subject {subject} in the inbox of {address}.")

    def _look_into_sent(self, address: str, subject: str) -> None:
        times = self._found(address, SENT, subject)
        if times != 1:
            raise BadPlay(f"The mail with the subject {subject} is {times} times in the Sent folder of {address}.")

    def _found(self, address: str, folder: str, subject: str) -> int:
        mails = self.theatre.sandbox.mailboxes().get(address, {}).get(folder, [])
        return sum(mail.subject == subject for mail in mails)

    # What may stand in a play, the narrower first.
    LINES: ClassVar[tuple[tuple[str, Callable[..., None]], ...]] = (
        (r"people: (.+)", _people),
        (r"(\w+) has (an|an admin's|a group's) invitation in (\w\w)", _invite),
        (r"\(in (\w\w)\)", _speak),
        (r"\(support (founds the agency|declines the wish) of (\w+)\)", _answer_wish),
        (r"\(another agency invites (\w+)\)", _invite_elsewhere),
        (r"\(the number of (\w+) is issued again\)", _reissue),
        (r"(\w+) types the digits that (\w+) was shown", _type_digits),
        (r"(\w+) types the digits mailed to (\S+)", _type_mailed_digits),
        (r"(\w+) sends the invitation that (\w+) was given", _send_invitation),
        (r"(\w+) taps: (\d+)", _tap),
        (r"(\w+) shares (\S+)", _share),
        (r"(\w+)'s page: (.+)", _fill_in),
        (r"\(sandbox: (\w+)\)", lambda play, kind: play.theatre.sandbox.refuse(None if kind == "well" else kind)),
        (r"\(copies: (\w+)\)", lambda play, habit: play.theatre.sandbox.keep_copies(habit)),
        (r"\(sent of (\S+): (.+)\)", _look_into_sent),
        (r"\(the sandbox plays (\w+) for (\S+)\)", lambda play, provider, domain: play.theatre.cast(provider, domain)),
        (r"\(the agency's server: (\S+), (\w+)\)", lambda play, host, rule: play.theatre.agency_server(host, rule)),
        (r"\((\d+) (\w+) later\)", _pass_time),
        (r"\(it is (\d{4}-\d\d-\d\d)\)", _move_to),
        (r"\(restart\)", lambda play: play.theatre.restart()),
        (r"\(inbox of (\S+): (.+)\)", _look_into),
        (r"(\w+): (.+)", _say),
    )
