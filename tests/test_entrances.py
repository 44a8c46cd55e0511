"""Several ways in for one member: another phone by a shown code, a new number by a mailed one; what guessers get."""

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from bot import entrances
from bot.hands import HANDS
from bot.mail.wire import send
from bot.store import bounds, promises, tables
from flows.speech import texts
from flows.words import (
    EntranceCode,
    Joined,
    JoinRefused,
    MakeLinkCode,
    ProofAsked,
    ProveAddress,
    TeamRefused,
    UseEntranceCode,
)
from tests.botkit import ADDRESS, ANA, Kit, run_sql, table_of_providers
from tests.test_team import BIA, CAIO, EVA, admin, last, other_agency, perform

EN, PT = texts("en"), texts("pt")
WRONG = UseEntranceCode("000000")


@pytest.fixture
def kit(database_url, tmp_path, monkeypatch):
    """Codes are 111111, 222222, ...: a wrong one is wrong for certain."""
    numbers = iter(range(1, 10))
    monkeypatch.setattr(entrances, "new_code", lambda: str(next(numbers)) * 6)
    with Kit(database_url, tmp_path, providers=table_of_providers(tmp_path)) as kit:
        yield kit


@pytest.fixture
def mailed(monkeypatch):
    """The mails with codes; their way over the wire is played in tests/stories/new_phone."""
    mails = []
    numbers = iter(range(1, 10))
    monkeypatch.setattr("bot.entrance_mail.new_code", lambda: str(next(numbers)) * 6)

    def handed(_account, _secret, message, recipients, **_):
        mails.append((recipients, message.get_content()))
        return send.Accepted("250 ok", ())

    monkeypatch.setattr("bot.entrance_mail.send.send", handed)
    return mails


def hello(kit, who):
    kit.say("hello", who)
    kit.work()


def test_a_code_that_lets_nobody_in_and_an_act_that_is_not_theirs_are_a_line_each_without_the_code(kit):
    hello(kit, EVA)
    with capture_logs() as lines:
        perform(kit, EVA, UseEntranceCode("424242"))
        perform(kit, EVA, MakeLinkCode())
    talk = str(kit.held(EVA).id)
    assert [(line["wish"], line["why"], line["conversation"]) for line in lines if line["event"] == "refused"] == [
        ("UseEntranceCode", "unknown", talk),
        ("MakeLinkCode", "gone", talk),
    ]
    assert "424242" not in str(lines)


# --- another phone ----------------------------------------------------------------------------------------------------


def test_a_shown_code_lets_another_phone_in_once_and_both_stay(kit):
    kit.mailbox(ANA)
    assert perform(kit, ANA, MakeLinkCode()) == EntranceCode("111111", 10)
    hello(kit, EVA)
    assert perform(kit, EVA, UseEntranceCode("111111")) == Joined("Agência Sol")
    assert kit.held(EVA).member_id == kit.held(ANA).member_id
    hello(kit, CAIO)
    assert perform(kit, CAIO, UseEntranceCode("111111")) == JoinRefused("unknown")
    assert [row.action for row in kit.rows(tables.audit)] == ["joined", "linked"]


def test_a_reception_s_phone_acts_for_two_members_one_at_a_time(kit):
    kit.mailbox(ANA)
    kit.join(BIA)
    kit.say("menu", BIA)
    kit.work()
    code = perform(kit, ANA, MakeLinkCode()).code
    kit.say(code, BIA)
    kit.work()
    assert ADDRESS in last(kit, BIA)
    assert EN["menu.with_mailbox_as"].rpartition("?")[0].rpartition(".")[2] in last(kit, BIA)
    kit.tap("roles", BIA)
    kit.work()
    others = [button for button in kit.last(BIA).message.buttons if button.id.count("-") == 4]
    assert len(others) == 1
    kit.say("(tap)", BIA, button=others[0].id)
    kit.work()
    assert ADDRESS not in last(kit, BIA)


def test_a_new_code_voids_the_one_before_and_ten_minutes_void_it_too(kit):
    kit.mailbox(ANA)
    perform(kit, ANA, MakeLinkCode())
    perform(kit, ANA, MakeLinkCode())
    hello(kit, EVA)
    assert perform(kit, EVA, UseEntranceCode("111111")) == JoinRefused("unknown")
    kit.clock.move(minutes=10)
    assert perform(kit, EVA, UseEntranceCode("222222")) == JoinRefused("unknown")
    with kit.engine.begin() as db:
        bounds.erase(db, tables.entrance_code, kit.clock.now() + timedelta(seconds=1), timedelta())
    assert kit.rows(tables.entrance_code) == []


def test_a_stranger_makes_no_code(kit):
    hello(kit, EVA)
    assert perform(kit, EVA, MakeLinkCode()) == TeamRefused("gone")


def test_five_wrong_codes_an_hour_and_then_not_even_the_right_one(kit):
    kit.mailbox(ANA)
    perform(kit, ANA, MakeLinkCode())
    hello(kit, EVA)
    answers = [perform(kit, EVA, WRONG) for _ in range(5)]
    assert answers == [JoinRefused("unknown")] * 5
    assert perform(kit, EVA, UseEntranceCode("111111")) == JoinRefused("too_many")


def test_many_guessers_share_one_limit(kit, monkeypatch):
    kit.mailbox(ANA)
    perform(kit, ANA, MakeLinkCode())
    guessers = [f"+55118888{number:05d}" for number in range(22)]
    answers = []
    for who in guessers:
        hello(kit, who)
        answers += [perform(kit, who, WRONG) for _ in range(5)]
    assert answers.count(JoinRefused("unknown")) == 100
    assert answers[100:] == [JoinRefused("too_many")] * 10


def test_the_code_stands_in_no_table_and_no_transcript(kit):
    kit.mailbox(ANA)
    kit.say("menu", ANA)
    kit.work()
    kit.tap("roles", ANA)
    kit.work()
    kit.tap("link", ANA)
    kit.work()
    assert "111111" in last(kit, ANA)
    assert "111111" not in kit.dump()


# --- a new number -----------------------------------------------------------------------------------------------------


def moving(kit, address=ADDRESS, who=EVA):
    hello(kit, who)
    kit.tap("invitation", who)
    kit.work()
    kit.tap("moved", who)
    kit.work()
    kit.say(address, who)
    kit.work()


def test_a_mailed_code_moves_the_member_and_closes_the_old_entrance(kit, mailed):
    kit.mailbox(ANA)
    member = kit.held(ANA).member_id
    moving(kit)
    ((recipients, text),) = mailed
    assert recipients == [ADDRESS]
    assert "111111" in text
    kit.say("it is 111 111", EVA)
    kit.work()
    assert kit.held(EVA).member_id == member
    assert kit.held(ANA).member_id is None
    assert EN["news.moved_away"] in last(kit, ANA)
    assert "111111" not in kit.dump()
    assert [row.action for row in kit.rows(tables.audit)][-1] == "moved"


def test_whether_an_address_is_registered_is_told_to_nobody(kit, mailed):
    kit.mailbox(ANA)
    moving(kit)
    moving(kit, "nobody@agency.test", CAIO)
    assert last(kit, EVA) == last(kit, CAIO) == PT["welcome.proof"]
    assert len(mailed) == 1


@pytest.mark.parametrize("state", ["off", "broken", "waiting"])
def test_only_a_mailbox_that_works_proves_anything(kit, mailed, state):
    kit.mailbox(ANA)
    run_sql(kit.url, f"update mailbox set state = '{state}'")
    moving(kit)
    assert mailed == []


def test_a_mailbox_that_stopped_working_meanwhile_gets_no_mail(kit, mailed):
    kit.mailbox(ANA)
    hello(kit, EVA)
    perform(kit, EVA, ProveAddress(ADDRESS))
    run_sql(kit.url, "update mailbox set state = 'off'")
    kit.work()
    assert mailed == []
    assert [row.state for row in kit.rows(tables.promise) if row.kind == promises.MAIL_CODE] == ["dropped"]


def test_an_address_in_two_agencies_proves_nothing(kit, mailed):
    kit.mailbox(ANA)
    admin(kit, CAIO, other_agency(kit))
    run_sql(
        kit.url,
        "insert into mailbox (id, member_id, address, user_name, host, port, security, state, version, since)"
        f" select gen_random_uuid(), '{kit.held(CAIO).member_id}', address, user_name, host, port, security, state, 1,"
        " since from mailbox",
    )
    moving(kit)
    assert mailed == []


def test_three_wrong_tries_void_a_mailed_code(kit, mailed):
    kit.mailbox(ANA)
    moving(kit)
    for _ in range(3):
        assert perform(kit, EVA, WRONG) == JoinRefused("unknown")
    assert perform(kit, EVA, UseEntranceCode("111111")) == JoinRefused("unknown")


def test_a_mailed_code_is_good_only_where_it_was_asked_for(kit, mailed):
    kit.mailbox(ANA)
    moving(kit)
    hello(kit, CAIO)
    assert perform(kit, CAIO, UseEntranceCode("111111")) == JoinRefused("unknown")


def test_three_mails_an_hour_and_no_more(kit, mailed):
    kit.mailbox(ANA)
    hello(kit, EVA)
    assert [perform(kit, EVA, ProveAddress(ADDRESS)).too_many for _ in range(4)] == [False, False, False, True]
    assert perform(kit, EVA, ProveAddress(ADDRESS)) == ProofAsked(too_many=True)


def test_a_mail_that_has_to_wait_is_tried_again_with_another_code(kit, monkeypatch):
    kit.mailbox(ANA)
    outcomes = [send.Later("rcpt_to", "greylisted", "wait", "451 later", ()) for _ in range(3)]
    monkeypatch.setattr("bot.entrance_mail.send.send", lambda *_, **__: outcomes.pop(0))
    moving(kit)
    for _ in range(3):
        kit.clock.move(minutes=2)
        kit.work()
    assert outcomes == []
    assert [row.state for row in kit.rows(tables.promise) if row.kind == promises.MAIL_CODE] == ["done"]
    assert promises.MAIL_CODE in HANDS


def test_a_secret_that_cannot_be_opened_sends_nothing(kit, mailed):
    kit.mailbox(ANA)
    run_sql(kit.url, "update secret set box = 'x'")
    moving(kit)
    assert mailed == []


# --- a number that was issued again -----------------------------------------------------------------------------------


def test_a_number_issued_again_freezes_the_member_and_the_admin_hears_of_it(kit, mailed):
    from bot.channels import Identity

    admin(kit)
    kit.mailbox(ANA)
    former = kit.held(ANA)
    run_sql(kit.url, f"update contact set external_id = 'BR.old' where id = '{former.contact_id}'")
    kit.say("oi", identity=Identity("terminal", ANA, "BR.new"))
    kit.work()
    new = kit.held(ANA)
    assert new.contact_id != former.contact_id
    assert new.member_id is None
    assert EN["news.number_reissued"].partition("*")[0] in last(kit, BIA)
    frozen = next(row for row in kit.rows(tables.contact) if row.id == former.contact_id)
    assert frozen.member_id is None
    kit.tap("invitation", ANA)  # it was the same person all along, with a new telephone
    kit.work()
    kit.tap("moved", ANA)
    kit.work()
    kit.say(ADDRESS, ANA)
    kit.work()
    kit.say("111111", ANA)
    kit.work()
    assert kit.held(ANA).member_id == former.member_id
