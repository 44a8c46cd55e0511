"""A mail written in the chat, step by step."""

from dataclasses import replace

import pytest

from flows.compose import (
    CORRECTABLE,
    MAX_SUBJECT,
    MAX_TEXT,
    Collecting,
    Correcting,
    Offering,
    Previewing,
    Sending,
    ask,
    body,
    recipients,
    reopen,
    start,
    step,
    subject,
)
from flows.forms import without
from flows.words import (
    Chose,
    Code,
    Declined,
    Done,
    FilesComing,
    FilesFit,
    FilesGone,
    FileShared,
    FilesTooLarge,
    MailQueued,
    MailsExhausted,
    Quote,
    Said,
    Say,
    SendMail,
    Shared,
    Start,
    WeighFiles,
)
from tests.flowkit import ADDRESS, WORKS, facts

OWNER = facts(mailbox=WORKS)
WRITTEN = {"to": "bia@agency.test", "subject": "Hello", "text": "How are you?"}
TO = Collecting({}, "to")
SUBJECT = Collecting({"to": "bia@agency.test"}, "subject")
TEXT = Collecting({"to": "bia@agency.test", "subject": "Hello"}, "text")
MAIL = SendMail(("bia@agency.test",), "Hello", "How are you?")

STORY = {
    "recipients first": (TO, Said("bia@agency.test"), (SUBJECT, [])),
    "no recipients": (TO, Said("Bia"), Declined("compose.no_address", {"piece": Code("Bia")})),
    "then the subject": (SUBJECT, Said(" Hello "), (TEXT, [])),
    "then the text": (TEXT, Said("How are you?"), (Previewing(WRITTEN), [])),
    "a lone command word is asked about": (TEXT, Said("cancel"), Declined("talk.doubt")),
    "a command word that is meant as text": (
        TEXT,
        Said("cancel", literal=True),
        (Previewing({**WRITTEN, "text": "cancel"}), []),
    ),
    "a picture is no text": (TEXT, Shared("image"), Declined()),
    "a tap is no text": (TEXT, Chose("new_link"), Declined()),
    "sent": (Previewing(WRITTEN), Chose("send"), (Sending(WRITTEN), [MAIL])),
    "kept": (Sending(WRITTEN), MailQueued("m"), (Done(ask=False), [Say("compose.sending")])),
    "too many mails: it waits in the preview": (
        Sending(WRITTEN),
        MailsExhausted(15),
        (Previewing(WRITTEN), [Say("compose.too_many_mails", {"minutes": 15})]),
    ),
    "words meanwhile are no use": (Sending(WRITTEN), Said("hm"), Declined()),
    "to be corrected": (Previewing(WRITTEN), Chose("correct"), (Correcting(WRITTEN), [])),
    "dropped": (Previewing(WRITTEN), Chose("drop"), (Done(), [Say("compose.dropped")])),
    "neither": (Previewing(WRITTEN), Said("hm"), Declined()),
    "one part again": (
        Correcting(WRITTEN),
        Chose("subject"),
        (Collecting({"to": "bia@agency.test", "text": "How are you?"}, "subject"), []),
    ),
    "no part of it": (Correcting(WRITTEN), Said("hm"), Declined()),
    "the corrected part leads back to the preview": (
        Collecting({"to": "bia@agency.test", "text": "How are you?"}, "subject"),
        Said("Hello"),
        (Previewing(WRITTEN), []),
    ),
}


@pytest.mark.parametrize("told", STORY)
def test_a_mail_takes_each_step_as_told(told):
    state, event, expected = STORY[told]
    assert step(state, event, OWNER) == expected


def test_only_a_mailbox_that_works_can_write():
    assert start("", OWNER) == (TO, [])
    assert start("", facts()) == (Done(ask=False), [Say("compose.no_mailbox"), Start("mailbox")])
    broken = facts(mailbox=replace(WORKS, state="broken"))
    assert start("", broken) == (Done(ask=False), [Say("compose.not_working"), Start("mailbox", "manage")])


def test_a_mailbox_that_broke_meanwhile_sends_nothing():
    _, effects = step(Previewing(WRITTEN), Chose("send"), facts(mailbox=replace(WORKS, state="off")))
    assert effects == [Say("compose.not_working"), Start("mailbox", "manage")]
    assert step(Previewing(WRITTEN), Chose("send"), facts())[1][0] == Say("compose.no_mailbox")


def test_the_preview_shows_the_whole_head_and_the_text():
    asked = ask(Previewing({**WRITTEN, "to": "bia@agency.test caio@agency.test"}), OWNER)
    assert asked.values["to"] == Code("bia@agency.test, caio@agency.test")
    assert asked.values["address"] == Code(ADDRESS)
    assert (asked.values["subject"], asked.values["text"]) == (Quote("Hello"), Quote("How are you?"))
    assert [option.value for option in asked.options] == ["send", "correct", "drop"]


def test_the_longer_the_head_the_less_of_the_text_is_shown():
    long = {**WRITTEN, "text": "x" * MAX_TEXT}
    shown = ask(Previewing(long), OWNER).values["text"].text
    with_long_head = ask(Previewing({**long, "subject": "y" * MAX_SUBJECT}), OWNER).values["text"].text
    assert len(with_long_head) < len(shown) < MAX_TEXT
    assert with_long_head.endswith("…")


def test_the_other_questions_are_asked_by_name():
    assert [ask(one, OWNER).name for one in (TO, SUBJECT, TEXT)] == ["compose.to", "compose.subject", "compose.text"]
    assert ask(TO, facts()).values["address"] == Code("")
    asked = ask(Correcting(WRITTEN), OWNER)
    assert (asked.name, asked.options) == ("compose.which_part", CORRECTABLE)


@pytest.mark.parametrize(
    ("state", "part", "again"),
    [
        (TEXT, "to", Collecting({"subject": "Hello"}, "to")),
        (Previewing(WRITTEN), "text", TEXT),
        (Correcting(WRITTEN), "text", TEXT),
        (SUBJECT, "text", None),
        (Done(), "to", None),
    ],
)
def test_a_part_that_is_called_wrong_is_written_again_and_the_others_stay(state, part, again):
    assert reopen(state, part) == again


# --- the parts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("bia@agency.test", "bia@agency.test"),
        ("<bia@agency.test>; caio@agency.test", "bia@agency.test caio@agency.test"),
        ("bia@agency.test,\ncaio@agency.test bia@agency.test", "bia@agency.test caio@agency.test"),
        (" ".join(f"a{n}@agency.test" for n in range(5)), " ".join(f"a{n}@agency.test" for n in range(5))),
    ],
)
def test_recipients_are_read_however_they_are_separated(typed, read):
    assert recipients(typed, OWNER) == read


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("", "compose.no_recipient"),
        (" , ;", "compose.no_recipient"),
        (" ".join(f"a{n}@agency.test" for n in range(6)), "compose.too_many_recipients"),
        ("bia@agency.test caio", "compose.no_address"),
        ("x" * 10_000, "compose.no_address"),
        ("a@b " * 2_500, "compose.too_many_recipients"),
    ],
)
def test_bad_recipients_are_explained(typed, problem):
    refused = recipients(typed, OWNER)
    assert refused.name == problem
    assert len(str(refused.values)) < 200


def test_a_subject_is_one_line_without_control_characters():
    assert subject("Hello\r\nBcc: all@agency.test\x00", OWNER) == "Hello Bcc: all@agency.test"
    assert subject("\r\n\x07", OWNER).name == "compose.empty"
    assert subject("x" * MAX_SUBJECT, OWNER) == "x" * MAX_SUBJECT
    assert subject("x" * (MAX_SUBJECT + 1), OWNER).name == "compose.subject_too_long"


def test_a_text_keeps_its_lines_and_loses_what_nothing_can_store():
    assert body(" one\n\ttwo \x00\x1b\ud800👍🏽 ", OWNER) == "one\n\ttwo 👍🏽"
    assert body(" \x00\n", OWNER).name == "compose.empty"
    assert body("x" * MAX_TEXT, OWNER) == "x" * MAX_TEXT
    assert body("x" * 10_000, OWNER).name == "compose.text_too_long"


# --- files ------------------------------------------------------------------------------------------------------------

OFFERED = Offering("f1", "photo.jpg")
WITH_FILE = {**WRITTEN, "files": "f1 photo.jpg"}
MORE = FileShared("f2", "price list.pdf")
ADDED = Say("compose.file_added", {"name": "price list.pdf"})
BOTH = {**WRITTEN, "files": "f1 photo.jpg\nf2 price list.pdf"}
WEIGH = WeighFiles(("f1", "f2"))

FILES = {
    "a file begins a mail": (OFFERED, Chose("yes"), (Collecting({"files": "f1 photo.jpg"}, "to"), [])),
    "or it does not": (OFFERED, Chose("no"), (Done(), [Say("compose.dropped")])),
    "another file instead": (OFFERED, MORE, (Offering("f2", "price list.pdf"), [])),
    "a file while something is asked": (
        Collecting({"files": "f1 photo.jpg"}, "to"),
        MORE,
        (Collecting({"files": "f1 photo.jpg\nf2 price list.pdf"}, "to"), [ADDED]),
    ),
    "a file at the preview": (Previewing(WITH_FILE), MORE, (Sending(BOTH), [ADDED, WEIGH])),
    "a file instead of a correction": (Correcting(WITH_FILE), MORE, (Sending(BOTH), [ADDED, WEIGH])),
    "the last words of a mail with files": (
        Collecting(without(BOTH, "text"), "text"),
        Said(WRITTEN["text"]),
        (Sending(BOTH), [WEIGH]),
    ),
    "files that fit": (Sending(BOTH), FilesFit(), (Previewing(BOTH), [])),
    "one file too many": (
        Previewing({**WRITTEN, "files": "\n".join(f"f{n} x.pdf" for n in range(5))}),
        MORE,
        Declined("compose.too_many_files", {"most": 5}),
    ),
    "without the files after all": (Correcting(WITH_FILE), Chose("files"), (Previewing(WRITTEN), [])),
    "too much together": (
        Sending(BOTH),
        FilesTooLarge(7),
        (Correcting(BOTH), [Say("compose.files_too_large", {"most": 7})]),
    ),
    "a file that is still coming is waited for": (
        Sending(BOTH),
        FilesComing(),
        (Previewing(BOTH), [Say("compose.files_coming")]),
    ),
    "a file that is gone stops the mail": (
        Sending(BOTH),
        FilesGone(("f1",)),
        (Previewing({**WRITTEN, "files": "f2 price list.pdf"}), [Say("compose.files_gone")]),
    ),
}


@pytest.mark.parametrize("told", FILES)
def test_files_take_each_step_as_told(told):
    state, event, expected = FILES[told]
    assert step(state, event, facts(mailbox=WORKS)) == expected


def test_the_files_go_with_the_mail():
    _, (mail,) = step(Previewing(BOTH), Chose("send"), facts(mailbox=WORKS))
    assert mail.files == ("f1", "f2")


def test_the_preview_names_the_files():
    asked = ask(Previewing(BOTH), facts(mailbox=WORKS))
    assert (asked.name, asked.values["files"]) == ("compose.preview_files", "photo.jpg, price list.pdf")
    assert ask(Correcting(BOTH), facts(mailbox=WORKS)).options[-1].value == "files"
    assert ask(OFFERED, facts(mailbox=WORKS)).values == {"name": "photo.jpg"}


def test_a_file_that_came_with_a_mailbox_that_broke_leads_to_the_mailbox():
    assert step(OFFERED, Chose("yes"), facts())[1][-1] == Start("mailbox")


@pytest.mark.parametrize("said", ["all my clients", "para todos os clientes", "A todas mis clientas", "everybody"])
def test_a_mail_to_everybody_is_kindly_refused(said):
    assert step(Collecting({}, "to"), Said(said), facts(mailbox=WORKS)) == Declined("compose.no_mass_mail", {"most": 5})
