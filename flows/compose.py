"""A mail written in the chat: to whom, subject, text, a look at it, and off it goes."""

import re
from dataclasses import dataclass

from flows.facts import Facts
from flows.flow import Flow, Step
from flows.forms import Answers, Field, Form, Problem, without
from flows.reading import address, plain, written
from flows.speech import MAX_CODE, shortened
from flows.words import (
    Ask,
    Chose,
    Code,
    Declined,
    Done,
    Effect,
    Event,
    FilesComing,
    FilesFit,
    FilesGone,
    FileShared,
    FilesTooLarge,
    MailQueued,
    MailsExhausted,
    Option,
    Quote,
    Said,
    Say,
    SendMail,
    Start,
    Values,
    WeighFiles,
)

MAX_RECIPIENTS = 5
MAX_SUBJECT = 150
MAX_TEXT = 4_000
MAX_FILES = 5
PREVIEW_ROOM = 500  # characters of recipients, subject and text: a message with buttons holds 1,024 in all


# "to all my clients": what people say when they mean more than a mail
MASS = re.compile(r"\b(all|every\w*|todos|todas|toda|todo)\b")


def recipients(text: str, _facts: Facts) -> str | Problem:
    """Up to five addresses, however they are separated; kept with single blanks between them."""
    pieces = [piece for piece in re.split(r"[\s,;]+", text.strip()) if piece]
    if "@" not in text and MASS.search(plain(text)):
        return Problem("compose.no_mass_mail", {"most": MAX_RECIPIENTS})
    if not pieces or len(pieces) > MAX_RECIPIENTS:
        return Problem("compose.too_many_recipients" if pieces else "compose.no_recipient", {"most": MAX_RECIPIENTS})
    read = {piece: address(piece) for piece in pieces}
    bad = next((piece for piece, good in read.items() if not good), None)
    if bad is not None:
        return Problem("compose.no_address", {"piece": Code(bad[:60])})
    return " ".join(dict.fromkeys(good for good in read.values() if good))


def subject(text: str, _facts: Facts) -> str | Problem:
    """One line."""
    line = re.sub(r"\s+", " ", written(text)).strip()
    if not line:
        return Problem("compose.empty")
    return line if len(line) <= MAX_SUBJECT else Problem("compose.subject_too_long", {"most": MAX_SUBJECT})


def body(text: str, _facts: Facts) -> str | Problem:
    """The text of the mail."""
    words = written(text).strip()
    if not words:
        return Problem("compose.empty")
    return words if len(words) <= MAX_TEXT else Problem("compose.text_too_long", {"most": MAX_TEXT})


FORM = Form("compose", (Field("to", recipients), Field("subject", subject, free=True), Field("text", body, free=True)))
CORRECTABLE = tuple(Option(one.name, f"compose.button.{one.name}") for one in FORM.fields)


@dataclass(frozen=True, slots=True)
class Offering:
    """We wait for whether this file is to be sent by mail."""

    file_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Collecting:
    """We wait for one part of the mail. The answers hold its files, too: a line each, its id and its name."""

    answers: Answers
    asking: str


@dataclass(frozen=True, slots=True)
class Previewing:
    """The mail is complete; we wait for the word to send it."""

    answers: Answers


@dataclass(frozen=True, slots=True)
class Correcting:
    """We wait for which part is to be written again."""

    answers: Answers


@dataclass(frozen=True, slots=True)
class Sending:
    """The mail is being taken into our keeping, or its files are weighed before it is shown."""

    answers: Answers


State = Offering | Collecting | Previewing | Correcting | Sending | Done


def start(entry: str, facts: Facts) -> tuple[State, list[Effect]]:
    """The first question, if anything can be sent; `offer`: whether the file that came is to be sent at all."""
    if entry == "offer" and facts.shared is not None:
        return Offering(facts.shared.file_id, facts.shared.name), []
    return _unable(facts) or (Collecting({}, "to"), [])


def _unable(facts: Facts) -> tuple[State, list[Effect]] | None:
    """Only a mailbox that works can send; anything else is set up or mended first."""
    if facts.mailbox is None:
        return Done(ask=False), [Say("compose.no_mailbox"), Start("mailbox")]
    if facts.mailbox.state != "works":
        return Done(ask=False), [Say("compose.not_working"), Start("mailbox", "manage")]
    return None


def step(state: State, event: Event, facts: Facts) -> Step:
    """Collect, show, then send, correct or drop."""
    match state, event:
        case Offering(file_id, name), Chose("yes"):
            return _unable(facts) or (Collecting({"files": _line(file_id, name)}, "to"), [])
        case Offering(), Chose("no"):
            return Done(), [Say("compose.dropped")]
        case Offering(), FileShared(file_id, name):
            return Offering(file_id, name), []
        case ((Collecting() | Previewing() | Correcting()), FileShared(file_id, name)):
            return _with_file(state, file_id, name)
        case Collecting(answers, asking), Said():
            taken = FORM.take(answers, asking, event, facts)
            return taken if isinstance(taken, Declined) else _go_on(taken)
        case Previewing(answers), Chose("send"):
            return _send(answers, facts)
        case Sending(), MailQueued():
            return Done(ask=False), [Say("compose.sending")]
        case Sending(answers), FilesFit():
            return Previewing(answers), []
        case Sending(answers), FilesGone(gone):
            left = {**answers, "files": _lines_without(answers, gone)}
            return Previewing(left), [Say("compose.files_gone")]
        case Sending(answers), FilesTooLarge(most):
            return Correcting(answers), [Say("compose.files_too_large", {"most": most})]
        case Sending(answers), FilesComing():
            return Previewing(answers), [Say("compose.files_coming")]
        case Sending(answers), MailsExhausted(minutes):
            return Previewing(answers), [Say("compose.too_many_mails", {"minutes": minutes})]
        case Previewing(answers), Chose("correct"):
            return Correcting(answers), []
        case Previewing(), Chose("drop"):
            return Done(), [Say("compose.dropped")]
        case Correcting(answers), Chose("files"):
            return Previewing(without(answers, "files")), []
        case Correcting(answers), Chose(part) if part in answers:
            return Collecting(without(answers, part), part), []
    return Declined()


def _with_file(state: Collecting | Previewing | Correcting, file_id: str, name: str) -> Step:
    """One more file; the question that was open is asked again."""
    lines = state.answers.get("files", "").splitlines()
    if len(lines) >= MAX_FILES:
        return Declined("compose.too_many_files", {"most": MAX_FILES})
    answers = {**state.answers, "files": "\n".join([*lines, _line(file_id, name)])}
    added = Say("compose.file_added", {"name": name})
    return (Collecting(answers, state.asking), [added]) if isinstance(state, Collecting) else _go_on(answers, added)


def _line(file_id: str, name: str) -> str:
    return f"{file_id} {name}"


def _files(answers: Answers) -> tuple[tuple[str, str], ...]:
    """The files of a mail: id and name."""
    lines = (line.partition(" ") for line in answers.get("files", "").splitlines())
    return tuple((file_id, name) for file_id, _, name in lines)


def _file_ids(answers: Answers) -> tuple[str, ...]:
    return tuple(file_id for file_id, _ in _files(answers))


def _lines_without(answers: Answers, gone: tuple[str, ...]) -> str:
    return "\n".join(_line(file_id, name) for file_id, name in _files(answers) if file_id not in gone)


def _go_on(answers: Answers, *before: Effect) -> tuple[State, list[Effect]]:
    """The next question, or the preview: of files only when the mail server takes them."""
    if following := FORM.next(answers):
        return Collecting(answers, following), [*before]
    if file_ids := _file_ids(answers):
        return Sending(answers), [*before, WeighFiles(file_ids)]
    return Previewing(answers), [*before]


def _send(answers: Answers, facts: Facts) -> tuple[State, list[Effect]]:
    mail = SendMail(tuple(answers["to"].split()), answers["subject"], answers["text"], _file_ids(answers))
    return _unable(facts) or (Sending(answers), [mail])


def ask(state: State, facts: Facts) -> Ask:
    """The question of each state."""
    match state:
        case Offering(_, name):
            answers_ = (Option("yes", "compose.button.offer"), Option("no", "compose.button.drop"))
            return Ask("offer", "compose.offer_file", {"name": name}, answers_)
        case Collecting(_, asking):
            return FORM.ask(asking, _sender(facts))
        case Previewing(answers):
            options = tuple(Option(value, f"compose.button.{value}") for value in ("send", "correct", "drop"))
            name = "compose.preview_files" if _files(answers) else "compose.preview"
            return Ask("preview", name, {**_sender(facts), **_shown(answers)}, options)
        case Correcting(answers) if _files(answers):
            return Ask("correct", "compose.which_part", {}, (*CORRECTABLE, Option("files", "compose.button.no_files")))
        case Sending():
            return Ask("sending", "compose.sending")
        case _:
            return Ask("correct", "compose.which_part", {}, CORRECTABLE)


def _shown(answers: Answers) -> Values:
    """The mail as the preview shows it: the longer its head, the less of its text."""
    to, subject_line = answers["to"].replace(" ", ", "), answers["subject"]
    room = PREVIEW_ROOM - len(to[:MAX_CODE]) - len(subject_line)
    names = ", ".join(name for _, name in _files(answers))
    shown = shortened(answers["text"], room - len(names))
    return {"to": Code(to), "subject": Quote(subject_line), "text": Quote(shown), "files": names}


def _sender(facts: Facts) -> Values:
    return {
        "name": facts.name,
        "address": Code(facts.mailbox.account.address if facts.mailbox else ""),
        "most": MAX_RECIPIENTS,
    }


def reopen(state: State, part: str) -> State | None:
    """The same mail with one part to be written again, if it was written."""
    match state:
        case Collecting(answers) | Previewing(answers) | Correcting(answers) if part in answers:
            return Collecting(without(answers, part), part)
    return None


FLOW = Flow(
    "compose",
    (Offering, Collecting, Previewing, Correcting, Sending),
    start,
    step,
    ask,
    world=(Sending,),
    back=(Collecting, Previewing),
    fields=("to", "subject", "text"),
    reopen=reopen,
    nudge=True,
)
