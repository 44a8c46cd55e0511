"""Who is who: one person, one contact, however they are named; and how somebody becomes a member."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from bot import people
from bot.channels import Identity
from bot.people import INVITATION_TIME
from bot.store import people as people_store
from bot.store import tables
from flows.reading import CODE_ALPHABET, CODE_LENGTH, invitation_code
from flows.speech import texts
from flows.words import Joined, JoinRefused
from tests.botkit import ANA, BIA, run_sql

NUMBER, OTHER_NUMBER = "+5511999990001", "+5511999990002"
ID, OTHER_ID = "BR.aaaa1111", "BR.bbbb2222"


def writes(kit, number=None, second=None):
    """A message from somebody on WhatsApp; the contact's id."""
    with kit.engine.begin() as db:
        return people.who(db, Identity("whatsapp", number, second), "Ana", kit.clock.now()).contact_id


def contacts(kit):
    """All contacts as (address, second id), in the order of their making."""
    return sorted((row.address or "", row.external_id or "") for row in kit.rows(tables.contact))


# --- numbers and second ids -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [(NUMBER, None), (None, ID), (NUMBER, ID)])
def test_the_same_names_are_the_same_contact(kit, names):
    assert writes(kit, *names) == writes(kit, *names)
    assert contacts(kit) == [(names[0] or "", names[1] or "")]


def test_a_number_that_comes_with_an_id_later_is_completed(kit):
    first = writes(kit, NUMBER)
    assert writes(kit, NUMBER, ID) == first
    assert writes(kit, None, ID) == first
    assert contacts(kit) == [(NUMBER, ID)]


def test_an_id_that_comes_with_a_number_later_is_completed(kit):
    first = writes(kit, None, ID)
    assert writes(kit, NUMBER, ID) == first
    assert writes(kit, NUMBER) == first
    assert contacts(kit) == [(NUMBER, ID)]


def test_both_at_once_are_found_by_either(kit):
    first = writes(kit, NUMBER, ID)
    assert writes(kit, NUMBER) == writes(kit, None, ID) == first


def test_a_number_with_another_id_is_somebody_new_who_inherits_nothing(kit):
    """Numbers are issued again. The former owner keeps what is theirs, under their id."""
    former = writes(kit, NUMBER, ID)
    new = writes(kit, NUMBER, OTHER_ID)
    assert new != former
    assert contacts(kit) == [("", ID), (NUMBER, OTHER_ID)]
    assert writes(kit, None, ID) == former
    assert writes(kit, NUMBER) == new


def test_a_number_goes_to_whom_its_id_names_and_the_rest_stays_with_the_former_owner(kit):
    former = writes(kit, NUMBER)
    known = writes(kit, None, ID)
    assert writes(kit, NUMBER, ID) == known
    assert writes(kit, NUMBER) == known
    assert {row.id: row.address for row in kit.rows(tables.contact)} == {former: None, known: NUMBER}


def test_a_former_owner_without_an_id_is_not_found_by_anything_that_people_send(kit):
    former = writes(kit, NUMBER)
    writes(kit, None, ID)
    writes(kit, NUMBER, ID)
    (stored,) = [row.external_id for row in kit.rows(tables.contact) if row.id == former]
    assert stored == f"former:{former}"


def test_somebody_who_changed_the_number_keeps_the_contact(kit):
    first = writes(kit, NUMBER, ID)
    assert writes(kit, OTHER_NUMBER, ID) == first
    assert contacts(kit) == [(OTHER_NUMBER, ID)]
    assert writes(kit, NUMBER) != first


def test_the_same_number_on_another_channel_is_another_contact(kit):
    first = writes(kit, NUMBER)
    with kit.engine.begin() as db:
        other = people.who(db, Identity("slack", NUMBER), "Ana", kit.clock.now()).contact_id
    assert other != first


def test_a_new_owner_of_a_number_acts_for_no_agency_and_has_no_mailbox(kit):
    kit.join(ANA)
    with kit.engine.begin() as db:
        people_store.touch(db, kit.held(ANA).contact_id, external_id=ID)
    kit.say("hi", ANA, identity=Identity("terminal", ANA, OTHER_ID))
    kit.work()
    assert texts("pt")["welcome.door"] in kit.last(ANA).body
    assert kit.held(ANA).member_id is None
    assert len(kit.rows(tables.membership)) == 1


def test_two_messages_of_a_new_owner_at_once_make_one_contact(kit):
    writes(kit, NUMBER, ID)
    start = threading.Barrier(4)

    def write(_number):
        start.wait()
        return writes(kit, NUMBER, OTHER_ID)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(write, range(4)))) == 1
    assert contacts(kit) == [("", ID), (NUMBER, OTHER_ID)]


@pytest.mark.parametrize(
    ("number", "second", "language"),
    [
        ("+5511999990001", None, "pt"),
        ("+34600000002", None, "es"),
        ("+15550000003", None, "en"),
        (None, "BR.aaaa", "pt"),
        (None, "MX.aaaa", "es"),
        (None, "US.aaaa", "en"),
    ],
)
def test_the_first_language_is_the_one_of_the_country(kit, number, second, language):
    writes(kit, number, second)
    assert kit.rows(tables.contact)[0].language == language


def test_the_name_that_somebody_calls_themselves_is_kept_and_bounded(kit):
    kit.say("hi", name="A" * 500)
    assert kit.rows(tables.contact)[0].name == "A" * 120
    kit.say("hi", name="Ana")
    assert kit.rows(tables.contact)[0].name == "Ana"
    kit.say("hi", name="")
    assert kit.rows(tables.contact)[0].name == "Ana"


# --- joining ----------------------------------------------------------------------------------------------------------


def joins(kit, code, who=ANA):
    """Somebody gives a code; the answer."""
    kit.say("hi", who)
    with kit.engine.begin() as db:
        code = invitation_code(code) or code
        return people.join(db, kit.held(who), code, kit.parts.limits, kit.clock.now()).event


def test_a_code_makes_a_member_of_the_agency(kit):
    assert joins(kit, kit.invite()) == Joined("Agência Sol")
    (member,) = kit.rows(tables.member)
    assert (member.name, member.role, member.agency_id) == ("Ana", "member", kit.agency)
    assert kit.held().member_id == member.id


def test_a_code_is_written_in_groups_and_holds_a_digit(kit):
    code = kit.invite()
    bare = code.replace("-", "")
    assert len(bare) == CODE_LENGTH
    assert set(bare) <= set(CODE_ALPHABET)
    assert any(sign.isdigit() for sign in bare)
    assert invitation_code(f"Hello! My invitation code is {code.lower()}.") == bare


def test_a_code_stands_in_the_database_as_a_hash_only(kit):
    code = kit.invite()
    assert code not in kit.dump()
    assert code.replace("-", "") not in kit.dump()
    assert len(kit.rows(tables.invitation)[0].code_hash) == 64


def test_codes_are_not_made_twice(kit):
    assert len({kit.invite() for _ in range(50)}) == 50


def test_an_unknown_code_is_refused(kit):
    assert joins(kit, "ACDE7FGHJKMN") == JoinRefused("unknown")


def test_a_code_ends_after_seven_days(kit):
    early, late = kit.invite(), kit.invite()
    kit.clock.time += INVITATION_TIME - timedelta(seconds=1)
    assert joins(kit, early) == Joined("Agência Sol")
    kit.clock.move(seconds=1)
    assert joins(kit, late, BIA) == JoinRefused("expired")


def test_a_used_code_is_refused_to_the_next_person(kit):
    code = kit.invite()
    joins(kit, code)
    assert joins(kit, code, BIA) == JoinRefused("used")
    assert kit.rows(tables.invitation)[0].uses_left == 0


def test_a_code_for_two_lets_two_in_and_no_third_even_at_once(kit):
    code = kit.invite(uses=2)
    crowd = [f"+3460000000{number}" for number in range(5)]
    for who in crowd:
        kit.say("hi", who)
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda who: joins(kit, code, who), crowd))
    assert answers.count(Joined("Agência Sol")) == 2
    assert answers.count(JoinRefused("used")) == 3
    assert len(kit.rows(tables.member)) == 2


def test_the_same_person_may_send_the_code_again_without_using_it_up(kit):
    code = kit.invite(uses=2)
    assert joins(kit, code) == joins(kit, code) == Joined("Agência Sol")
    assert len(kit.rows(tables.member)) == 1
    assert kit.rows(tables.invitation)[0].uses_left == 1


def test_a_member_finds_the_door_open_even_with_a_code_that_expired(kit):
    code = kit.invite()
    joins(kit, code)
    kit.clock.move(days=30)
    assert joins(kit, code) == Joined("Agência Sol")


def test_a_thousand_tries_let_nobody_in_and_hurt_nobody_else(kit):
    """Fifty guessers, twenty tries each: five of each are looked at."""
    good = invitation_code(kit.invite())
    answers = Counter()
    for number in range(50):
        who = f"+55118888{number:05d}"
        kit.say("hi", who)
        with kit.engine.begin() as db:
            held = kit.held(who)
            for attempt in range(20):
                code = f"{'ACDEFGHJKMNP'[:8]}{attempt % 10}{'3'}{'4'}{'6'}"
                answers[people.join(db, held, code, kit.parts.limits, kit.clock.now()).event] += 1
    assert answers == {JoinRefused("unknown"): 250, JoinRefused("too_many"): 750}
    assert joins(kit, good, ANA) == Joined("Agência Sol")


def test_five_tries_an_hour_and_not_one_more_even_with_the_right_code(kit):
    right = kit.invite()
    answers = [joins(kit, "ACDE7FGHJKMN") for _ in range(5)]
    assert answers == [JoinRefused("unknown")] * 5
    assert joins(kit, right) == JoinRefused("too_many")
    kit.clock.move(hours=1, seconds=1)
    assert joins(kit, right) == Joined("Agência Sol")


def test_the_tries_of_one_person_are_nobody_elses(kit):
    for _ in range(6):
        joins(kit, "ACDE7FGHJKMN")
    assert joins(kit, kit.invite(), BIA) == Joined("Agência Sol")


def test_somebody_may_belong_to_two_agencies_and_acts_for_the_one_joined_last(kit):
    joins(kit, kit.invite())
    with kit.engine.begin() as db:
        moon = people_store.add_agency(db, "Agencia Luna", "es", "Europe/Madrid", kit.clock.now())
    assert joins(kit, kit.invite(agency=moon, language="es")) == Joined("Agencia Luna")
    assert len(kit.rows(tables.membership)) == 2
    with kit.engine.begin() as db:
        standing = kit.parts.turns._facts.read(db, kit.held(), kit.envelope(), kit.clock.now())
    assert (standing.facts.agency, standing.timezone) == ("Agencia Luna", "Europe/Madrid")
    assert joins(kit, kit.invite()) == Joined("Agência Sol")
    assert len(kit.rows(tables.membership)) == 2


@pytest.mark.parametrize("language", ["en", "pt", "es"])
def test_the_language_is_the_invitations_whatever_the_number(kit, language):
    kit.join(BIA, language=language)
    assert kit.held(BIA).language == language
    assert texts(language)["mailbox.address"] in kit.last(BIA).body


def test_the_name_on_the_invitation_wins_over_the_one_of_the_phone(kit):
    joins(kit, kit.invite(name="Ana Souza"))
    assert kit.rows(tables.member)[0].name == "Ana Souza"


def test_the_code_of_a_closed_agency_is_unknown(kit):
    code = kit.invite()
    run_sql(kit.url, "update agency set closed_at = now()")
    assert joins(kit, code) == JoinRefused("unknown")


def test_a_removed_member_needs_a_new_code(kit):
    code = kit.invite()
    joins(kit, code)
    run_sql(kit.url, "update member set removed_at = now()")
    kit.say("menu")
    kit.work()
    assert texts("en")["welcome.door"] in kit.last().body
    assert joins(kit, code) == JoinRefused("used")
    assert joins(kit, kit.invite()) == Joined("Agência Sol")


@pytest.mark.parametrize("reason", ["unknown", "expired", "used"])
def test_a_refusal_is_told_in_the_persons_words(kit, reason):
    code = "ACDE7FGHJKMN" if reason == "unknown" else kit.invite()
    if reason == "used":
        joins(kit, code, BIA)
    if reason == "expired":
        kit.clock.move(days=8)
    kit.say("hi", "+15550000003")
    kit.say(code, "+15550000003")
    kit.work()
    assert texts("en")[f"welcome.refused.{reason}"] in kit.last("+15550000003").body
