"""What a turn writes into our own tables, record by record."""

from datetime import timedelta
from typing import get_args
from uuid import UUID, uuid4

import pytest

from bot.records import Records, Scene
from bot.safe import WAITING, use_of
from bot.store import tables
from bot.vault import Secret
from flows.words import (
    Account,
    CaseOpened,
    EraseSecret,
    Join,
    Joined,
    LinkOpened,
    LinkRefused,
    MailQueued,
    MailsExhausted,
    OpenCase,
    OpenLink,
    Record,
    RemoveMailbox,
    SaveMailbox,
    SendMail,
    Server,
    SetLanguage,
    SetMessages,
    SwitchMailbox,
)
from tests.botkit import ADDRESS, ANA, BIA, run_sql

ACCOUNT = Account(ADDRESS, ADDRESS, Server("localhost", 465, "tls"))
MAIL = SendMail(("carla@client.test",), "The offer", "See you on Tuesday.")


def performed(kit, record, who=ANA):
    """One record written in a transaction of its own; its answer."""
    with kit.engine.begin() as db:
        held = kit.held(who)
        standing = kit.parts.turns._facts.read(db, held, kit.envelope(who), kit.clock.now())
        return kit.parts.turns._records.perform(Scene(db, held, standing, kit.clock.now()), record)


def secret(kit, who=ANA, account=ACCOUNT):
    """A sealed password of somebody; its id as records carry it."""
    with kit.engine.begin() as db:
        sealed = kit.parts.safe.put(
            db, Secret("x"), kind="mailbox.password", owner=kit.held(who).contact_id, use=use_of(account),
            now=kit.clock.now(),
        )  # fmt: skip
    return str(sealed)


def the(kit, table):
    (row,) = kit.rows(table)
    return row


def test_every_record_of_the_flows_can_be_performed(kit):
    assert Records(kit.parts.safe, kit.parts.limits).kinds == set(get_args(Record))


def test_a_code_is_accepted(kit):
    kit.say("hi")
    assert performed(kit, Join(kit.invite().replace("-", ""))) == Joined("Agência Sol")


def test_the_language_is_kept(kit):
    kit.say("hi")
    assert performed(kit, SetLanguage("es")) is None
    assert the(kit, tables.contact).language == "es"


def test_the_wish_for_no_messages_is_kept_with_its_time_and_taken_back(kit):
    kit.say("hi")
    performed(kit, SetMessages(wanted=False))
    assert the(kit, tables.contact).stopped_at == kit.clock.now()
    performed(kit, SetMessages(wanted=True))
    assert the(kit, tables.contact).stopped_at is None


def test_a_secret_is_erased_at_once_and_only_this_one(kit):
    kit.join()
    mine, other = secret(kit), secret(kit)
    performed(kit, EraseSecret(mine))
    assert str(the(kit, tables.secret).id) == other


# --- links ------------------------------------------------------------------------------------------------------------


def test_a_link_opens_without_an_address_and_closes_the_older_ones(kit):
    kit.join()
    first = performed(kit, OpenLink(ACCOUNT))
    second = performed(kit, OpenLink(ACCOUNT))
    assert isinstance(first, LinkOpened)
    states = {str(row.id): row.closed_at for row in kit.rows(tables.link)}
    assert states == {first.link_id: kit.clock.now(), second.link_id: None}
    assert kit.rows(tables.link_token) == []


def test_a_link_of_one_person_closes_nobody_elses(kit):
    kit.join(ANA)
    kit.join(BIA)
    performed(kit, OpenLink(ACCOUNT), ANA)
    performed(kit, OpenLink(ACCOUNT), BIA)
    assert [row.closed_at for row in kit.rows(tables.link)] == [None, None]


def test_somebody_without_an_agency_gets_no_link(kit):
    kit.say("hi")
    assert performed(kit, OpenLink(ACCOUNT)) == LinkRefused()
    assert kit.rows(tables.link) == []


def test_more_than_ten_links_an_hour_are_refused_without_closing_the_last_one(kit):
    kit.join()
    for _ in range(10):
        assert isinstance(performed(kit, OpenLink(ACCOUNT)), LinkOpened)
    assert performed(kit, OpenLink(ACCOUNT)) == LinkRefused()
    assert sum(row.closed_at is None for row in kit.rows(tables.link)) == 1


# --- mailboxes --------------------------------------------------------------------------------------------------------


def test_a_mailbox_that_works_keeps_its_secret_for_good(kit):
    kit.join()
    mine = secret(kit)
    performed(kit, SaveMailbox(ACCOUNT, mine))
    saved = the(kit, tables.mailbox)
    assert (saved.address, saved.user_name, saved.host, saved.port, saved.security) == (
        ADDRESS, ADDRESS, "localhost", 465, "tls",
    )  # fmt: skip
    assert (saved.state, saved.cause, saved.who, saved.version, saved.since) == ("works", "", "", 1, kit.clock.now())
    assert the(kit, tables.secret).expires_at is None


def test_a_mailbox_that_waits_keeps_its_secret_for_three_days(kit):
    kit.join()
    performed(kit, SaveMailbox(ACCOUNT, secret(kit), "greylisted", "wait"))
    saved = the(kit, tables.mailbox)
    assert (saved.state, saved.cause, saved.who) == ("waiting", "greylisted", "wait")
    assert the(kit, tables.secret).expires_at == kit.clock.now() + WAITING == kit.clock.now() + timedelta(hours=72)


def test_a_new_secret_replaces_the_old_one_and_raises_the_version(kit):
    kit.join()
    performed(kit, SaveMailbox(ACCOUNT, secret(kit)))
    new = secret(kit)
    performed(kit, SaveMailbox(ACCOUNT, new))
    assert (the(kit, tables.mailbox).version, str(the(kit, tables.secret).id)) == (2, new)


def test_the_same_secret_saved_again_is_not_erased(kit):
    """It waited for its server, and then it worked."""
    kit.join()
    mine = secret(kit)
    performed(kit, SaveMailbox(ACCOUNT, mine, "greylisted", "wait"))
    performed(kit, SaveMailbox(ACCOUNT, mine))
    assert (the(kit, tables.mailbox).state, str(the(kit, tables.secret).id)) == ("works", mine)
    assert the(kit, tables.secret).expires_at is None


def test_each_member_has_a_mailbox_of_their_own(kit):
    kit.join(ANA)
    kit.join(BIA)
    performed(kit, SaveMailbox(ACCOUNT, secret(kit, ANA)), ANA)
    performed(kit, SaveMailbox(ACCOUNT, secret(kit, BIA)), BIA)
    assert len(kit.rows(tables.mailbox)) == len(kit.rows(tables.secret)) == 2


def test_switching_changes_the_verdict_and_the_version(kit):
    kit.mailbox()
    performed(kit, SwitchMailbox(on=False))
    assert (the(kit, tables.mailbox).state, the(kit, tables.mailbox).version) == ("off", 2)
    performed(kit, SwitchMailbox(on=True))
    assert (the(kit, tables.mailbox).state, the(kit, tables.mailbox).version) == ("works", 3)


def test_removing_erases_the_mailbox_with_its_secret_and_the_mails_that_wait(kit):
    kit.mailbox()
    performed(kit, MAIL)
    performed(kit, RemoveMailbox())
    assert kit.rows(tables.mailbox) == kit.rows(tables.outgoing_mail) == []
    assert [row.kind for row in kit.rows(tables.secret)] == ["mail.body"]  # until its promise or its time ends


@pytest.mark.parametrize("record", [SwitchMailbox(on=True), RemoveMailbox()])
def test_without_a_mailbox_there_is_nothing_to_switch_or_remove(kit, record):
    kit.join()
    assert performed(kit, record) is None


@pytest.mark.parametrize("record", [MAIL, SaveMailbox(ACCOUNT, str(uuid4()))])
def test_what_no_flow_asks_for_is_a_fault_and_not_a_guess(kit, record):
    kit.say("hi")
    with pytest.raises(LookupError):
        performed(kit, record)


# --- mail -------------------------------------------------------------------------------------------------------------


def test_a_mail_is_kept_sealed_with_its_own_message_id_and_version(kit):
    kit.mailbox()
    answer = performed(kit, MAIL)
    mail = the(kit, tables.outgoing_mail)
    assert answer == MailQueued(str(mail.id))
    assert (mail.recipients, mail.state, mail.mailbox_version) == (["carla@client.test"], "todo", 1)
    assert mail.message_id == f"<{mail.id.hex}@agency.test>"
    assert mail.date == kit.clock.now()
    assert "Tuesday" not in kit.dump()
    with kit.engine.begin() as db:
        words = kit.parts.safe.take(db, mail.content_id, kind="mail.body", use={"mail": str(mail.id)})
    assert words.reveal() == "The offer\nSee you on Tuesday."


def test_the_promise_of_a_mail_carries_its_id_and_nothing_else(kit):
    kit.mailbox()
    answer = performed(kit, MAIL)
    (promise,) = [row for row in kit.rows(tables.promise) if row.kind == "SendMail"]
    assert (promise.lane, promise.payload) == ("mail", {"mail": answer.mail_id})


def test_the_thirty_first_mail_of_an_hour_is_not_kept(kit):
    kit.mailbox()
    for _ in range(30):
        assert isinstance(performed(kit, MAIL), MailQueued)
    assert performed(kit, MAIL) == MailsExhausted(60)
    assert len(kit.rows(tables.outgoing_mail)) == 30


# --- cases ------------------------------------------------------------------------------------------------------------


def test_a_case_has_a_short_number_and_is_opened_once(kit):
    kit.say("hi")
    first = performed(kit, OpenCase("asked"))
    assert first == CaseOpened(101)
    assert performed(kit, OpenCase("stuck")) == first
    assert the(kit, tables.case).reason == "asked"


def test_a_new_case_is_opened_after_the_old_one_was_closed(kit):
    kit.say("hi")
    first = performed(kit, OpenCase("asked"))
    run_sql(kit.url, 'update "case" set closed_at = now()')
    assert performed(kit, OpenCase("asked")).number > first.number


def test_two_people_have_two_cases(kit):
    kit.say("hi", ANA)
    kit.say("hi", BIA)
    numbers = {performed(kit, OpenCase("asked"), who).number for who in (ANA, BIA)}
    assert len(numbers) == 2
    assert {row.conversation_id for row in kit.rows(tables.case)} == {kit.held(ANA).id, kit.held(BIA).id}


def test_ids_in_records_are_ids_of_ours(kit):
    kit.join()
    assert UUID(secret(kit)) in {row.id for row in kit.rows(tables.secret)}
