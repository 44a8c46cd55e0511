"""What was put in against what came of it: transcripts, promises, what was shown, mailboxes.

Pure: it is given evidence and tells findings. `evidence` gathers it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flows.speech import sentence
from tests.chaos.guests import OFFER, SILENCE
from tests.chaos.installation import UNFINISHED
from tests.chaos.people import SUBJECT, pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from tests.chaos.guests import HandedIn
    from tests.chaos.installation import Shown
    from tests.chaos.post import Letter

PROOF = "proof-"  # how the marker of a mail to oneself begins; the number of its test follows
COPIED = frozenset({"found", "appended"})
SURE = ("door_reply.accepted", "door_reply.before")  # replies of the door that say: it left
ENDS = {"accepted": "news.mail_accepted", "refused": "news.mail_refused", "unknown": "news.mail_unknown"}


@dataclass(frozen=True, slots=True)
class Kept:
    """One promise as it stands at the end. `waits`: it is due only later."""

    id: int
    number: str
    kind: str
    state: str
    attempt: int
    outcome: str
    provider_id: str | None
    waits: bool


@dataclass(frozen=True, slots=True)
class Mailed:
    """One mail as we know it. `marker`: the local part of its Message-ID; `copy`: what became of that in *Sent*.

    `at_door`: a program handed it in. Where its server refused it before its last byte, each try is one of these.
    """

    marker: str
    number: str
    state: str
    recipients: tuple[str, ...]
    sender: str
    copy: str = ""
    at_door: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """One mail in a folder of somebody's."""

    box: str
    marker: str
    subject: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known at the end.

    `heard`: when each message (by the provider's id) was claimed; `lines`: when the incoming lines of each person's
    transcript were written. A turn does both with the same moment. `found`, `copies`: what lies in the inboxes, and in
    the folders of sent mail. `excused`: replies that a process was just about to
    send when it was frozen. `dead`: whose turns raised, and where;
    `handed`: what programs sent through the door; `left`: where something of that lies still;
    `complaints`: what else must not be, in words.
    """

    letters: Sequence[Letter]
    heard: Mapping[str, datetime]
    lines: Mapping[str, Sequence[datetime]]
    promises: Sequence[Kept]
    shown: Sequence[Shown]
    mails: Sequence[Mailed]
    found: Sequence[Found]
    copies: Sequence[Found] = ()
    excused: frozenset[int] = frozenset()
    dead: Sequence[str] = ()
    handed: Sequence[HandedIn] = ()
    left: Sequence[str] = ()
    complaints: Sequence[str] = ()


@dataclass
class Report:
    """The counts, and each finding in words."""

    messages: int = 0
    turns: int = 0
    replies: int = 0
    mails: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    excused: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every promise held."""
        return not (self.lost or self.doubled or self.out_of_order)

    def counts(self) -> dict[str, int]:
        """Everything as numbers."""
        return {
            "messages": self.messages,
            "turns": self.turns,
            "replies": self.replies,
            "mails": self.mails,
            "lost": len(self.lost),
            "doubled": len(self.doubled),
            "out_of_order": len(self.out_of_order),
        }


def audit(evidence: Evidence) -> Report:
    """Compare."""
    report = Report(
        messages=len(evidence.letters),
        turns=sum(map(len, evidence.lines.values())),
        replies=len({one.promise for one in evidence.shown}),
        mails=len(evidence.mails),
    )
    _look_at_turns(evidence, report)
    _look_at_speech(evidence, report)
    _look_at_mails(evidence, report)
    _look_at_copies(evidence, report)
    _look_at_mails_to_oneself(evidence, report)
    _look_at_what_was_told(evidence, report)
    _look_at_the_door(evidence, report)
    report.lost += [f"a turn raised: {letter}" for letter in evidence.dead]
    report.lost += [f"{one.kind} {one.id} is still {one.state}" for one in _unfinished(evidence.promises)]
    report.lost += [f"of a mail that came in at the door lies still: {where}" for where in evidence.left]
    report.lost += evidence.complaints
    return report


def _unfinished(promises: Iterable[Kept]) -> Iterator[Kept]:
    return (one for one in promises if one.state in UNFINISHED and not one.waits)


# --- messages ---------------------------------------------------------------------------------------------------------


def _look_at_turns(evidence: Evidence, report: Report) -> None:
    """Every message has exactly one turn: by its webhook, or, where that was lost, because Twilio lists it."""
    written = {number: Counter(moments) for number, moments in evidence.lines.items()}
    for letter in evidence.letters:
        at = evidence.heard.get(letter.sid)
        lines = written.get(letter.number, Counter())
        if at is not None and lines[at]:
            lines[at] -= 1
        else:
            fate = "claimed" if at is not None else "not heard"
            report.lost.append(f"{_about(letter)} was {'taken' if letter.taken else 'not taken'}, {fate}: no turn")
    for number, lines in written.items():
        report.doubled += [f"a turn of {number} at {at:%T.%f} belongs to no message" for at in lines.elements()]


def _about(letter: Letter) -> str:
    return f"message {letter.sid} of {letter.number} ({letter.body[:20]!r})"


# --- speech -----------------------------------------------------------------------------------------------------------


def _look_at_speech(evidence: Evidence, report: Report) -> None:
    """Every reply was shown exactly once, and those to one person in the order of their promises."""
    shown = Counter(one.promise for one in evidence.shown)
    sids = {one.sid for one in evidence.shown}
    spoken = [one for one in evidence.promises if one.kind == "Speak"]
    known = {one.id: one for one in spoken}
    for one in spoken:
        if not shown[one.id] and one.state not in UNFINISHED and one.provider_id not in sids:
            report.lost.append(f"reply {one.id} to {one.number} was not shown: {_fate(one)}")
    for promise, times in shown.items():
        if promise not in known:
            report.doubled.append(f"reply {promise} was shown and nobody promised it")
        elif times > 1:
            where = report.excused if promise in evidence.excused else report.doubled
            where.append(f"reply {promise} was shown {times} times: {_fate(known[promise])}")
    for number, promises in _by_number(evidence.shown).items():
        report.out_of_order += [
            f"reply {later} to {number} was shown before {earlier}" for later, earlier in _descents(promises)
        ]


def _fate(one: Kept) -> str:
    return f"{one.state} at attempt {one.attempt} {one.outcome}".strip()


def _by_number(shown: Iterable[Shown]) -> dict[str, list[int]]:
    """The replies to each person, in the order in which they were first shown."""
    found: dict[str, dict[int, None]] = defaultdict(dict)
    for one in shown:
        found[one.number][one.promise] = None
    return {number: list(promises) for number, promises in found.items()}


def _descents(promises: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Each that came after a later one, with that one."""
    latest = 0
    for promise in promises:
        if promise < latest:
            yield latest, promise
        latest = max(latest, promise)


# --- mail -------------------------------------------------------------------------------------------------------------


def _look_at_mails(evidence: Evidence, report: Report) -> None:
    """An accepted mail is in each inbox exactly once, an unknown one at most once, any other one nowhere."""
    found = Counter((one.box, one.marker) for one in evidence.found if not one.marker.startswith(PROOF))
    known: dict[str, set[str]] = defaultdict(set)
    for mail in evidence.mails:
        known[mail.marker].add(mail.state)
    for mail in evidence.mails:
        if mail.state not in ENDS:
            report.lost.append(f"mail {mail.marker} of {mail.number} is still {mail.state}")
        report.lost += [
            f"mail {mail.marker} of {mail.number} was accepted and is not in the inbox of {box}"
            for box in mail.recipients
            if mail.state == "accepted" and not found[box, mail.marker]
        ]
    for (box, marker), times in found.items():
        state = " and ".join(sorted(known[marker])) or "not known to us"
        if times > 1:
            report.doubled.append(f"mail {marker} is {times} times in the inbox of {box}, and {state}")
        if known[marker].isdisjoint({"accepted", "unknown"}):
            report.doubled.append(f"mail {marker} is in the inbox of {box}, and {state}")
    written = Counter((one.box, one.subject) for one in evidence.found if one.subject.startswith((SUBJECT, OFFER)))
    report.doubled += [f"{times} mails {words!r} are in {box}" for (box, words), times in written.items() if times > 1]


def _look_at_copies(evidence: Evidence, report: Report) -> None:
    """The copy of an accepted mail is in its sender's folder once, or that it is missing was told; no other copy is."""
    copies = Counter((one.box, one.marker) for one in evidence.copies if not one.marker.startswith(PROOF))
    wanted = Counter((one.sender, one.marker) for one in evidence.mails if one.copy in COPIED)
    report.lost += [f"the copy of {marker} is not in Sent of {box}" for box, marker in wanted - copies]
    report.doubled += [
        f"{n} copies too many of {one} are in Sent of {box}" for (box, one), n in (copies - wanted).items()
    ]
    accepted = [one for one in evidence.mails if one.state == "accepted"]
    report.lost += [f"nobody saw to the copy of {one.marker} of {one.number}" for one in accepted if not one.copy]
    missing = [one for one in accepted if one.copy and one.copy not in COPIED]
    told = _told(evidence, "news.copy_missing")
    surely = Counter(one.number for one in missing if not one.at_door)  # of the door's people hear once a day
    report.lost += [f"{number} was not told that {n} copies are missing" for number, n in (surely - told).items()]
    too_often = told - Counter(one.number for one in missing)
    report.doubled += [f"{number} was told {n} times too often: without a copy" for number, n in too_often.items()]


def _look_at_mails_to_oneself(evidence: Evidence, report: Report) -> None:
    """At most one of each live test, in its person's own inbox, and at most one copy of it."""
    tests = {one.id for one in evidence.promises if one.kind == "TestLogin"}
    for where, lying in (("inbox", evidence.found), ("Sent", evidence.copies)):
        proofs = Counter((one.box, one.marker) for one in lying if one.marker.startswith(PROOF))
        for (box, marker), times in proofs.items():
            if times > 1:
                report.doubled.append(f"mail {marker} to oneself is {times} times in {where} of {box}")
            if int(marker.removeprefix(PROOF)) not in tests:
                report.doubled.append(f"mail {marker} to oneself in {where} of {box} belongs to no test")


def _look_at_what_was_told(evidence: Evidence, report: Report) -> None:
    """What became of each mail was told once. The words name no mail: they are counted for each person."""
    for state, name in ENDS.items():
        ended = Counter(mail.number for mail in evidence.mails if mail.state == state and not mail.at_door)
        _compare_with_words(evidence, report, name, ended, state)
    unknown = Counter(mail.number for mail in _unknown_at_the_door(evidence))
    _compare_with_words(evidence, report, "news.door_unknown", unknown, "unknown at the door")


def _compare_with_words(evidence: Evidence, report: Report, name: str, ended: Counter[str], state: str) -> None:
    told = _told(evidence, name)
    report.lost += [f"{number} was not told that {n} mails are {state}" for number, n in (ended - told).items()]
    report.doubled += [f"{number} was told {n} times too often: {state}" for number, n in (told - ended).items()]


def _told(evidence: Evidence, name: str) -> Counter[str]:
    """How often each person read a sentence."""
    said = {number: " ".join(bodies) for number, bodies in _said(evidence.shown).items()}
    return Counter({number: len(pattern(name).findall(words)) for number, words in said.items()})


def _said(shown: Iterable[Shown]) -> dict[str, list[str]]:
    """All that each person read; what was shown twice counts once, the doubled message is a finding by itself."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for one in shown:
        found[one.number][one.promise] = one.body
    return {number: list(bodies.values()) for number, bodies in found.items()}


# --- the door ---------------------------------------------------------------------------------------------------------


def _look_at_the_door(evidence: Evidence, report: Report) -> None:
    """What programs heard is true: a yes is one mail, or one of which nobody knows; where all they heard is no, none.

    That none arrived twice is seen by its subject (`_look_at_mails`). Those of which nobody knows have no subject with
    us: they are counted for each person.
    """
    arrived = {one.subject for one in evidence.found}
    nowhere: Counter[str] = Counter()
    for one in evidence.handed:
        if one.subject in arrived:
            if not _has_yes(one) and SILENCE not in one.replies:
                report.doubled.append(f"{one.subject!r} of {one.number} arrived, and was answered {one.replies}")
        elif _is_sure(one):
            report.lost.append(f"{one.subject!r} of {one.number} is nowhere, and was answered {one.replies}")
        elif _has_yes(one):
            nowhere[one.number] += 1
    there = {one.marker for one in evidence.found}
    unknown = Counter(mail.number for mail in _unknown_at_the_door(evidence) if mail.marker not in there)
    report.lost += [
        f"{n} mails of {number} at the door had a yes, are nowhere, and nobody knows of them"
        for number, n in (nowhere - unknown).items()
    ]


def _unknown_at_the_door(evidence: Evidence) -> list[Mailed]:
    return [mail for mail in evidence.mails if mail.at_door and mail.state == "unknown"]


def _has_yes(one: HandedIn) -> bool:
    return any(reply.startswith("2") for reply in one.replies)


def _is_sure(one: HandedIn) -> bool:
    return any(sentence(name, "en") in reply for reply in one.replies for name in SURE)
