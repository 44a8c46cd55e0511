"""Files for mails: from a chat to whom the mail is for, byte for byte; and nothing of them anywhere else."""

import base64
import email
import json
import logging
from contextlib import ExitStack
from dataclasses import replace
from email.policy import default
from itertools import count
from uuid import UUID, uuid4

import pytest
import trustme
from structlog.testing import capture_logs

from bot import handiwork
from bot.app import create_app
from bot.channels import Later, Media, Refused, SendError, Unclear
from bot.channels.terminal import File, Terminal
from bot.cli import contacts
from bot.files import KEEP, MAX_TRIES
from bot.mail.wire.send import MAX_FILE_BYTES, MAX_TOTAL_BYTES, for_wire, room_for_files
from bot.playground.twilio import TwilioStandIn
from bot.safe import WAITING, use_of
from bot.scene import Scene
from bot.store import files, mailboxes, tables
from bot.store.promises import FETCH_FILE, FILE_COPY
from bot.vault import Secret, new_key
from bot.worker import HOUSEKEEPING
from flows.speech import texts
from flows.words import LANGUAGES, Account, FilesComing, FilesGone, FilesTooLarge, MailQueued, SendMail, Server
from tests.botkit import ADDRESS, ANA, BIA, CHANNEL, PASSWORD, Kit, Recorder, run_sql, table_of_providers
from tests.browser import served
from tests.faulty_imap import FaultyIMAP
from tests.faulty_smtp import CLOSE, QUICK, FaultySMTP, client_context, loopback_network, server_context

EN = texts("en")
CARLA = "carla@client.test"
INSIDE = b"zebra-crossing-at-noon"  # stands in every file, and must stand nowhere else
TOKEN = "pangolin-signature"  # stands in every address of a file
PHOTO = File(b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40 + INSIDE + b"\r\n.\r\n\xff\xd9", "image/jpeg", "photo.jpg")
PDF = File(b"%PDF-1.7\r\n.\r\n\n\r" + INSIDE + bytes(reversed(range(256))) * 30, "application/pdf", "price list.pdf")
TEXT = File(b"From me\r\n" + INSIDE + b"\n.\nn\xc3\xa3o", "text/plain", "notes.txt")


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def good(authority):
    return server_context(authority, "localhost")


@pytest.fixture
def installed(database_url, tmp_path, authority, good):
    """Makes a kit with people's files, whose mail servers are scripted: `installed(end="554 no")`."""
    with ExitStack() as stack:

        def make(settings=None, imap_login="{tag} OK in", **replies):
            smtp = stack.enter_context(FaultySMTP(good, **replies))
            imap = stack.enter_context(FaultyIMAP(good, login=imap_login))
            table = table_of_providers(tmp_path, smtp.port, imap.port)
            kit = stack.enter_context(Kit(database_url, tmp_path, providers=table, **(settings or {})))
            kit.smtp, kit.imap, kit.channel, kit.numbers = smtp, imap, Recorder(), count(1)
            channels = {**kit.parts.tools.channels, CHANNEL: kit.channel}
            kit.parts = replace(kit.parts, tools=replace(kit.parts.tools, channels=channels))
            kit.network(loopback_network(client_context(authority), smtp.port, imap.port, timeouts=QUICK))
            return kit

        yield make


@pytest.fixture
def at(installed):
    """A kit with a member, in the menu, whose mailbox works."""

    def make(**replies):
        kit = installed(**replies)
        kit.mailbox(port=kit.smtp.port)
        return kit

    return make


# --- what people do ---------------------------------------------------------------------------------------------------


def shared(kit, file, who=ANA, **more):
    """Somebody shares a file; the message, as it could come once more."""
    url = f"https://files.example.com/{next(kit.numbers)}?Signature={TOKEN}"
    kit.channel.files[url] = file
    kind = "image" if file.content_type.startswith("image/") else "document"
    inbound = kit.inbound(more.pop("text", ""), who, kind=kind, media=(Media(url, file.content_type, file.name),))
    assert kit.parts.turns.receive(inbound)
    return inbound


def offered(kit, first, *more, who=ANA):
    """The files are shared, the first one is to be sent; nothing but talk is done."""
    shared(kit, first, who)
    said(kit)
    kit.tap("yes", who)
    said(kit)
    for file in more:
        shared(kit, file, who)
        said(kit)


def said(kit):
    """What is to be said is said; nothing is fetched and nothing sent."""
    while claimed := kit.claim("speak"):
        for promise in claimed:
            kit.worker._keep(promise)


def written(kit, who=ANA, to=CARLA):
    """The rest of the mail, up to its preview."""
    for words in (to, "The offer", "See you on Tuesday."):
        kit.say(words, who)
        said(kit)


def sent(kit, *all_files):
    """A mail with these files is written and let go; all that is due is done."""
    offered(kit, *all_files)
    kit.work()
    written(kit)
    kit.tap("send")
    kit.work()


def fetching(kit):
    """The one promise to fetch a file, claimed."""
    (promise,) = [one for one in kit.claim("work") if one.kind == FETCH_FILE]
    return promise


def claimed_anew(kit, promise):
    """The same promise, after its owner died."""
    kit.clock.move(minutes=4)
    kit.worker._sweep(kit.clock.now())
    return next(one for one in kit.claim("work") if one.id == promise.id)


def performed(kit, promise):
    return kit.hands[promise.kind](kit.parts.tools, promise)


def tidied(kit, **by):
    """Time goes by, and what has had its time is erased."""
    kit.clock.move(**by)
    kit.worker._sweep(kit.clock.now())


# --- what became of it ------------------------------------------------------------------------------------------------


def files_in(content):
    """The files of a mail as its reader has them: name, type, bytes, in their order."""
    message = email.message_from_bytes(content, policy=default)
    found = message.iter_attachments()
    return [(part.get_filename(), part.get_content_type(), part.get_payload(decode=True)) for part in found]


def as_sent(*all_files):
    return [(file.name, file.content_type, file.content) for file in all_files]


def arrived(kit):
    """The one mail that the server took."""
    (content,) = kit.smtp.messages
    return content


def contents(kit):
    """The sealed contents of files."""
    return [one for one in kit.rows(tables.secret) if one.kind == "mail.file"]


def the_file(kit):
    (row,) = kit.rows(tables.file)
    return row


def nothing_left(kit):
    """Whether no file, and no content of one, is in our keeping."""
    return not kit.rows(tables.file) and not contents(kit)


def recorded(kit, record, who=ANA):
    """One record written in a transaction of its own; its answer."""
    with kit.engine.begin() as db:
        held = kit.held(who)
        standing = kit.parts.turns._facts.read(db, held, kit.envelope(who), kit.clock.now())
        return kit.parts.turns._records.perform(Scene(db, held, standing, kit.clock.now()), record)


def mail_with(*ids):
    return SendMail((CARLA,), "The offer", "See you on Tuesday.", tuple(map(str, ids)))


def first_words(name, language="en"):
    return texts(language)[name].strip().split("{")[0]


# --- it arrives -------------------------------------------------------------------------------------------------------


def test_a_photo_and_a_document_arrive_byte_for_byte_with_their_names(at):
    kit = at()
    sent(kit, PHOTO, PDF)
    assert files_in(arrived(kit)) == as_sent(PHOTO, PDF)
    body = email.message_from_bytes(arrived(kit), policy=default).get_body()
    assert body.get_content() == "See you on Tuesday.\r\n"
    assert first_words("news.mail_accepted") in kit.bodies()[-1]


def test_the_copy_in_the_sent_folder_has_the_same_files(at):
    kit = at()
    sent(kit, PHOTO, PDF)
    (copy,) = kit.imap.mail["Sent"]
    assert files_in(copy) == as_sent(PHOTO, PDF)


@pytest.mark.parametrize(
    "name",
    [
        "Preços — março.pdf",
        'Contrato "v2" (final), 100%.pdf',
        "見積書.pdf",
        "x" * 96 + ".pdf",
        ".. ..pdf",
        "é" * 96 + ".pdf",
    ],
)
def test_a_name_in_any_writing_arrives_as_it_was(at, name):
    kit = at()
    file = replace(PDF, name=name)
    sent(kit, file)
    assert files_in(arrived(kit)) == as_sent(file)


def test_a_file_of_words_is_not_rewritten_on_its_way(at):
    kit = at()
    sent(kit, TEXT)
    assert files_in(arrived(kit)) == as_sent(TEXT)


def test_a_file_whose_keeper_tells_no_name_is_called_as_the_person_saw_it(at):
    kit = at()
    shared(kit, PHOTO)
    url = next(iter(kit.channel.files))
    kit.channel.files[url] = replace(PHOTO, name="")
    kit.work()
    kit.tap("yes")
    said(kit)
    written(kit)
    kit.tap("send")
    kit.work()
    assert files_in(arrived(kit)) == as_sent(PHOTO)


def test_files_keep_their_order_whichever_came_into_our_keeping_first(at):
    kit = at()
    five = [replace(PDF, name=f"{name}.pdf", content=PDF.content + name.encode()) for name in "dabec"]
    offered(kit, *five)
    for promise in reversed(kit.claim("work")):
        kit.worker._keep(promise)
    written(kit)
    assert "d.pdf, a.pdf, b.pdf, e.pdf, c.pdf" in kit.last().body
    kit.tap("send")
    assert {one.name[0]: one.place for one in kit.rows(tables.file)} == {"d": 0, "a": 1, "b": 2, "e": 3, "c": 4}
    kit.work()
    assert files_in(arrived(kit)) == as_sent(*five)


def test_a_file_that_came_while_the_mail_was_being_written_goes_with_it(at):
    kit = at()
    kit.tap("write")
    said(kit)
    kit.say(CARLA)
    said(kit)
    shared(kit, PDF)
    said(kit)
    for words in ("The offer", "See you on Tuesday."):
        kit.say(words)
        said(kit)
    shared(kit, PHOTO)
    kit.work()
    kit.tap("send")
    kit.work()
    assert files_in(arrived(kit)) == as_sent(PDF, PHOTO)


def test_a_mail_that_is_tried_again_carries_the_same_bytes(at):
    replies = ["451 4.7.1 greylisted, try again later", "250 2.0.0 Ok"]
    kit = at(end=lambda conversation: conversation.say(replies.pop(0)))
    sent(kit, PHOTO, PDF)
    kit.clock.move(minutes=2)
    kit.work()
    first, second = kit.smtp.messages
    assert first == second
    assert files_in(second) == as_sent(PHOTO, PDF)


def test_the_largest_file_of_a_chat_is_written_into_the_mail_and_a_larger_one_is_told(at):
    kit = at()
    file = replace(PDF, content=PDF.content + b"\0" * (MAX_FILE_BYTES - len(PDF.content)))
    shared(kit, file)
    kit.work()
    queued = recorded(kit, mail_with(the_file(kit).id))
    with kit.engine.begin() as db:
        mail = mailboxes.mail(db, UUID(queued.mail_id))
    assert files_in(for_wire(handiwork.written(kit.parts.tools, mail))) == as_sent(file)
    shared(kit, replace(file, content=file.content + b"\0", name="larger.pdf"))
    kit.work()
    assert EN["news.file_lost.size"].format(name="larger.pdf") in "\n".join(kit.bodies()[-2:])


# --- once -------------------------------------------------------------------------------------------------------------


def test_a_file_that_a_webhook_told_twice_is_there_once(at):
    kit = at()
    inbound = shared(kit, PHOTO)
    assert not kit.parts.turns.receive(inbound)
    kit.work()
    assert len(kit.rows(tables.file)) == len(contents(kit)) == len(kit.channel.fetched) == 1
    kit.tap("yes")
    said(kit)
    assert not kit.parts.turns.receive(inbound)
    written(kit)
    kit.tap("send")
    kit.work()
    assert files_in(arrived(kit)) == as_sent(PHOTO)


@pytest.mark.parametrize("late", [False, True], ids=["died", "came back"])
def test_a_process_that_dies_between_fetching_and_noting_it_leaves_one_content(at, late):
    kit = at()
    offered(kit, PHOTO)
    first = fetching(kit)
    fetched = performed(kit, first)
    second = claimed_anew(kit, first)
    kit.worker._keep(second)
    if late:
        kit.worker._finish(first, fetched)
    assert [one.id for one in contents(kit)] == [the_file(kit).content_id]
    written(kit)
    kit.tap("send")
    kit.work()
    assert files_in(arrived(kit)) == as_sent(PHOTO)
    assert nothing_left(kit)


def test_a_frozen_process_that_comes_back_does_not_lose_what_another_fetched(at):
    kit = at()
    offered(kit, PHOTO)
    kit.channel.broken.append(Refused("404", "not there"))
    first = fetching(kit)
    refused = performed(kit, first)
    kit.worker._keep(claimed_anew(kit, first))
    kit.worker._finish(first, refused)
    assert the_file(kit).state == "here"
    kit.work()
    assert not any(EN["news.file_lost.gone"].format(name=PHOTO.name) in body for body in kit.bodies())


def test_a_file_that_was_erased_while_it_was_fetched_leaves_no_content(at):
    kit = at()
    shared(kit, PHOTO)
    promise = fetching(kit)
    outcome = performed(kit, promise)
    run_sql(kit.url, "delete from file")
    kit.worker._finish(promise, outcome)
    assert nothing_left(kit)


def test_a_file_that_is_here_or_was_erased_is_not_fetched_again(at):
    kit = at()
    shared(kit, PHOTO)
    promise = fetching(kit)
    kit.worker._keep(promise)
    assert performed(kit, promise).state == "dropped"
    run_sql(kit.url, "delete from file")
    assert performed(kit, promise).state == "dropped"
    assert len(kit.channel.fetched) == 1


# --- it does not arrive -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("code", "reason"), [("type", "type"), ("413", "size"), ("404", "gone"), ("410", "gone"), ("host", "gone")]
)
def test_a_file_that_is_refused_is_told_by_its_name_with_the_reason(at, language, code, reason):
    kit = at()
    run_sql(kit.url, f"update contact set language = '{language}'")
    kit.channel.broken.append(Refused(code, "no"))
    shared(kit, PDF)
    kit.work()
    told = texts(language)[f"news.file_lost.{reason}"].format(name=PDF.name).replace("*", "")
    assert told in "\n".join(kit.bodies()[-2:]).replace("*", "")
    assert (the_file(kit).state, the_file(kit).url, the_file(kit).content_id) == ("lost", "", None)
    assert [one.state for one in kit.rows(tables.promise) if one.kind == FETCH_FILE] == ["failed"]
    assert kit.rows(tables.dead_letter) == []
    kit.clock.move(days=1)
    kit.work()
    assert len(kit.channel.fetched) == 1


@pytest.mark.parametrize("failure", [Later("429", "busy"), Unclear("timeout", "no answer")], ids=["later", "unclear"])
def test_a_failure_that_may_pass_is_tried_again_later_and_later_and_then_told(at, failure):
    kit = at()
    kit.channel.broken.extend([failure] * (MAX_TRIES + 1))
    told = EN["news.file_lost.gone"].format(name=PDF.name)
    shared(kit, PDF)
    said(kit)
    waits = []
    kit.work()
    while kit.promised(FETCH_FILE):
        (promise,) = kit.promised(FETCH_FILE)
        waits.append((promise.due_at - kit.clock.now()).total_seconds())
        assert the_file(kit).state == "coming"
        assert not any(told in body for body in kit.bodies())
        kit.clock.time = promise.due_at
        kit.work()
    assert len(kit.channel.fetched) == MAX_TRIES
    assert waits == sorted(waits)
    assert 2 <= waits[0] < waits[-1] <= 75
    assert (the_file(kit).state, the_file(kit).url) == ("lost", "")
    assert told in kit.bodies()[-1]


def test_a_file_that_comes_at_the_second_try_goes_with_the_mail(at):
    kit = at()
    kit.channel.broken.append(Later("503", "not now"))
    offered(kit, PDF)
    kit.work()
    kit.clock.move(minutes=1)
    kit.work()
    written(kit)
    kit.tap("send")
    kit.work()
    assert files_in(arrived(kit)) == as_sent(PDF)


def test_a_file_larger_than_the_mail_server_takes_is_told_before_the_mail_is_written(at):
    kit = at()
    limit = 1_000_000
    run_sql(kit.url, f"update mailbox set size = {limit}")
    room = room_for_files(limit)
    shared(kit, replace(PDF, content=b"x" * room))
    kit.work()
    assert the_file(kit).state == "here"
    shared(kit, replace(PDF, content=b"x" * (room + 1), name="heavy.pdf"))
    kit.work()
    assert [one.state for one in kit.rows(tables.file) if one.name == "heavy.pdf"] == ["lost"]
    assert EN["news.file_lost.size"].format(name="heavy.pdf") in "\n".join(kit.bodies()[-2:])
    assert len(contents(kit)) == 1


def test_files_that_are_too_much_only_together_are_told_before_the_preview_and_the_draft_stays(at):
    kit = at()
    run_sql(kit.url, "update mailbox set size = 1000000")
    half = b"x" * (room_for_files(1_000_000) // 2 + 1)
    offered(kit, replace(PDF, content=half), replace(PDF, content=half, name="second.pdf"))
    kit.work()
    written(kit)
    assert first_words("compose.files_too_large") in kit.bodies()[-1]
    kit.tap("files")
    said(kit)
    kit.tap("send")
    kit.work()
    assert files_in(arrived(kit)) == []


def test_files_that_came_only_after_the_preview_and_are_too_much_together_do_not_leave(at):
    kit = at()
    run_sql(kit.url, "update mailbox set size = 1000000")
    half = b"x" * (room_for_files(1_000_000) // 2 + 1)
    offered(kit, replace(PDF, content=half), replace(PDF, content=half, name="second.pdf"))
    written(kit)
    kit.work()
    kit.tap("send")
    kit.work()
    assert first_words("compose.files_too_large") in kit.bodies()[-1]
    assert kit.rows(tables.outgoing_mail) == []


def test_files_that_fill_the_room_of_a_mail_to_the_last_byte_may_leave_together(at):
    kit = at()
    ids = [uuid4(), uuid4()]
    for file_id, size in zip(ids, (MAX_TOTAL_BYTES - 1, 2), strict=True):
        with kit.engine.begin() as db:
            use, now = {"file": str(file_id)}, kit.clock.now()
            owner = kit.held().contact_id
            kept = kit.parts.safe.put(db, Secret("x"), kind="mail.file", owner=owner, use=use, now=now)
            files.add(db, file_id, kit.held().id, name="a.pdf", url="", at=now)
            files.arrived(db, file_id, name="a.pdf", content_type="application/pdf", size=size, content_id=kept)
    assert recorded(kit, mail_with(*ids)) == FilesTooLarge(18)
    run_sql(kit.url, "update file set size = 1 where size = 2")
    assert isinstance(recorded(kit, mail_with(*ids)), MailQueued)


# --- not yet, or not any more -----------------------------------------------------------------------------------------


def test_a_mail_whose_file_is_still_coming_is_not_queued_and_not_counted(at):
    kit = at()
    offered(kit, PHOTO)
    written(kit)
    counted = kit.rows(mail_counts())
    kit.tap("send")
    said(kit)
    assert EN["compose.files_coming"] in kit.bodies()[-1]
    assert kit.rows(tables.outgoing_mail) == kit.promised("SendMail") == []
    assert kit.rows(mail_counts()) == counted
    assert recorded(kit, mail_with(the_file(kit).id)) == FilesComing()
    kit.work()
    kit.tap("send")
    kit.work()
    assert files_in(arrived(kit)) == as_sent(PHOTO)
    assert kit.rows(mail_counts()) != counted


def mail_counts():
    """The table in which acts are counted."""
    return tables.metadata.tables["limit_hit"]


def test_a_mail_whose_file_was_lost_is_shown_without_it(at):
    kit = at()
    offered(kit, PHOTO)
    kit.work()
    kit.channel.broken.append(Refused("type", "no"))
    shared(kit, PDF)
    kit.work()
    written(kit)
    assert EN["compose.files_gone"] in kit.bodies()[-1]
    assert "photo.jpg" in kit.bodies()[-1]
    assert PDF.name not in kit.bodies()[-1]
    kit.tap("send")
    kit.work()
    assert files_in(arrived(kit)) == as_sent(PHOTO)


def test_a_mail_whose_file_was_lost_after_the_preview_stays_a_draft_and_can_leave_without_it(at):
    kit = at()
    offered(kit, PHOTO)
    kit.work()
    kit.channel.broken.append(Refused("type", "no"))
    shared(kit, PDF)
    written(kit)
    assert PDF.name in kit.bodies()[-1]
    kit.work()
    kit.tap("send")
    kit.work()
    assert EN["compose.files_gone"] in kit.bodies()[-1]
    assert "See you on Tuesday." in kit.bodies()[-1]
    assert "photo.jpg" in kit.bodies()[-1]
    assert PDF.name not in kit.bodies()[-1]
    assert kit.smtp.messages == kit.rows(tables.outgoing_mail) == []
    kit.tap("send")
    kit.work()
    assert files_in(arrived(kit)) == as_sent(PHOTO)


@pytest.mark.parametrize("gone", ["content", "both"])
def test_a_file_that_was_kept_too_long_is_told_and_the_draft_stays(at, gone):
    kit = at()
    offered(kit, PHOTO)
    kit.work()
    written(kit)
    if gone == "content":
        run_sql(kit.url, "delete from secret where kind = 'mail.file'")
        assert (the_file(kit).state, the_file(kit).content_id) == ("here", None)
    else:
        tidied(kit, days=7, seconds=1)
        assert nothing_left(kit)
    counted = kit.rows(mail_counts())
    kit.tap("send")
    kit.work()
    assert EN["compose.files_gone"] in kit.bodies()[-1]
    assert "See you on Tuesday." in kit.bodies()[-1]
    assert kit.rows(tables.outgoing_mail) == []
    assert kit.rows(mail_counts()) == counted
    kit.tap("send")
    kit.work()
    assert files_in(arrived(kit)) == []


# --- whose it is ------------------------------------------------------------------------------------------------------


def test_a_file_of_another_conversation_never_goes_with_a_mail_even_if_its_id_is_guessed(at):
    kit = at()
    kit.mailbox(BIA, port=kit.smtp.port)
    shared(kit, PDF, BIA)
    kit.work()
    theirs = the_file(kit)
    shared(kit, PHOTO)
    kit.work()
    (mine,) = [one for one in kit.rows(tables.file) if one.id != theirs.id]
    assert recorded(kit, mail_with(theirs.id)) == FilesGone((str(theirs.id),))
    assert recorded(kit, mail_with(mine.id, theirs.id)) == FilesGone((str(theirs.id),))
    assert recorded(kit, mail_with(unknown := uuid4())) == FilesGone((str(unknown),))
    assert kit.rows(tables.outgoing_mail) == []
    assert {one.mail_id for one in kit.rows(tables.file)} == {None}
    assert isinstance(recorded(kit, mail_with(mine.id)), MailQueued)
    assert isinstance(recorded(kit, mail_with(theirs.id), BIA), MailQueued)


def test_a_file_that_goes_with_one_mail_cannot_be_taken_away_by_another(at):
    kit = at()
    shared(kit, PHOTO)
    kit.work()
    file = the_file(kit)
    queued = recorded(kit, mail_with(file.id))
    assert recorded(kit, mail_with(file.id)) == FilesGone((str(file.id),))
    assert the_file(kit).mail_id == UUID(queued.mail_id)


def test_a_content_that_was_put_in_place_of_another_never_leaves(at):
    """Somebody who can write into our database cannot have one person's file sent by another."""
    kit = at()
    kit.mailbox(BIA, port=kit.smtp.port)
    shared(kit, PDF, BIA)
    kit.work()
    theirs = the_file(kit)
    offered(kit, PHOTO)
    kit.work()
    written(kit)
    run_sql(kit.url, f"update file set content_id = '{theirs.content_id}' where id != '{theirs.id}'")
    kit.tap("send")
    kit.work()
    assert kit.smtp.messages == []
    assert [one.state for one in kit.rows(tables.outgoing_mail)] == ["refused"]


# --- erased -----------------------------------------------------------------------------------------------------------


def test_contents_are_kept_until_the_copy_lies_in_sent_and_then_erased(at):
    kit = at()
    offered(kit, PHOTO, PDF)
    kit.work()
    written(kit)
    kit.tap("send")
    kit.worker._keep(kit.claim("mail")[0])
    assert [one.state for one in kit.rows(tables.outgoing_mail)] == ["accepted"]
    assert len(contents(kit)) == len(kit.rows(tables.file)) == 2
    kit.work()
    assert [one.state for one in kit.rows(tables.promise) if one.kind == FILE_COPY] == ["done"]
    assert len(kit.imap.mail["Sent"]) == 1
    assert nothing_left(kit)


@pytest.mark.parametrize(
    ("end", "state"), [("554 5.7.1 spam", "refused"), (CLOSE, "unknown"), ("451 4.7.1 later", "refused")]
)
def test_contents_are_erased_with_every_other_outcome(at, end, state):
    kit = at(end=end, imap_login="{tag} NO not now")
    sent(kit, PHOTO, PDF)
    for _ in range(10):
        kit.clock.move(hours=2)
        kit.work()
    assert [one.state for one in kit.rows(tables.outgoing_mail)] == [state]
    assert nothing_left(kit)


def test_only_the_files_of_the_mail_are_erased_with_it(at):
    kit = at()
    shared(kit, TEXT)
    kit.work()
    kit.tap("no")
    kit.work()
    sent(kit, PHOTO)
    assert the_file(kit).name == TEXT.name
    assert [one.id for one in contents(kit)] == [the_file(kit).content_id]


def test_without_a_mail_a_file_is_erased_after_seven_days_and_not_before(at):
    kit = at()
    shared(kit, PHOTO)
    kit.work()
    tidied(kit, days=7)
    assert len(kit.rows(tables.file)) == len(contents(kit)) == 1
    tidied(kit, seconds=HOUSEKEEPING.total_seconds())
    assert nothing_left(kit)


def test_a_file_that_never_came_is_forgotten_with_its_address_after_seven_days(at):
    kit = at()
    shared(kit, PHOTO)
    assert TOKEN in the_file(kit).url
    tidied(kit, days=7, seconds=1)
    assert kit.rows(tables.file) == []
    kit.work()
    assert kit.channel.fetched == []


def test_a_file_whose_mail_is_under_way_outlives_its_seven_days(at):
    """A draft waits almost as long as its file is kept, and then the mail server wants to be asked again."""
    replies = ["451 4.7.1 greylisted, try again later", "250 2.0.0 Ok"]
    kit = at(end=lambda conversation: conversation.say(replies.pop(0)))
    offered(kit, PHOTO)
    kit.work()
    written(kit)
    kit.clock.move(seconds=KEEP.total_seconds() - 30)
    kit.tap("send")
    kit.work()
    tidied(kit, minutes=2)
    kit.work()
    assert files_in(kit.smtp.messages[-1]) == as_sent(PHOTO)
    assert files_in(kit.imap.mail["Sent"][0]) == as_sent(PHOTO)


def test_a_mail_that_nobody_could_hand_over_for_days_leaves_with_its_file(at):
    kit = at()
    offered(kit, PHOTO)
    kit.work()
    written(kit)
    kit.tap("send")
    tidied(kit, days=9)
    kit.work()
    assert files_in(arrived(kit)) == as_sent(PHOTO)


def test_a_file_of_a_mailbox_that_was_removed_is_kept_no_longer_than_a_mails_words(at):
    kit = at(end="451 4.7.1 later")
    sent(kit, PHOTO)
    run_sql(kit.url, "delete from mailbox")
    assert kit.rows(tables.file) == []
    tidied(kit, seconds=WAITING.total_seconds() + 61)
    assert nothing_left(kit)


@pytest.mark.parametrize("when", ["coming", "here", "under way"])
def test_with_a_person_all_their_files_are_erased_and_nobody_elses(at, when):
    kit = at(end="451 4.7.1 later")
    kit.mailbox(BIA, port=kit.smtp.port)
    shared(kit, PDF, BIA)
    kit.work()
    theirs = the_file(kit)
    if when == "under way":
        sent(kit, PHOTO)
    else:
        shared(kit, PHOTO)
    if when == "here":
        kit.work()
    assert len(kit.rows(tables.file)) == 2
    contacts.forget_contact(kit.parts, ANA)
    assert the_file(kit) == theirs
    assert [one.id for one in contents(kit)] == [theirs.content_id]
    kit.work()
    assert len(kit.rows(tables.file)) == len(contents(kit)) == 1


def test_a_file_that_is_fetched_while_its_person_is_erased_is_not_kept(at):
    kit = at()
    shared(kit, PHOTO)
    promise = fetching(kit)
    outcome = performed(kit, promise)
    contacts.forget_contact(kit.parts, ANA)
    kit.worker._finish(promise, outcome)
    assert kit.rows(tables.secret) == kit.rows(tables.file) == []


def test_an_export_holds_no_file_and_no_way_to_one(at):
    kit = at()
    shared(kit, PHOTO)
    kit.work()
    shared(kit, PDF)
    exported = json.dumps(contacts.export(kit.parts, ANA))
    assert "mail.file" in exported
    assert sorted(one["name"] for one in json.loads(exported)["files"]) == [PHOTO.name, PDF.name]
    assert not in_clear(exported)
    assert TOKEN not in exported


# --- in nobody's sight ------------------------------------------------------------------------------------------------


def in_clear(text):
    """Whether what stands in every file stands here, as it is or in any common writing of bytes."""
    plain = [INSIDE.decode(), INSIDE.hex()]
    # Base64 looks different after one, two and three bytes; what lies wholly inside is the same.
    coded = [base64.b64encode(b"\0" * before + INSIDE)[4:-4].decode() for before in range(3)]
    return any(one in text or one.upper() in text for one in (*plain, *coded))


def test_the_look_for_what_is_in_a_file_would_find_it():
    for before in range(3):
        content = b"x" * before + PHOTO.content
        assert in_clear(base64.b64encode(content).decode())
        assert in_clear(repr(content))
        assert in_clear(content.hex())
    assert not in_clear(base64.b64encode(b"something else that is long enough").decode())


def test_neither_bytes_nor_addresses_of_files_stand_in_log_transcript_promise_or_dump(at, caplog):
    caplog.set_level(logging.DEBUG)
    replies = ["451 4.7.1 greylisted, try again later", "250 2.0.0 Ok"]
    kit = at(end=lambda conversation: conversation.say(replies.pop(0)))
    with capture_logs() as logs:
        kit.channel.broken.append(Later("503", "not now"))
        offered(kit, PHOTO)
        assert kit.dump().count(TOKEN) == 1  # the way to a file that is still to be fetched
        kit.work()
        kit.clock.move(minutes=1)
        kit.work()
        assert TOKEN not in kit.dump()
        kit.channel.broken.append(Refused("type", "no"))
        shared(kit, PDF)
        kit.work()
        shared(kit, TEXT)
        kit.work()
        written(kit)
        kit.tap("send")
        kit.work()
        assert not in_clear(kit.dump())
        assert TOKEN not in kit.dump()
        kit.clock.move(minutes=2)
        kit.work()
    assert len(kit.smtp.messages) == 2
    everywhere = [*map(str, logs), caplog.text, kit.dump(), *kit.transcript(), *kit.bodies()]
    assert not any(in_clear(text) or TOKEN in text for text in everywhere)


def test_a_promise_to_fetch_a_file_carries_ids_and_nothing_else(at):
    kit = at()
    message = shared(kit, PHOTO).message_id
    (promise,) = kit.promised(FETCH_FILE)
    assert (promise.lane, promise.payload) == ("work", {"file": str(the_file(kit).id), "message": message})


@pytest.mark.parametrize("content", [PHOTO, None])
def test_a_file_that_is_here_or_never_will_be_is_erased_at_the_channels_provider(at, content):
    kit = at()
    message = shared(kit, PHOTO).message_id
    if content is None:
        kit.channel.files.clear()
    kit.work()
    assert message not in kit.channel.erased
    kit.clock.move(minutes=2)
    kit.work()
    assert kit.channel.erased.count(message) == 1


def test_a_file_that_comes_with_a_failure_of_ours_is_not_kept_and_the_person_is_told(at, monkeypatch):
    kit = at()

    def raises(*_):
        raise RuntimeError("girafa")

    with monkeypatch.context() as patch:
        patch.setattr("bot.turns.converse", raises)
        shared(kit, PHOTO)
    kit.work()
    assert EN["news.turn_failed"] in kit.bodies()[-1]
    assert kit.rows(tables.file) == kit.channel.fetched == []
    assert TOKEN not in kit.dump()


def test_a_caption_is_no_part_of_the_transcript(at):
    kit = at()
    shared(kit, PHOTO, text="girafa com fome")
    kit.work()
    assert "(image)" in kit.transcript()
    assert "girafa" not in "".join(kit.transcript())


def test_what_a_content_or_an_address_looks_like_shows_neither(at):
    kit = at()
    inbound = shared(kit, PHOTO)
    outcome = performed(kit, fetching(kit))
    assert not in_clear(repr(outcome) + repr(PHOTO))
    assert TOKEN not in repr(outcome) + repr(inbound)


# --- whose files are not taken ----------------------------------------------------------------------------------------


def not_taken(kit, file, who=ANA):
    """A file comes; what was said to it. Nothing of it may be kept or fetched."""
    before = len(kit.bodies(who))
    shared(kit, file, who)
    kit.work()
    assert kit.rows(tables.file) == []
    assert contents(kit) == []
    assert [one for one in kit.rows(tables.promise) if one.kind == FETCH_FILE] == []
    assert kit.channel.fetched == []
    return "\n".join(kit.bodies(who)[before:])


@pytest.mark.parametrize("file", [PHOTO, PDF], ids=["image", "document"])
@pytest.mark.parametrize("state", ["waiting", "broken", "off"])
def test_a_mailbox_that_does_not_work_takes_no_files(installed, state, file):
    kit = installed()
    kit.mailbox(port=kit.smtp.port, state=state)
    kind = "image" if file is PHOTO else "document"
    assert EN[f"talk.shared.{kind}"] in not_taken(kit, file)


def test_somebody_without_a_mailbox_gets_the_usual_answer(installed):
    kit = installed()
    kit.join()
    kit.say("menu")
    kit.work()
    assert EN["talk.shared.document"] in not_taken(kit, PDF)


def test_a_stranger_gets_no_file_into_our_keeping(installed):
    kit = installed()
    assert EN["welcome.door"] in not_taken(kit, PDF, who="+15550199999")


def test_in_a_set_up_a_file_gets_the_usual_answer(installed):
    kit = installed()
    kit.join()
    assert EN["talk.shared.image"] in not_taken(kit, PHOTO)


def test_while_a_secret_is_awaited_a_file_gets_the_usual_answer_and_leaves_no_trace(installed):
    kit = installed()
    kit.awaiting()
    assert EN["talk.shared.image"] in not_taken(kit, PHOTO)
    assert kit.transcript().count("(hidden)") >= 1
    assert "(image)" not in kit.transcript()


def test_a_working_mailbox_that_is_set_up_anew_takes_no_files_meanwhile(at):
    kit = at()
    kit.tap("mailbox")
    kit.work()
    assert EN["talk.shared.document"] in not_taken(kit, PDF)


def test_who_stopped_the_bot_gets_no_file_into_our_keeping(at):
    kit = at()
    kit.say("stop")
    kit.work()
    not_taken(kit, PDF)


def test_who_was_removed_from_the_agency_gets_no_file_into_our_keeping(at):
    kit = at()
    run_sql(kit.url, "update member set removed_at = now()")
    not_taken(kit, PDF)


# --- the channels -----------------------------------------------------------------------------------------------------


def test_a_terminal_hands_over_what_was_named_and_refuses_what_was_not():
    terminal = Terminal(lambda _to, _message: None)
    terminal.files["https://here"] = PHOTO
    assert terminal.fetch("https://here", MAX_FILE_BYTES) is PHOTO
    with pytest.raises(SendError, match="404"):
        terminal.fetch("https://there", MAX_FILE_BYTES)


NUMBER = "+5511988887777"


@pytest.fixture
def whatsapp(installed):
    """A kit that is reached by Twilio's webhooks and fetches files from there; its stand-in is `kit.twilio`."""
    apps = []

    def late(environ, start):  # the app has to know its address, which is known once something is served
        return apps[0](environ, start)

    with ExitStack() as stack:
        url = stack.enter_context(served(late))
        twilio = stack.enter_context(TwilioStandIn(webhook_url=f"{url}/whatsapp"))
        twilio.statuses = ()
        settings = {
            "TWILIO_ACCOUNT_SID": twilio.account_sid,
            "TWILIO_AUTH_TOKEN": twilio.auth_token,
            "TWILIO_WHATSAPP_FROM": twilio.sender,
            "TWILIO_API_URL": twilio.url,
            "PUBLIC_URL": url,
            "SECRET_KEYS": new_key(),
            "SUPPORT_CONTACT": "+1 555 0100",
            "PRIVACY_URL": "https://example.com/privacy",
            "OPERATOR_NAME": "Example & Sons",
        }
        kit = installed(settings)
        apps.append(create_app(kit.parts))
        kit.twilio = twilio
        yield kit


def shows(kit):
    return kit.twilio.phone(NUMBER)[-1]


def phone(kit, body="", *, tap="", **more):
    """The person does something on the phone; all that is due is done."""
    button = next(id_ for id_, _ in shows(kit).buttons if id_.endswith(f":{tap}")) if tap else None
    assert kit.twilio.say(NUMBER, body, button=button, **more) == 200
    kit.work()


def connected(kit):
    """A member on WhatsApp, in the menu, with a mailbox that works."""
    phone(kit, f"My invitation code is {kit.invite(language='en')}")
    held, account = kit.held(NUMBER), Account(ADDRESS, ADDRESS, Server("localhost", kit.smtp.port, "tls"))
    with kit.engine.begin() as db:
        secret_id = kit.parts.safe.put(db, Secret(PASSWORD), kind="mailbox.password", owner=held.contact_id,
                                       use=use_of(account), now=kit.clock.now())  # fmt: skip
        values = {"address": ADDRESS, "user_name": ADDRESS, "host": "localhost", "port": kit.smtp.port,
                  "security": "tls", "secret_id": secret_id, "state": "works", "since": kit.clock.now()}  # fmt: skip
        mailboxes.save(db, held.member_id, values)
    phone(kit, "menu")


def letter(kit):
    for words in (CARLA, "The offer", "See you on Tuesday."):
        phone(kit, words)
    phone(kit, tap="send")


def test_files_go_from_a_phone_by_way_of_twilio_into_a_mail(whatsapp):
    """The stand-in gives a file to the account only, and its other host to no one who shows a password."""
    kit = whatsapp
    connected(kit)
    phone(kit, media=[(PDF.content_type, PDF.content)], file_name="Preços.pdf", times=2)
    phone(kit, tap="yes")
    phone(kit, "look", media=[(PHOTO.content_type, PHOTO.content)])
    letter(kit)
    assert files_in(arrived(kit)) == as_sent(replace(PDF, name="Preços.pdf"), PHOTO)
    asked = [one.path for one in kit.twilio.requests if "/Media/" in one.path or "/mms/" in one.path]
    assert ["/mms/" in path for path in asked] == [False, True] * 2
    assert nothing_left(kit)
    assert not in_clear(kit.dump())
    assert kit.twilio.auth_token not in kit.dump()


def test_a_file_that_is_not_what_it_says_is_told_on_the_phone(whatsapp):
    kit = whatsapp
    connected(kit)
    phone(kit, media=[("application/pdf", b"MZ" + INSIDE)], file_name="bill.pdf")
    told = [bubble.body for bubble in kit.twilio.phone(NUMBER)]
    assert any(EN["news.file_lost.type"].format(name="bill.pdf") in body for body in told)
    assert the_file(kit).state == "lost"
    assert contents(kit) == []


def test_a_file_at_an_address_that_is_not_twilios_is_not_asked_for(whatsapp):
    kit = whatsapp
    connected(kit)
    before = len(kit.twilio.requests)
    url = f"{kit.twilio.url}/mms/x".replace("http://", "https://")
    phone(kit, extra={"NumMedia": "1", "MediaUrl0": url, "MediaContentType0": "application/pdf"})
    assert the_file(kit).state == "lost"
    assert [one.path for one in kit.twilio.requests[before:] if one.method == "GET"] == []


def test_a_file_that_was_deleted_at_twilio_is_told_as_gone(whatsapp, monkeypatch):
    monkeypatch.setattr("bot.channels.whatsapp.media.PAUSES", (0.0,))
    kit = whatsapp
    connected(kit)
    assert kit.twilio.say(NUMBER, media=[(PHOTO.content_type, PHOTO.content)]) == 200
    sid = next(reversed(kit.twilio.records))
    kit.parts.tools.channels["whatsapp"].erase(sid)
    kit.work()
    assert (the_file(kit).state, the_file(kit).url) == ("lost", "")
    told = [bubble.body for bubble in kit.twilio.phone(NUMBER)]
    assert any(EN["news.file_lost.gone"].format(name="photo.jpg") in body for body in told)


def test_a_fault_of_twilios_is_waited_for(whatsapp):
    kit = whatsapp
    connected(kit)
    kit.twilio.fail_next(503, 20503, path="/Media/")
    phone(kit, media=[(PHOTO.content_type, PHOTO.content)])
    assert the_file(kit).state == "coming"
    kit.clock.move(minutes=1)
    phone(kit, tap="yes")
    letter(kit)
    assert files_in(arrived(kit)) == as_sent(PHOTO)
