"""Plays: talks written down as plain text, with everything the assistant says. They are tests and documentation.

    # A title, and any remark
    people: Ana +5511999990001
    Ana has an invitation in pt                     Ana has a group's invitation in pt
    Ana: oi
        bot: Olá! ...
    Ana: {invitation}
    Ana taps: 2                                     Ana shares photo.jpg
    Ana's page: right password | wrong password | any words
    Ana gets the file
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

People may be in Slack, too; what they see there is written down with where they see it:

    people: Bia in Slack, Ana +5511999990001
    Bia: oi                                         Bia: /ally invite
    Bia taps: 2                                     Bia taps in the window: 1
    Bia fills in: address = ana@sandbox.test        Bia picks: Ana, Carla
    Bia opens the home                              Bia chooses at home: Test all mailboxes
    Bia chooses at home for Ana: Pause sending      (Carla is deactivated in Slack)

Somebody may sit at the desk, in the support team's channel of that workspace; its hours are Mon-Fri 09:00-18:00:

    people: Ana +5511999990001, Sam at the desk
    (the desk speaks pt)                            (the thread)
    Sam in the thread: only the team reads this     Sam in the thread: !Ana reads this
    Sam in the thread with steps.pdf: !This, too    Sam gives the case to Rita
    Sam taps in the thread: Take over               Sam deletes the last line
    Sam opens the home

`(the thread)` writes down the root of the newest case as it stands, and what has come below it since the last time.

Lines that begin with four blanks are the assistant's; playing writes them anew, so that a play that still says the
same is unchanged.
"""

import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from bot.channels import Identity
from bot.channels.terminal import render
from bot.playground.mail import INBOX, SENT
from bot.playground.slack import Bubble, SlackStandIn
from bot.playground.slack_stage import CHANNEL, DESK, TEAM, address, user_id
from bot.playground.theatre import Theatre, made_up
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
DELETES = " deletes the last line"
MINUTE = re.compile(r"(\d\d\.\d\d\. \d\d):\d\d")
AFTERNOON = datetime(2026, 3, 2, 19, tzinfo=UTC)  # every play begins on a Monday at four, São Paulo's time
SPAN = {"minutes": 1, "hours": 60, "days": 1440, "minute": 1, "hour": 60, "day": 1440}


class BadPlay(Exception):
    """A line of a play cannot be understood."""


@dataclass
class Actor:
    """One person in a play, with what they saw last."""

    name: str
    number: str
    slack: bool = False
    desk: bool = False
    wrote: str = ""  # at the desk, last: the name of that message
    seen: int = 0  # messages in Slack that stand in the play already
    shown: str = ""  # the window or the home as it stands in the play already
    invitation: str = ""
    last: Message | None = None
    home: str = ""  # of theirs in Slack, opened a moment ago and not yet in the play
    notes: int = 0  # for their eyes only, that stand in the play already
    link: str = ""
    code: str = ""  # of an invitation, in the last message that had one
    said: list[Message] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)


class Play:
    """Plays a script in a theatre and writes it down."""

    def __init__(self, home: Path, database: str = "", port: int = 8000) -> None:
        self._actors: dict[str, Actor] = {}
        self._language: Language = LANGUAGES[0]
        self._thread_seen: set[str] = set()
        self._written_down: list[str] = []  # of the thread, and not in the play yet
        self._held = False  # what staff wrote is not said yet: the next line takes it back
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
        lines = [line for line in script.rstrip().splitlines() if not line.startswith(INDENT)]
        for line, following in zip(lines, [*lines[1:], ""], strict=True):
            yield line
            if line.strip() and not line.startswith("#"):
                self._held = following.endswith(DELETES)
                self._act(line.strip())
                yield from self._heard()

    def _heard(self) -> Iterator[str]:
        for actor in self._actors.values():
            self.theatre.settle(actor.number, "slack" if actor.slack else "terminal")
            if not actor.slack and not self._held and any(one.desk for one in self._actors.values()):
                self.theatre.hurry(actor.number)
        yield from self._written_down
        self._written_down = []
        for actor in self._actors.values():
            whom = f" (to {actor.name})" if len(self._actors) > 1 else ""
            for message in actor.said:
                yield from self._written(f"bot{whom}: ", render(message))
            actor.said.clear()
            if actor.slack:
                yield from self._heard_in_slack(actor)

    def _heard_in_slack(self, actor: Actor) -> Iterator[str]:
        """New direct messages; then the window, where it shows something else than the last one of these."""
        slack = self._slack()
        user = user_id(actor.name)
        bubbles = [one for one in slack.dm(TEAM, user) if not one.mine]
        for bubble in bubbles[actor.seen :]:
            actor.bodies.append(bubble.text)
            actor.code = invitation_code(bubble.text) or actor.code
            if found := LINK.search(bubble.text):
                actor.link = found.group()
            yield from self._written(f"bot (to {actor.name}, in Slack): ", _numbered(bubble))
        last = plain_words(bubbles[-1].shown) if bubbles else ""
        actor.seen = len(bubbles)
        if actor.home:
            yield from self._written(f"home ({actor.name}): ", actor.home)
            actor.home = ""
        yield from self._written_window(actor, last)
        for note in slack.ephemerals(TEAM, user)[actor.notes :]:
            actor.notes += 1
            yield from self._written(f"note ({actor.name}): ", plain_words(note.text))

    def _written_window(self, actor: Actor, last: str) -> Iterator[str]:
        slack, user = self._slack(), user_id(actor.name)
        view = slack.modal(TEAM, user)
        shown = plain_words(slack.shown(view)) if view is not None else ""
        fresh, actor.shown = shown not in {"", actor.shown} and not _same_words(shown, last), shown
        if fresh:
            yield from self._written(f"window ({actor.name}): ", shown)
        for field_name, why in slack.field_errors(TEAM, user).items():
            yield from self._written(f"window ({actor.name}), {field_name}: ", why)

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
        in_slack = re.findall(r"(\w+) in Slack", named)
        at_the_desk = re.findall(r"(\w+) at the desk", named)
        for name in (*in_slack, *at_the_desk):
            self._actors[name] = Actor(name, address(name), slack=True, desk=name in at_the_desk)
        if in_slack or at_the_desk:
            self.theatre.workspace(in_slack, at_the_desk)

    def _slack(self) -> SlackStandIn:
        if self.theatre.slack is None:
            raise BadPlay("Nobody in this play is in Slack; the line `people: Bia in Slack` is missing.")
        return self.theatre.slack.standin

    def _tap_in_window(self, name: str, number: str) -> None:
        view = self._slack().modal(TEAM, user_id(name))
        choices = self._slack().buttons(view) if view is not None else ()
        if int(number) > len(choices):
            raise BadPlay(f"{name} has no button {number} in a window.")
        self._slack().tap(TEAM, user_id(name), choices[int(number) - 1][0], where="modal")

    def _fill_window(self, name: str, filled: str) -> None:
        ports = {one: str(port) for one, port in self.theatre.sandbox.ports.items()}
        pairs = [pair.partition("=") for pair in filled.format(**ports).split(",")]
        self._submit(name, {key.strip(): value.strip() for key, _, value in pairs})

    def _pick(self, name: str, picked: str) -> None:
        names = [one.strip() for one in picked.split(",")]
        channels = [CHANNEL] if "the channel" in names else []
        people = [user_id(one) for one in names if one != "the channel"]
        chosen: dict[str, list[str]] = {"people": people, "channels": channels}
        self._submit(name, {key: value for key, value in chosen.items() if value})

    def _submit(self, name: str, values: Mapping[str, str | Sequence[str]]) -> None:
        try:
            self._slack().type_in(TEAM, user_id(name), values)
            self._slack().submit(TEAM, user_id(name))
        except LookupError as missing:
            raise BadPlay(f"{name} cannot fill that in: {missing}") from None

    def _open_home(self, name: str) -> None:
        self._slack().open_home(TEAM, user_id(name))
        self.theatre.settle(self._actor(name).number, "slack")
        shown = self._slack().home(TEAM, user_id(name))
        self._actor(name).home = self._read(self._slack().shown(shown)) if shown is not None else ""

    def _choose_at_home(self, name: str, whom: str | None, label: str) -> None:
        value = label
        if whom:
            value = _option_of(self._slack().home(TEAM, user_id(name)) or {}, whom, label)
        self._slack().tap(TEAM, user_id(name), value, where="home")

    def _deactivate(self, name: str) -> None:
        self._slack().deactivate(TEAM, user_id(name))

    def _close_window(self, name: str) -> None:
        self._slack().close_modal(TEAM, user_id(name), everything=True)
        self._actor(name).shown = ""

    def _root(self) -> Bubble:
        roots = [one for one in self._slack().channel_messages(TEAM, DESK) if not one.thread_ts]
        if not roots:
            raise BadPlay("There is no case yet.")
        return roots[-1]

    def _write_in_thread(self, name: str, file: str | None, words: str) -> None:
        files = [made_up(file)] if file else []
        answer = self._slack().say(TEAM, user_id(name), words, channel=DESK, thread_ts=self._root().ts, files=files)
        self._actor(name).wrote = answer.payload["event"]["ts"]
        self._thread_seen.add(self._actor(name).wrote)

    def _tap_in_thread(self, name: str, label: str) -> None:
        try:
            self._slack().tap(TEAM, user_id(name), label, where=DESK)
        except LookupError as missing:
            raise BadPlay(f"{name} cannot tap that: {missing}") from None

    def _give_case(self, name: str, whom: str) -> None:
        elements = [one for block in self._root().blocks for one in block.get("elements", ())]
        menu = next(one["action_id"] for one in elements if one["type"] == "users_select")
        self._slack().choose(TEAM, user_id(name), menu, user_id(whom), where=DESK)

    def _delete_line(self, name: str) -> None:
        self._slack().take_back(TEAM, user_id(name), self._actor(name).wrote)

    def _show_thread(self) -> None:
        """The root, and below it what is new; staff's own lines stand in the play already, only their marks do not."""
        root = self._root()
        choices = " ".join(f"[{label}]" for _, _, label in root.buttons)
        self._written_down += self._written("desk: ", "\n".join([self._read(root.text), *filter(None, [choices])]))
        told: list[str] = []  # what came in one message or in several is a matter of the second, and not of the play
        for one in self._slack().thread(TEAM, DESK, root.ts)[1:]:
            marks = " ".join(f":{mark}:" for mark in self._slack().reactions(TEAM, DESK, one.ts))
            if one.ts not in self._thread_seen:
                told += filter(None, [self._read(one.text), *(f"[{name}]" for name in one.files)])
            elif marks and f"{one.ts} {marks}" not in self._thread_seen:
                self._written_down += self._written("thread: ", "\n".join(told)) if told else ()
                told = []
                who = next(actor.name for actor in self._actors.values() if user_id(actor.name) == one.user)
                self._written_down += self._written(f"thread ({who}, {marks}): ", self._read(one.text))
            self._thread_seen |= {one.ts, f"{one.ts} {marks}"}
        self._written_down += self._written("thread: ", "\n".join(told)) if told else ()

    def _read(self, text: str) -> str:
        """What somebody at the desk reads of a message: names for ids, and no minute, because the clock goes on."""
        for actor in self._actors.values():
            text = text.replace(f"<@{user_id(actor.name)}>", f"@{actor.name}")
        return MINUTE.sub(r"\1:··", plain_words(text))

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
        text = text.replace("{right password}", self._password(actor))
        if not actor.slack:
            self.theatre.say(actor.number, text, actor.name)
        elif text.startswith("/ally"):
            self._slack().command(TEAM, user_id(name), text.removeprefix("/ally").strip())
        else:
            self._slack().say(TEAM, user_id(name), text)

    def _actor(self, name: str) -> Actor:
        if name not in self._actors:
            raise BadPlay(f"Nobody is called {name}; the line `people: {name} +15550000001` is missing.")
        return self._actors[name]

    def _share(self, name: str, file: str) -> None:
        self.theatre.share(self._actor(name).number, file, name)

    def _tap(self, name: str, number: str) -> None:
        actor = self._actor(name)
        if actor.slack:
            self._tap_in_slack(actor, int(number))
            return
        if actor.last is None or int(number) > len(actor.last.buttons):
            raise BadPlay(f"{actor.name} has no button {number} to tap.")
        button = actor.last.buttons[int(number) - 1]
        self.theatre.tap(actor.number, button.id, button.label, actor.name)

    def _tap_in_slack(self, actor: Actor, number: int) -> None:
        bubbles = [one for one in self._slack().dm(TEAM, user_id(actor.name)) if one.buttons]
        if not bubbles or number > len(bubbles[-1].buttons):
            raise BadPlay(f"{actor.name} has no button {number} to tap.")
        self._slack().tap(TEAM, user_id(actor.name), bubbles[-1].buttons[number - 1][0], ts=bubbles[-1].ts)

    def _fill_in(self, name: str, what: str) -> None:
        actor = self._actor(name)
        secret = {"right password": self._password(actor), "wrong password": WRONG}.get(what, what)
        if not self.theatre.fill_in(actor.link, secret):
            raise BadPlay(f"{actor.name}'s link is closed.")

    def _get_file(self, name: str) -> None:
        if not self.theatre.get_data(self._actor(name).link):
            raise BadPlay(f"{name}'s link gives no file.")

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
        (r"\(the desk speaks (\w\w)\)", lambda play, spoken: play.theatre.desk_speaks(spoken)),
        (r"\(the thread\)", _show_thread),
        (r"(\w+) in the thread(?: with (\S+))?: (.+)", _write_in_thread),
        (r"(\w+) taps in the thread: (.+)", _tap_in_thread),
        (r"(\w+) gives the case to (\w+)", _give_case),
        (rf"(\w+){DELETES}", _delete_line),
        (r"(\w+) taps in the window: (\d+)", _tap_in_window),
        (r"(\w+) fills in: (.+)", _fill_window),
        (r"(\w+) picks: (.+)", _pick),
        (r"(\w+) opens the home", _open_home),
        (r"(\w+) closes the window", _close_window),
        (r"(\w+) chooses at home(?: for (\w+))?: (.+)", _choose_at_home),
        (r"\((\w+) is deactivated in Slack\)", _deactivate),
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
        (r"(\w+) gets the file", _get_file),
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


def plain_words(text: str) -> str:
    """What a person reads of Slack's marks."""
    return html.unescape(text).replace("*", "").replace("`", "").replace("\u200a", "")


def _numbered(bubble: Bubble) -> str:
    choices = [f"  {number} {label}" for number, (_, _, label) in enumerate(bubble.buttons, start=1)]
    return "\n".join([plain_words(bubble.text), *choices])


def _same_words(window: str, message: str) -> bool:
    """Whether a window shows no more than the message that was just said."""
    return bool(message) and set(message.split()) <= set(window.split())


def _option_of(view: Mapping[str, Any], whom: str, label: str) -> str:
    """The value of a choice in the menu beside somebody's line."""
    for block in view.get("blocks") or []:
        text = str((block.get("text") or {}).get("text", ""))
        for option in (block.get("accessory") or {}).get("options") or []:
            if f"*{whom}*" in text and option["text"]["text"] == label:
                return str(option["value"])
    raise BadPlay(f"There is no {label} for {whom} at home.")
