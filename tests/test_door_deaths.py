"""The door is killed at each state that a mail goes through; its guest hands the mail in again, as programs do."""

import contextlib
import smtplib
from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.store import tables
from bot.store.engine import reading
from bot.store.promises import DOOR_MAIL, FILE_COPY, SPEAK
from tests.chaos.points import POINTS
from tests.doorhouse import ANA, BRUNO, PASSWORDS, DoorHouse, before, client, kept, message, states
from tests.faulty_smtp import CLOSE, FaultySMTP
from tests.mailservers import started_mail_servers

pytestmark = [pytest.mark.world, pytest.mark.usefixtures("no_waits")]
TAKEN, LATER, REFUSED = 250, 451, 554
# What the guest hears as it hands the mail in again at once and after a while; what is known then; how many arrived.
NOTHING_WAS_SENT = ([TAKEN, TAKEN], "accepted", 1)
NOBODY_KNOWS = ([LATER, TAKEN], "unknown", 1)
STORY = {
    "before door_desk.sign_in": NOTHING_WAS_SENT,
    "after door_desk.sign_in": NOTHING_WAS_SENT,
    "before door_desk.letter": NOTHING_WAS_SENT,
    "after door_desk.letter": NOTHING_WAS_SENT,
    "before door_desk._note_handing": NOTHING_WAS_SENT,
    "after door_desk._note_handing": ([LATER, TAKEN], "unknown", 0),
    "before smtp.hand_over": NOBODY_KNOWS,
    "after smtp.hand_over": NOBODY_KNOWS,
    "before door_desk._note_accepted": NOBODY_KNOWS,
    "after door_desk._note_accepted": ([TAKEN, TAKEN], "accepted", 1),
}
# The same where the server says no, or nothing, to the last byte; how often it got it.
NO, NOTHING = "554 5.7.1 We do not want this.", CLOSE
TROUBLE = {
    "before door_desk._kept_refused": (NO, [LATER, TAKEN], ["unknown"], 1),
    "after door_desk._kept_refused": (NO, [REFUSED, REFUSED], ["refused"] * 3, 3),
    "before door_desk._unknown_now": (NOTHING, [LATER, TAKEN], ["unknown"], 1),
    "after door_desk._unknown_now": (NOTHING, [TAKEN, TAKEN], ["unknown"], 1),
}


@pytest.fixture(scope="module")
def servers():
    with started_mail_servers(PASSWORDS) as servers:
        yield servers


def handed_in(house, subject):
    """The code of the reply to a mail; nothing where the connection broke."""
    with contextlib.suppress(smtplib.SMTPException, OSError), client(house, house.ana) as one:
        one.mail(ANA)
        one.rcpt(BRUNO)
        return one.data(message(subject))[0]
    return None


def replies_after_its_death(house, point, subject):
    """The door dies of a mail; the replies to it at once and when its lease is over, from a door that lives."""
    house.start(dies=point)
    assert handed_in(house, subject) is None
    assert house.has_died()
    house.start()
    at_once = handed_in(house, subject)
    with house.parts.engine.begin() as db:
        at = tables.outgoing_mail.c.at - timedelta(minutes=5)
        db.execute(tables.outgoing_mail.update().where(tables.outgoing_mail.c.state == "handing").values(at=at))
    later = handed_in(house, subject)
    kept(house, DOOR_MAIL, FILE_COPY)
    return [at_once, later]


def times_told(house):
    """How often something was said to Ana in the chat."""
    with reading(house.parts.engine) as db:
        kinds = db.execute(select(tables.promise.c.kind)).scalars()
        return [kind for kind in kinds if kind == SPEAK].count(SPEAK)


def sealed(house):
    with reading(house.parts.engine) as db:
        return set(db.execute(select(tables.secret.c.kind)).scalars())


def test_each_named_point_of_the_door_is_one_of_these():
    assert {*STORY, *TROUBLE} == {f"{when} {name}" for name in POINTS["door"] for when in ("before", "after")}


@pytest.mark.parametrize("point", STORY)
def test_a_mail_leaves_once_or_its_person_hears_that_nobody_knows(point, servers, database_url, tmp_path):
    replies, state, arrived = STORY[point]
    subject = point.replace(" ", "-")
    with before(servers, database_url, tmp_path) as house:
        assert replies_after_its_death(house, point, subject) == replies
        assert states(house) == [state]
        assert times_told(house) == (state == "unknown")
        assert handed_in(house, f"last-{subject}") == TAKEN
        kept(house, FILE_COPY)
        servers.wait_for_mail(BRUNO, f"last-{subject}")  # what was taken before that is there, too
        assert [mail["Subject"] for mail in servers.inbox(BRUNO)].count(subject) == arrived
        assert [mail["Subject"] for mail in servers.folder(ANA, "Sent")].count(subject) == (state == "accepted")
        assert sealed(house) == {"mailbox.password"}


@pytest.mark.parametrize("point", TROUBLE)
def test_a_server_s_no_or_silence_that_was_not_noted_is_told_as_unknown(
    point, database_url, tmp_path, door_authority, door_server_context
):
    end, replies, known, handed_over = TROUBLE[point]
    door_authority.cert_pem.write_to_path(str(tmp_path / "upstream.pem"))
    with (
        FaultySMTP(door_server_context, end=end) as server,
        DoorHouse(
            database_url, tmp_path, host="localhost", port=server.port, authority=tmp_path / "upstream.pem", names=""
        ) as house,
    ):
        (house.ana,) = house.people({ANA: "x"})
        assert replies_after_its_death(house, point, "trouble") == replies
        assert states(house) == known
        assert times_told(house) == known.count("unknown")
        assert len(server.messages) == handed_over
        assert sealed(house) == {"mailbox.password"}
