"""The keys for the door, in the database: one for each mailbox, only its hash, void as soon as it should be."""

from uuid import uuid4

import pytest

from bot.door_keys import ALPHABET, GROUP, GROUPS, hash_of, make
from bot.store import door_mails, doors, mailboxes, tables
from bot.store import people as people_store
from bot.store.engine import reading
from tests.botkit import ADDRESS, BIA

HASH, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def box(kit):
    """The id of a mailbox that works, with a key."""
    kit.mailbox()
    (row,) = kit.rows(tables.mailbox)
    with kit.engine.begin() as db:
        doors.make(db, row.id, HASH, kit.clock.now())
    return row.id


def looked(kit, key_hash=HASH):
    with reading(kit.engine) as db:
        return door_mails.standing(db, key_hash, "", kit.clock.now())


def kept(kit):
    (row,) = kit.rows(tables.door_key)
    return row


def saved_again(kit, **changed):
    """The mailbox is saved once more, with something else about it."""
    held, row = kit.held(), kit.rows(tables.mailbox)[0]
    names = ("address", "user_name", "host", "port", "security", "secret_id", "state")
    values = {name: getattr(row, name) for name in names} | {"since": kit.clock.now()} | changed
    with kit.engine.begin() as db:
        mailboxes.save(db, held.member_id, values)


def test_a_key_is_long_enough_and_can_be_typed():
    clear, hashed = make()
    groups = clear.reveal().split("-")
    assert [len(group) for group in groups] == [GROUP] * GROUPS
    assert set("".join(groups)) <= set(ALPHABET)
    assert len(ALPHABET) ** (GROUP * GROUPS) >= 2**128
    assert hashed == hash_of(clear.reveal())
    assert make()[1] != hashed


@pytest.mark.parametrize("typed", ["ab23-cd45", "AB23-CD45", "ab23cd45", " ab23 cd45\n", "Ab23-cD45 "])
def test_however_a_key_is_typed_it_is_the_same(typed):
    assert hash_of(typed) == hash_of("ab23-cd45")
    assert hash_of("ab23-cd46") != hash_of(typed)
    assert hash_of("\udcff") != hash_of("ab23-cd45")  # what is no text on the wire is no key, and no trouble


def test_the_mailbox_is_found_by_its_key_with_whoever_acts_for_it(kit, box):
    row, held = looked(kit), kit.held()
    assert (row.mailbox_id, row.address, row.state, row.transport) == (box, ADDRESS, "works", "smtp")
    assert (row.member_id, row.contact_id, row.conversation_id) == (held.member_id, held.contact_id, held.id)
    assert row.agency_id == kit.agency
    assert row.secret_id == kit.rows(tables.mailbox)[0].secret_id
    assert looked(kit, OTHER) is None


def test_whoever_acts_for_the_member_at_present_is_told_before_another(kit, box):
    kit.say("hi", BIA)
    kit.work()
    with kit.engine.begin() as db:
        people_store.let_in(db, kit.held(BIA).contact_id, kit.held().member_id)
        people_store.touch(db, kit.held().contact_id, member_id=None)
    assert looked(kit).contact_id == kit.held(BIA).contact_id


def test_a_member_for_whom_nobody_acts_is_found_without_anybody_to_tell(kit, box):
    with kit.engine.begin() as db:
        people_store.shut_out(db, kit.held().member_id, uuid4())
    row = looked(kit)
    assert (row.mailbox_id, row.contact_id, row.conversation_id) == (box, None, None)


def test_a_new_key_voids_the_old_one_and_forgets_what_became_of_it(kit, box):
    with kit.engine.begin() as db:
        doors.used(db, box, kit.clock.now())
        doors.refused(db, ADDRESS, "wrong_key", kit.clock.now())
        kit.clock.move(hours=1)
        doors.make(db, box, OTHER, kit.clock.now())
    assert looked(kit) is None
    assert looked(kit, OTHER).mailbox_id == box
    row = kept(kit)
    assert (row.used_at, row.refused_at, row.refusal, row.made_at) == (None, None, "", kit.clock.now())


def test_a_key_is_taken_back_once_and_a_new_one_opens_again(kit, box):
    with kit.engine.begin() as db:
        assert doors.of_mailbox(db, box).hash == HASH
        assert doors.revoke(db, box, kit.clock.now())
        assert not doors.revoke(db, box, kit.clock.now())
        assert doors.of_mailbox(db, box) is None
    assert looked(kit) is None
    with kit.engine.begin() as db:
        doors.make(db, box, OTHER, kit.clock.now())
    assert looked(kit, OTHER) is not None


def test_when_it_was_used_never_goes_back(kit, box):
    earlier = kit.clock.now()
    kit.clock.move(hours=1)
    with kit.engine.begin() as db:
        doors.used(db, box, kit.clock.now())
        doors.used(db, box, earlier)
    assert kept(kit).used_at == kit.clock.now()


def test_the_last_refusal_is_kept_whatever_the_letters_of_the_address(kit, box):
    with kit.engine.begin() as db:
        doors.refused(db, ADDRESS.upper(), "wrong_key" + "x" * 100, kit.clock.now())
        doors.refused(db, "nobody@else.test", "wrong_key", kit.clock.now())
    assert kept(kit).refusal.startswith("wrong_key")
    assert len(kept(kit).refusal) == doors.MAX_REFUSAL
    assert kept(kit).refused_at == kit.clock.now()


@pytest.mark.parametrize("changed", [{}, {"host": "mail.other.test"}, {"address": ADDRESS.upper()}])
def test_another_password_or_server_leaves_the_key(kit, box, changed):
    saved_again(kit, **changed)
    assert looked(kit).mailbox_id == box


def test_another_address_takes_the_key_back(kit, box):
    saved_again(kit, address="ana@other.test")
    assert looked(kit) is None
    assert kept(kit).revoked_at == kit.clock.now()


@pytest.mark.parametrize("state", ["off", "waiting", "broken"])
def test_a_mailbox_that_does_not_work_keeps_its_key_and_says_so(kit, box, state):
    saved_again(kit, state=state)
    assert looked(kit).state == state


def test_a_mailbox_that_is_removed_leaves_no_key(kit, box):
    with kit.engine.begin() as db:
        mailboxes.remove(db, kit.held().member_id)
    assert kit.rows(tables.door_key) == []


def test_who_is_excluded_has_no_key_any_more(kit, box):
    with kit.engine.begin() as db:
        people_store.exclude(db, kit.held().member_id, kit.clock.now())
    assert looked(kit) is None


def test_a_closed_agency_sends_nothing(kit, box):
    with kit.engine.begin() as db:
        people_store.close_agency(db, kit.agency, kit.clock.now())
    assert looked(kit) is None


def test_keys_are_listed_without_their_hashes(kit, box):
    with kit.engine.begin() as db:
        (row,) = doors.listed(db)
        assert (row.agency, row.name, row.address, row.state) == ("Agência Sol", "Ana", ADDRESS, "works")
        assert HASH not in str(row)
        assert len(doors.listed(db, kit.agency, ADDRESS.upper())) == 1
        assert doors.listed(db, uuid4()) == doors.listed(db, address="x@y.test") == []
        doors.revoke(db, box, kit.clock.now())
        assert doors.listed(db) == []


def test_one_key_opens_one_mailbox_only(kit, box):
    kit.mailbox(BIA)
    other = next(row.id for row in kit.rows(tables.mailbox) if row.id != box)
    with pytest.raises(Exception, match="uq_door_key_hash"), kit.engine.begin() as db:
        doors.make(db, other, HASH, kit.clock.now())
