"""Media at the desk: what a member sends stands in the case's thread, what staff attach reaches the member."""

import io
import logging
import zipfile
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from sqlalchemy import update
from werkzeug.serving import make_server

from bot import desk_media
from bot.channels import Later, Media, Refused, Unclear
from bot.channels.file_types import MAX_SENT, MAX_SENT_IMAGE, sendable
from bot.channels.slack import files as slack_files
from bot.channels.whatsapp.media import File
from bot.playground.twilio import TwilioStandIn
from bot.store import tables
from tests import slackkit
from tests.botkit import ANA, eventually
from tests.deskkit import DESK, GREETING, SAM, DeskKit
from tests.slackkit import TEAM

INSIDE = b"zebra-crossing-at-noon"  # stands in every file, and nowhere else
JPG = b"\xff\xd8\xff\xe0" + bytes(range(256)) + INSIDE + b"\xff\xd9"
PNG = b"\x89PNG\r\n\x1a\n" + INSIDE + bytes(range(256))
WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8 " + INSIDE
PDF = b"%PDF-1.7\n" + INSIDE + bytes(range(256))
OGG = b"OggS\x00\x02" + INSIDE
MP4 = b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00" + INSIDE
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + INSIDE
EXE = b"MZ\x90\x00" + INSIDE
AT = "https://api.twilio.com/media/pangolin-"  # where a member's files lie; must stand in no log


def docx():
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as packed:
        packed.writestr("word/document.xml", INSIDE)
    return made.getvalue()


@pytest.fixture
def kit(database_url, tmp_path):
    with DeskKit(database_url, tmp_path) as made:
        yield made


def owned(kit):
    """Ana has a case, and Sam has it: the bot is silent."""
    kit.calls()
    kit.writes("!Hello")


def sends(kit, content=JPG, kind="image/jpeg", name="photo.jpg", *, text="", of="image", who=ANA):
    """A member sends a file; nothing is done yet."""
    url = f"{AT}{len(kit.channel.files)}"
    kit.channel.files[url] = File(content, kind, name)
    assert kit.say(text, who, kind=of, media=(Media(url, kind, name),))
    return url


def attached(name="photo.jpg", content=JPG, mimetype="image/jpeg", **more):
    return {"name": name, "content": content, "mimetype": mimetype, **more}


def shown(kit):
    """The thread as somebody reads it: texts and, in their places, the names of files."""
    found = []
    for one in kit.slack.thread(TEAM, DESK, kit.root().ts)[1:]:
        if not one.mine:
            found += [*one.text.splitlines(), *(f"[{name}]" for name in one.files)]
    return [one for one in found if one and not one.startswith("<@")]


def delivered(kit):
    """What left for Ana since the greeting: words and file of each message."""
    return [
        (one.body, one.file) for one in kit.channel.sent if one.to.address == ANA and not one.body.startswith(GREETING)
    ]


def files_of(kit, state=None):
    return [one for one in kit.rows(tables.case_file) if state is None or one.state == state]


def sealed(kit):
    return [one for one in kit.rows(tables.secret) if one.kind == "case.file"]


def path(url):
    return urlsplit(url).path


# --- from the member into the thread ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "kind", "name", "of"),
    [
        (JPG, "image/jpeg", "photo.jpg", "image"),
        (PDF, "application/pdf", "offer.pdf", "document"),
        (OGG, "audio/ogg", "audio.ogg", "voice"),
        (WEBP, "image/webp", "photo.webp", "sticker"),
        (MP4, "video/mp4", "video.mp4", "video"),
    ],
)
def test_what_a_member_sends_follows_its_line_into_the_thread(kit, content, kind, name, of):
    owned(kit)
    sends(kit, content, kind, name, of=of)
    kit.soon()
    assert shown(kit)[-2:] == [f"→ ({of}) {name}", f"[{name}]"]
    assert kit.slack.file(name) == content


def test_a_file_stands_between_what_was_written_before_and_after_it(kit):
    owned(kit)
    kit.say("look at this")
    sends(kit)
    kit.say("and at that")
    sends(kit, PDF, "application/pdf", "offer.pdf", of="document")
    kit.say("what shall I do?")
    kit.soon(seconds=30)
    told = [one for one in shown(kit) if one.startswith(("→", "["))]
    assert told[-7:] == [
        "→ look at this", "→ (image) photo.jpg", "[photo.jpg]", "→ and at that", "→ (document) offer.pdf",
        "[offer.pdf]", "→ what shall I do?",
    ]  # fmt: skip


def test_what_is_written_below_a_picture_is_read_by_the_team(kit):
    kit.calls()
    sends(kit, text="it says this")
    kit.soon()
    assert "→ (image) photo.jpg: it says this" in shown(kit)


def test_a_document_that_has_only_its_name_below_it_is_named_once(kit):
    kit.calls()
    sends(kit, PDF, "application/pdf", "offer.pdf", text="offer.pdf", of="document")
    kit.soon()
    assert "→ (document) offer.pdf" in shown(kit)


def test_a_file_comes_into_the_thread_also_while_a_person_owns_the_conversation(kit):
    kit.calls()
    kit.writes("!Hello")
    sends(kit)
    kit.soon()
    assert "[photo.jpg]" in shown(kit)


def test_without_a_case_nothing_is_fetched(kit):
    kit.join()
    sends(kit)
    kit.soon()
    assert kit.channel.fetched == []
    assert "(image)" in kit.transcript()
    assert files_of(kit) == []


def test_a_picture_below_which_a_password_stands_is_not_shown(kit):
    kit.calls()
    kit.writes("!Hello")
    sends(kit, text="my password is Girafa#22")
    kit.soon()
    assert kit.channel.fetched == []
    assert "Girafa" not in kit.told() + kit.dump()


@pytest.mark.parametrize("can_send", [False, True], ids=["without a mailbox", "with one that works"])
def test_a_password_below_a_picture_is_told_and_erased_while_the_bot_has_the_word(kit, can_send):
    if can_send:
        kit.mailbox()
    kit.calls()
    sends(kit, text="my password is Girafa#22")
    kit.soon()
    assert "looked like a password" in kit.last().body
    kit.soon(minutes=11)
    assert len(kit.channel.erased) == 1
    assert kit.channel.fetched == kit.rows(tables.file) == []
    assert "Girafa" not in kit.told() + kit.dump()


def test_a_file_that_is_called_like_a_password_has_another_name(kit):
    kit.calls()
    kit.writes("!Hello")
    sends(kit, name="my password is Girafa#22.jpg")
    kit.channel.files[f"{AT}0"] = File(JPG, "image/jpeg", "")
    kit.soon()
    assert "[photo.jpg]" in shown(kit)
    assert "Girafa" not in kit.told() + kit.dump()


def test_once_a_file_is_in_the_thread_it_lies_neither_with_us_nor_at_the_provider(kit):
    kit.calls()
    sends(kit)
    kit.work()
    kit.soon()
    assert "[photo.jpg]" in shown(kit)
    assert sealed(kit) == []
    assert [one.url for one in files_of(kit, "gone")] == [""]
    kit.soon(minutes=2)
    assert len(kit.channel.erased) == 1


def test_while_a_file_lies_with_us_it_is_sealed_and_stands_in_no_log(kit, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    kit.calls()
    kit.slack.fail("files.getUploadURLExternal", "ratelimited", times=1, retry_after=30)
    sends(kit)
    kit.work()
    assert len(sealed(kit)) == 1
    printed = capsys.readouterr()
    everything = kit.dump() + caplog.text + printed.out + printed.err + "\n".join(kit.transcript())
    assert INSIDE.decode() not in everything
    assert "emVicmE" not in everything  # the same in base64
    assert "pangolin" not in caplog.text + printed.out + printed.err
    kit.soon(minutes=2)
    assert "[photo.jpg]" in shown(kit)


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (Refused("413", "too large"), "it is larger than 16 MB"),
        (Refused("type", "a program"), "we do not take files of this type"),
        (Refused("404", "gone"), "it could not be fetched"),
        (Refused("host", "elsewhere"), "it could not be fetched"),
    ],
)
def test_a_file_that_cannot_be_had_is_told_in_its_place_with_the_reason(kit, failure, why):
    owned(kit)
    kit.channel.broken.append(failure)
    sends(kit)
    kit.say("did you get it?")
    kit.soon()
    told = shown(kit)
    at = told.index("→ (image) photo.jpg")
    assert told[at + 1] == f"_Not here: photo.jpg - {why}_"
    assert told[at + 2] == "→ did you get it?"
    assert sealed(kit) == []


def test_the_reason_is_in_the_team_s_language(kit):
    kit.claim()
    with kit.engine.begin() as db:
        db.execute(update(tables.agency).values(language="pt"))
    kit.calls()
    kit.channel.broken.append(Refused("413", "too large"))
    sends(kit)
    kit.soon()
    assert "_Não está aqui: photo.jpg - tem mais de 16 MB_" in shown(kit)


def test_a_provider_that_is_slow_is_asked_again_and_what_follows_waits_for_a_bounded_time(kit):
    owned(kit)
    kit.channel.broken.extend(Later("503", "not now") for _ in range(2))
    sends(kit)
    kit.say("did you get it?")
    kit.soon(seconds=30)
    told = shown(kit)
    assert told.index("[photo.jpg]") < told.index("→ did you get it?")
    kit.channel.broken.extend(Later("503", "never") for _ in range(50))
    sends(kit)
    kit.say("and now?")
    kit.soon(minutes=2)
    assert shown(kit)[-2:] == ["_Not here: photo.jpg - it could not be fetched_", "→ and now?"]


def test_who_fetches_a_file_and_dies_does_not_hold_up_the_thread(kit):
    owned(kit)
    sends(kit)
    kit.say("did you get it?")
    with kit.engine.begin() as db:
        db.execute(update(tables.promise).where(tables.promise.c.kind == "fetch_case_file").values(
            state="doing", attempt=1, leased_until=kit.clock.now() + timedelta(hours=1)
        ))  # fmt: skip
    kit.soon(minutes=3)
    assert shown(kit)[-2:] == ["_Not here: photo.jpg - it could not be fetched_", "→ did you get it?"]


def test_of_two_hundred_pictures_twenty_are_fetched_and_the_others_are_said_to_be_too_many(kit):
    kit.calls()
    kit.writes("!Hello")
    for _ in range(200):
        sends(kit)
        kit.work()
    assert len(kit.channel.fetched) == 20
    assert [one.why for one in files_of(kit, "lost")] == ["many"] * 180
    kit.soon(minutes=5)
    assert shown(kit).count("[photo.jpg]") == 20
    assert shown(kit).count("_Not here: photo.jpg - too many files at once_") == 180


def test_a_file_that_slack_will_not_take_is_told_and_what_follows_goes_on(kit):
    kit.calls()
    kit.slack.fail("files.getUploadURLExternal", "file_uploads_disabled")
    sends(kit)
    kit.say("did you get it?")
    kit.soon(seconds=30)
    assert "· _Not here: photo.jpg - Slack did not take it_" in shown(kit)
    assert "→ did you get it?" in shown(kit)
    assert sealed(kit) == []


def test_where_the_app_may_not_bring_files_they_wait_until_it_may(kit):
    kit.calls()
    scopes = kit.workspace.scopes
    kit.without("files:write")
    sends(kit)
    kit.soon(seconds=30)
    assert "[photo.jpg]" not in shown(kit)
    kit.workspace.scopes = scopes
    kit.soon(minutes=12)
    assert shown(kit).count("[photo.jpg]") == 1


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "files.completeUploadExternal"])
@pytest.mark.parametrize("when", ["drop_before", "drop_after"])
def test_a_file_of_which_slack_says_nothing_is_looked_for_and_stands_there_once(kit, method, when):
    kit.calls()
    kit.slack.fail(method, when)
    sends(kit)
    kit.say("did you get it?")
    kit.soon(minutes=5)
    told = shown(kit)
    assert told.count("[photo.jpg]") == 1
    assert told.index("[photo.jpg]") < told.index("→ did you get it?")
    assert sealed(kit) == []


def test_what_is_written_after_a_file_waits_until_slack_shows_the_file(kit):
    owned(kit)
    kit.slack.share_late()
    sends(kit)
    kit.say("did you get it?")
    kit.soon(seconds=8)
    assert shown(kit)[-1] == "→ (image) photo.jpg"
    kit.slack.share_late(False)
    kit.soon(seconds=8)
    assert shown(kit)[-3:] == ["→ (image) photo.jpg", "[photo.jpg]", "→ did you get it?"]
    assert sealed(kit) == []


def test_a_file_that_slack_took_and_never_shows_is_not_brought_again_and_holds_nothing_up(kit):
    owned(kit)
    kit.slack.share_late()
    sends(kit)
    kit.say("did you get it?")
    kit.soon(minutes=1)
    assert shown(kit)[-1] == "→ did you get it?"
    uploads = [one for one in kit.slack.requests if one.method == "files.completeUploadExternal"]
    assert len(uploads) == 1
    assert sealed(kit) == []


def test_while_a_password_is_awaited_by_the_bot_no_picture_is_shown_to_the_team(kit):
    kit.awaiting()
    kit.say("person")
    kit.soon()
    sends(kit)
    kit.soon()
    assert kit.channel.fetched == []
    assert "→ (hidden)" in shown(kit)


def test_who_dies_between_the_upload_and_its_record_leads_to_no_second_file(kit, monkeypatch):
    kit.calls()

    class Died(BaseException):
        pass

    def dies(*_args, **_more):
        raise Died

    sends(kit)
    with monkeypatch.context() as patched:
        patched.setattr("bot.case_thread.case_files.gone", dies)
        with pytest.raises(Died):
            kit.soon()
    assert shown(kit).count("[photo.jpg]") == 1
    kit.die_later()
    kit.soon(minutes=2)
    assert shown(kit).count("[photo.jpg]") == 1
    assert sealed(kit) == []
    assert len(files_of(kit, "gone")) == 1


def test_who_dies_before_the_upload_is_complete_leads_to_one_file(kit):
    kit.calls()

    class Died(BaseException):
        pass

    def dies_once(real, team, method, **arguments):
        if method == "files.completeUploadExternal" and not died:
            died.append(method)
            raise Died
        return real(team, method, **arguments)

    died = []
    kit.api(dies_once)
    sends(kit)
    with pytest.raises(Died):
        kit.soon()
    kit.die_later()
    kit.soon(minutes=3)
    assert shown(kit).count("[photo.jpg]") == 1


def test_a_file_that_may_go_with_a_mail_is_in_the_thread_too_and_erased_after_both_have_it(kit):
    kit.mailbox()
    kit.say("person")
    kit.soon()
    sends(kit)
    kit.soon()
    assert "[photo.jpg]" in shown(kit)
    assert [one.state for one in kit.rows(tables.file)] == ["here"]
    assert len(kit.channel.fetched) == 2
    assert kit.channel.erased == []
    kit.soon(minutes=11)
    assert len(kit.channel.erased) == 1


def test_a_file_of_a_mail_that_is_being_written_is_not_for_the_team(kit):
    kit.mailbox()
    kit.say("person")
    kit.soon()
    kit.say("menu")
    kit.soon()
    kit.tap("write")
    kit.soon()
    sends(kit)
    kit.soon()
    assert "[photo.jpg]" not in shown(kit)
    assert [one.state for one in kit.rows(tables.file)] == ["here"]


def test_erasing_everything_erases_files_on_their_way(kit):
    kit.calls()
    kit.slack.fail("files.getUploadURLExternal", "ratelimited", times=9, retry_after=3000)
    sends(kit)
    kit.work()
    assert len(sealed(kit)) == 1
    with kit.engine.begin() as db:
        from bot.erasure import forget

        forget(db, kit.held().contact_id, by="operator", now=kit.clock.now())
    assert sealed(kit) == []
    assert files_of(kit) == []


# --- from staff to the member -----------------------------------------------------------------------------------------


def test_a_file_goes_with_the_words_of_its_line(kit):
    kit.calls()
    ts = kit.writes("!here is how it looks", files=[attached()])
    assert delivered(kit)[-1] == ("here is how it looks", "photo.jpg")
    assert kit.channel.sent[-1].content == JPG
    assert kit.marks(ts) == ["outbox_tray"]
    assert kit.lines()[-1].state == "sent"


def test_a_file_needs_no_words_but_the_mark(kit):
    kit.calls()
    kit.writes("!", files=[attached("offer.pdf", PDF, "application/pdf")])
    assert delivered(kit)[-1] == ("", "offer.pdf")


def test_a_file_without_the_mark_is_internal(kit):
    kit.calls()
    before = delivered(kit)
    kit.writes("look at what they did", files=[attached()])
    assert delivered(kit) == before
    assert kit.slack.downloads == []


def test_several_files_are_several_messages_in_order_with_the_words_at_the_first(kit):
    kit.calls()
    before = len(delivered(kit))
    names = [f"page{n}.jpg" for n in range(5)]
    kit.writes("!five pages", files=[attached(name) for name in names])
    kit.writes("!and a word")
    kit.settle()
    assert delivered(kit)[before:] == [
        ("five pages", "page0.jpg"), *(("", name) for name in names[1:]), ("and a word", "")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "kind"), [("audio.ogg", OGG, "audio/ogg"), ("photo.webp", WEBP, "image/webp")]
)
def test_what_shows_no_words_below_it_has_them_as_a_message_before_it(kit, name, content, kind):
    kit.calls()
    before = len(delivered(kit))
    kit.writes("!listen", files=[attached(name, content, kind), attached()])
    assert delivered(kit)[before:] == [("listen", ""), ("", name), ("", "photo.jpg")]


def test_words_too_long_to_stand_below_a_file_come_before_it(kit):
    kit.calls()
    kit.writes(f"!{'word ' * 250}", files=[attached()])
    assert [file for _, file in delivered(kit)[-2:]] == ["", "photo.jpg"]


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ([attached(content=EXE)], "WhatsApp takes no such file"),
        ([attached("report.pdf", EXE, "application/pdf")], "WhatsApp takes no such file"),
        ([attached("photo.heic", b"\x00\x00\x00\x20ftypheic" + INSIDE, "image/heic")], "WhatsApp takes no such file"),
        ([attached("page.html", b"<html>", "text/html")], "could not be fetched"),
        ([attached(size=MAX_SENT + 1)], "larger than 16 MB"),
        ([attached(content=PNG + bytes(MAX_SENT))], "larger than 16 MB"),
        ([attached(content=PNG + bytes(MAX_SENT), size=10)], "larger than 16 MB"),
        ([attached(content=JPG + bytes(MAX_SENT_IMAGE))], "larger than 5 MB"),
        ([attached() for _ in range(6)], "more than 5 files"),
        ([attached(mode="external")], "could not be fetched"),
        ([attached(mode="tombstone")], "could not be fetched"),
        ([attached(url_private_download="https://evil.example/x.jpg")], "could not be fetched"),
        ([attached(), attached("second.jpg", EXE)], "WhatsApp takes no such file"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_go_is_refused_in_words_and_nothing_of_its_line_goes(kit, files, why):
    kit.calls()
    before = delivered(kit)
    ts = kit.writes("!see this", files=files)
    kit.soon(minutes=6)
    assert delivered(kit) == before
    assert why in kit.told()
    assert kit.marks(ts) == ["x"]
    assert sealed(kit) == []


def test_the_type_is_told_by_the_bytes_and_not_by_what_was_stated(kit):
    kit.calls()
    kit.writes("!", files=[attached("photo.jpg", PNG, "application/octet-stream")])
    assert delivered(kit)[-1] == ("", "photo.png")


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [
        (JPG, "x", "image/jpeg"), (PNG, "x", "image/png"), (WEBP, "x", "image/webp"), (PDF, "x", "application/pdf"),
        (OGG, "x", "audio/ogg"), (MP4, "x", "video/mp4"), (MP4, "x.m4a", "audio/mp4"),
        (b"ID3" + INSIDE, "x", "audio/mpeg"),
        (b"\xff\xf1" + INSIDE, "x", "audio/aac"), (b"#!AMR\n", "x", "audio/amr"),
        (b"\x00\x00\x00\x20ftypM4A \x00", "x", "audio/mp4"), (b"\x00\x00\x00\x20ftyp3gp4\x00", "x", "video/3gpp"),
        (OLE, "x.doc", "application/msword"), (OLE, "x.xls", "application/vnd.ms-excel"), (OLE, "x.msi", ""),
        (b"\x00\x00\x00\x20ftypqt  \x00", "x.mp4", ""), (b"GIF89a", "x.gif", ""), (EXE, "x.pdf", ""), (b"", "x", ""),
        (b"<svg/>", "x.svg", ""), (b"PK\x03\x04 zip", "x.zip", ""),
    ],
)  # fmt: skip
def test_what_whatsapp_takes_is_known_by_its_bytes(content, name, kind):
    assert sendable(content, name) == kind


def test_a_document_of_an_office_is_known_by_what_is_in_its_zip():
    assert sendable(docx(), "x").endswith("wordprocessingml.document")


def test_a_line_with_a_file_that_is_deleted_within_five_seconds_is_never_said(kit):
    kit.calls()
    before = delivered(kit)
    ts = kit.writes("!oops", files=[attached()], wait=False)
    kit.work()
    assert len(sealed(kit)) == 1
    assert kit.slack.take_back(TEAM, SAM, ts).ok
    assert sealed(kit) == []
    kit.soon(minutes=3)
    assert delivered(kit) == before
    assert kit.lines()[-1].state == "recalled"


def test_a_line_that_is_taken_back_while_its_file_is_fetched_leaves_nothing_behind(kit):
    kit.calls()
    ts = kit.writes("!oops", files=[attached()], wait=False)
    assert kit.slack.take_back(TEAM, SAM, ts).ok
    kit.soon(minutes=3)
    assert sealed(kit) == []
    assert kit.slack.downloads == []
    assert "photo.jpg" not in [file for _, file in delivered(kit)]


def test_a_file_that_is_taken_out_of_its_message_in_time_does_not_go(kit):
    kit.calls()
    ts = kit.writes("!two", files=[attached("one.jpg"), attached("two.jpg")], wait=False)
    kit.work()
    assert kit.slack.edit(TEAM, SAM, ts, "!one", without="one.jpg").ok
    kit.settle()
    assert [file for _, file in delivered(kit)][-1:] == ["two.jpg"]
    assert "one.jpg" not in [file for _, file in delivered(kit)]
    assert delivered(kit)[-1] == ("one", "two.jpg")


def test_after_their_24_hours_a_file_is_refused_like_words(kit):
    kit.calls()
    kit.writes("!Hello")
    kit.soon(hours=25)
    before = delivered(kit)
    kit.writes("!good morning", files=[attached()])
    assert delivered(kit) == before
    assert "their 24 hours on WhatsApp are over" in kit.told()
    assert sealed(kit) == []


def test_somebody_who_is_not_of_the_team_sends_no_file_and_none_of_theirs_is_fetched(kit):
    kit.calls()
    kit.slack.user(TEAM, "U0GUEST", "guest", real_name="Guest", is_restricted=True)
    kit.workspace.channels[DESK].members.append("U0GUEST")
    before = delivered(kit)
    kit.writes("!see this", who="U0GUEST", files=[attached()])
    kit.soon(minutes=3)
    assert delivered(kit) == before
    assert "you are not one of the team" in kit.told()
    assert kit.slack.downloads == []


def test_a_file_while_the_bot_has_the_conversation_again_is_refused(kit):
    kit.calls()
    kit.writes("!see this", files=[attached()], wait=False)
    kit.say("bot")
    kit.settle()
    assert "photo.jpg" not in [file for _, file in delivered(kit)]


def test_a_file_to_a_member_is_an_audit_entry_and_a_line_of_the_transcript_by_name_only(kit):
    kit.calls()
    kit.writes("!see this", files=[attached()])
    assert "case_line" in [one.action for one in kit.rows(tables.audit)]
    assert "see this\n(photo.jpg)" in kit.transcript()


def test_a_line_has_come_as_far_as_the_last_of_its_messages(kit):
    kit.calls()
    ts = kit.writes("!two", files=[attached("one.jpg"), attached("two.jpg")])
    first, second = [one.promise_id for one in kit.rows(tables.staff_part)]

    def told(promise_id, status, rank):
        kit.status(type("Line", (), {"promise_id": promise_id}), status, rank)
        kit.soon()

    assert kit.marks(ts) == ["outbox_tray"]
    told(first, "read", 5)
    assert kit.marks(ts) == ["outbox_tray"]
    told(second, "delivered", 4)
    assert kit.marks(ts) == ["white_check_mark"]
    told(second, "read", 5)
    assert kit.marks(ts) == ["eyes"]
    assert sealed(kit) == []


def test_a_file_that_whatsapp_did_not_take_fails_its_line_and_names_the_file(kit):
    kit.calls()
    ts = kit.writes("!two", files=[attached("one.jpg"), attached("two.jpg")])
    second = kit.rows(tables.staff_part)[1].promise_id
    kit.status(type("Line", (), {"promise_id": second}), "failed", 9, "63019")
    kit.soon()
    assert kit.marks(ts) == ["x"]
    assert "“two.jpg” did *not* reach them: WhatsApp did not take the file (63019)" in kit.told()


def test_when_one_file_is_refused_at_once_those_after_it_do_not_go(kit):
    kit.calls()
    kit.writes("!Hello")
    kit.channel.failures.append(Refused("21620", "no such address"))
    ts = kit.writes("!two", files=[attached("one.jpg"), attached("two.jpg")])
    assert [file for _, file in delivered(kit) if file] == []
    assert kit.marks(ts) == ["x"]
    assert sealed(kit) == []


def test_a_file_that_was_taken_before_the_connection_broke_is_not_sent_again(kit):
    kit.calls()
    kit.writes("!Hello")
    kit.channel.swallows = True
    kit.channel.failures.append(Unclear("broken", "no answer"))
    ts = kit.writes("!two", files=[attached("one.jpg"), attached("two.jpg")])
    kit.channel.swallows = False
    kit.soon(minutes=3)
    assert [file for _, file in delivered(kit) if file] == ["one.jpg", "two.jpg"]
    assert kit.marks(ts) == ["outbox_tray"]


def test_who_dies_while_a_file_leaves_does_not_send_it_twice(kit):
    kit.calls()
    kit.writes("!Hello")

    class Died(BaseException):
        pass

    kit.channel.swallows = True
    kit.channel.failures.append(Died())
    with pytest.raises(Died):
        kit.writes("!see", files=[attached("one.jpg"), attached("two.jpg")])
    kit.channel.swallows = False
    kit.die_later()
    kit.soon(minutes=2)
    assert [file for _, file in delivered(kit) if file] == ["one.jpg", "two.jpg"]


def test_slack_that_does_not_give_a_file_is_asked_again_and_the_line_leaves_then(kit, monkeypatch):
    kit.calls()
    real, asked = slack_files.SlackFiles.fetch, []

    def slow(self, *args):
        asked.append(args)
        if len(asked) < 3:
            raise Later("503", "not now", 2.0)
        return real(self, *args)

    monkeypatch.setattr(slack_files.SlackFiles, "fetch", slow)
    kit.writes("!see", files=[attached()], wait=False)
    kit.soon(seconds=30)
    assert len(asked) == 3
    assert delivered(kit)[-1] == ("see", "photo.jpg")


def test_without_the_right_to_read_files_a_line_is_refused_after_a_while(kit):
    kit.calls()
    kit.without("files:read")
    ts = kit.writes("!see", files=[attached()])
    kit.soon(minutes=3)
    assert kit.marks(ts) == ["x"]
    assert "the file could not be fetched from Slack" in kit.told()


def test_the_token_of_slack_goes_to_slack_s_hosts_only(kit):
    for url in (
        "https://evil.example/files-pri/T0SOL-F1/download/a", "http://files.slack.com/files-pri/T0SOL-F1/download/a",
        "https://files.slack.com.evil.example/a", "https://files.slack.com@evil.example/a", "https://slack.com.evil/a",
        "https://files.slack.com:8443/a", "https://notslack.com/a", "file:///etc/passwd", "https://[/a", "",
    ):  # fmt: skip
        with pytest.raises(Refused) as refused:
            kit.parts.slack.channel.files.fetch(TEAM, url, 100)
        assert refused.value.code == "host"
    assert kit.slack.downloads == []


def test_a_file_is_sealed_while_it_waits_and_neither_it_nor_its_token_stands_anywhere_in_clear(kit, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    kit.calls()
    kit.writes("!see", files=[attached()])
    token = kit.channel.sent[-1].url.rpartition("/")[2]
    assert len(sealed(kit)) == 1
    printed = capsys.readouterr()
    everything = kit.dump() + caplog.text + printed.out + printed.err + "\n".join(kit.transcript())
    for one in (INSIDE.decode(), "emVicmE", token, kit.workspace.token):
        assert one not in everything


# --- /m/<token> -------------------------------------------------------------------------------------------------------


def test_the_address_of_a_file_gives_its_bytes_under_its_type_and_name(kit):
    kit.calls()
    kit.writes("!", files=[attached('résumé "x".pdf', PDF, "application/pdf")])
    url = kit.channel.sent[-1].url
    assert url.startswith("http://127.0.0.1:1/m/")
    answer = kit.web.test_client().get(path(url))
    assert (answer.status_code, answer.data, answer.content_type) == (200, PDF, "application/pdf")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    assert "\n" not in answer.headers["Content-Disposition"]
    assert "Set-Cookie" not in answer.headers
    told = kit.web.test_client().head(path(url))
    assert (told.status_code, told.data, told.content_type) == (200, b"", "application/pdf")
    assert told.headers["Content-Length"] == str(len(PDF))


def test_an_unknown_address_leads_nowhere_and_nothing_can_be_written_there(kit):
    kit.calls()
    kit.writes("!", files=[attached()])
    good = path(kit.channel.sent[-1].url)
    client = kit.web.test_client()
    for wrong in (good[:-1], good + "x", "/m/" + "x" * 32, "/m/" + "x" * 5000, "/m/%00", good + "/", good + "/.."):
        assert client.get(wrong).status_code == 404
    assert client.get("/m/").status_code == 404
    for method in ("post", "put", "delete", "patch", "options"):
        assert getattr(client, method)(good).status_code == 405
    assert client.get(good).status_code == 200


def test_an_address_ends_after_an_hour_and_the_content_with_it(kit):
    kit.calls()
    kit.writes("!", files=[attached()])
    good, client = path(kit.channel.sent[-1].url), kit.web.test_client()
    kit.clock.move(minutes=58)
    assert client.get(good).status_code == 200
    kit.clock.move(minutes=3)
    assert client.get(good).status_code == 404
    assert client.head(good).status_code == 404
    kit.worker._sweep(kit.clock.now())
    assert sealed(kit) == []
    assert kit.rows(tables.media_token) == []


@pytest.mark.parametrize(("status", "rank"), [("delivered", 4), ("read", 5), ("failed", 9)])
def test_an_address_ends_once_the_message_has_arrived_or_never_will(kit, status, rank):
    kit.calls()
    kit.writes("!", files=[attached()])
    good, client = path(kit.channel.sent[-1].url), kit.web.test_client()
    assert client.get(good).status_code == 200
    kit.status(kit.lines()[-1], status, rank)
    assert client.get(good).status_code == 404
    assert sealed(kit) == []


def test_a_member_s_own_file_has_no_address(kit):
    kit.calls()
    sends(kit)
    kit.soon()
    assert kit.rows(tables.media_token) == []


# --- a member in Slack ------------------------------------------------------------------------------------------------


@pytest.fixture
def slack_member(kit):
    """Bruno, a member in Slack, with a case; what he and the team read."""
    kit.slack.say(TEAM, slackkit.BRUNO, f"My invitation code is {kit.invite(name='Bruno')}")
    kit.work()
    kit.clock.move(seconds=1)
    kit.slack.say(TEAM, slackkit.BRUNO, "person")
    kit.soon()
    return slackkit.BRUNO


def bruno_has(kit):
    return [(one.text, one.files) for one in kit.slack.dm(TEAM, slackkit.BRUNO) if not one.mine and one.files]


def test_what_a_member_sends_in_slack_stands_in_the_thread(kit, slack_member):
    kit.slack.say(TEAM, slack_member, "it says this", files=[attached("screen.png", PNG, "image/png")])
    kit.soon()
    assert "→ (document) screen.png: it says this" in shown(kit)
    assert "[screen.png]" in shown(kit)
    assert kit.slack.file("screen.png") == PNG


def test_what_staff_attach_comes_into_a_member_s_direct_messages(kit, slack_member):
    ts = kit.writes("!here <b> & so", files=[attached("one.jpg"), attached("two.pdf", PDF, "application/pdf")])
    kit.settle()
    assert [files for _, files in bruno_has(kit)] == [("one.jpg",), ("two.pdf",)]
    assert bruno_has(kit)[0][0] == "here &lt;b&gt; &amp; so"
    assert kit.marks(ts) == ["outbox_tray"]
    assert sealed(kit) == []
    assert kit.rows(tables.media_token) == []


@pytest.mark.parametrize("when", ["drop_before", "drop_after"])
def test_a_file_for_a_member_in_slack_of_which_slack_says_nothing_comes_once(kit, slack_member, when):
    kit.writes("!Hello")
    kit.slack.fail("files.completeUploadExternal", when)
    kit.writes("!here", files=[attached("one.jpg")])
    kit.soon(minutes=3)
    assert bruno_has(kit) == [("here", ("one.jpg",))]


# --- through Twilio ---------------------------------------------------------------------------------------------------


@pytest.fixture
def world(database_url, tmp_path):
    """A desk with a member on WhatsApp, whose provider fetches files from us."""
    with TwilioStandIn() as twilio:
        placeholder = make_server("127.0.0.1", 0, lambda *_: [])
        port = placeholder.server_port
        placeholder.server_close()
        settings = {
            "TWILIO_ACCOUNT_SID": twilio.account_sid, "TWILIO_AUTH_TOKEN": twilio.auth_token,
            "TWILIO_WHATSAPP_FROM": twilio.sender, "TWILIO_API_URL": twilio.url,
            "PUBLIC_URL": f"http://127.0.0.1:{port}", "PRIVACY_URL": "https://agency.test/privacy",
        }  # fmt: skip
        with DeskKit(database_url, tmp_path, **settings) as kit:
            twilio._account.now = kit.clock.now
            twilio.webhook_url = f"http://127.0.0.1:{port}/whatsapp"
            server = make_server("127.0.0.1", port, kit.web, threaded=True, request_handler=slackkit._Silent)
            from threading import Thread

            thread = Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                assert twilio.say(ANA, f"My invitation code is {kit.invite()}") == 200
                kit.work()
                assert twilio.say(ANA, "person") == 200
                kit.soon()
                yield kit, twilio
            finally:
                server.shutdown()
                thread.join()
                server.server_close()


def test_twilio_fetches_what_staff_attach_and_its_word_sets_the_marks(world):
    kit, twilio = world
    ts = kit.writes("!here is the offer", files=[attached("offer.pdf", PDF, "application/pdf"), attached()])
    twilio.wait_for(ANA, lambda shown: [one.files for one in shown if one.files] == [
        (("application/pdf", "offer.pdf"),), (("image/jpeg", "photo.jpg"),)
    ])  # fmt: skip
    bodies = [one.body for one in twilio.phone(ANA) if one.files]
    assert bodies == ["here is the offer", ""]
    eventually(lambda: kit.lines()[-1].state == "read", "the word of the provider")
    kit.soon()
    assert kit.marks(ts) == ["eyes"]
    assert sealed(kit) == []
    assert kit.rows(tables.media_token) == []


def test_what_a_member_sends_on_whatsapp_stands_in_the_thread_and_is_erased_at_twilio(world):
    kit, twilio = world
    assert twilio.say(ANA, media=[("image/jpeg", JPG)]) == 200
    kit.soon()
    assert "[photo.jpg]" in shown(kit)
    assert kit.slack.file("photo.jpg") == JPG
    kit.soon(minutes=2)
    assert not [one for one in twilio.records.values() if one["direction"] == "inbound" and one["num_media"] != "0"]


def test_a_file_that_twilio_cannot_fetch_fails_its_line(world, monkeypatch):
    kit, twilio = world
    monkeypatch.setattr(desk_media, "armed", lambda *_: "leads-nowhere")
    kit.writes("!here", files=[attached()])
    eventually(lambda: kit.lines()[-1].state == "failed", "the word of the provider")
    kit.soon()
    assert "WhatsApp did not take the file (63019)" in kit.told()
    assert twilio.phone(ANA)[-1].files == ()


def test_a_file_that_twilio_took_without_an_answer_is_sent_once(world):
    kit, twilio = world
    kit.writes("!Hello")
    twilio.drop_after_reading(path="/Messages.json")
    kit.writes("!", files=[attached("one.jpg"), attached("two.jpg")])
    kit.soon(minutes=3)
    assert [name for one in twilio.phone(ANA) for _, name in one.files] == ["one.jpg", "two.jpg"]
