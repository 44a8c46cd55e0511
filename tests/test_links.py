"""One-time links: looked at freely, used once, bound to one account - with the real database behind them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from bot.records import LINK_TIME
from bot.store import mailboxes, tables
from bot.store.engine import reading
from bot.vault import Secret, Unopenable, token
from flows.mailbox import AwaitingLink, AwaitingSecret
from flows.mailbox import Testing as UnderTest
from flows.menu import Choosing
from flows.speech import texts
from flows.words import LANGUAGES
from tests.botkit import ADDRESS, ANA, BIA, PASSWORD, Kit, run_sql, table_of_providers

EN = texts("en")


def submit(kit, clear, secret=PASSWORD):
    return kit.parts.links.submit(clear, Secret(secret), "192.0.2.1")


def look(kit, clear):
    return kit.parts.links.look(clear)


def renewed(kit, who=ANA):
    """The person asks for another link; its token."""
    kit.say("link", who)
    kit.work()
    return kit.token(who)


# --- looking ----------------------------------------------------------------------------------------------------------


def test_looking_changes_nothing_however_often(kit):
    clear = kit.awaiting()
    before = kit.dump()
    views = [look(kit, clear) for _ in range(20)]
    assert {view.state for view in views} == {"open"}
    assert kit.dump() == before


def test_the_page_shows_whose_password_is_for_which_server(kit):
    view = look(kit, kit.awaiting())
    assert (view.address, view.user, view.host) == (ADDRESS, ADDRESS, "localhost")
    assert (view.provider_name, view.demand, view.shape, view.steps) == ("Testers", "password", "", ())
    assert view.expires_at == kit.clock.now() + LINK_TIME


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_speaks_the_persons_language(kit, language):
    clear = kit.awaiting()
    run_sql(kit.url, f"update contact set language = '{language}'")
    assert look(kit, clear).language == language


def test_the_page_of_gmail_leads_to_an_app_password(kit):
    kit.join()
    kit.say("ana@gmail.com")
    kit.work()
    view = look(kit, kit.token())
    assert (view.demand, view.shape, view.host) == ("app_password", "google16", "smtp.gmail.com")
    assert view.app_password_url.startswith("https://myaccount.google.com/")
    assert view.steps[0] == "page.steps.google.1"


def test_the_page_knows_the_provider_by_the_server_where_the_address_names_none(kit):
    kit.join()
    for words in ("ana@somewhere.test", "smtp.gmail.com", "465"):
        kit.say(words)
        kit.work()
    kit.tap("yes")
    kit.work()
    view = look(kit, kit.token())
    assert (view.address, view.host) == ("ana@somewhere.test", "smtp.gmail.com")
    assert (view.provider_name, view.demand, view.shape) == ("Gmail", "app_password", "google16")


@pytest.mark.parametrize("certified", [False, True])
def test_the_page_says_that_a_mail_is_sent_but_for_certified_mail(database_url, tmp_path, certified):
    with Kit(database_url, tmp_path, providers=table_of_providers(tmp_path, certified=certified)) as kit:
        assert look(kit, kit.awaiting()).sends_mail is not certified


@pytest.mark.parametrize("clear", ["", "x", "a" * 100, "../../etc", "%00", "ç"])
def test_an_unknown_token_shows_nothing_and_takes_nothing(kit, clear):
    kit.awaiting()
    assert look(kit, clear) is None
    assert submit(kit, clear) == "closed"
    assert kit.rows(tables.secret) == []


def test_the_hash_itself_is_no_token(kit):
    kit.awaiting()
    assert look(kit, kit.rows(tables.link_token)[0].hash) is None


# --- using ------------------------------------------------------------------------------------------------------------


def test_a_submission_seals_the_secret_and_the_talk_goes_on(kit):
    clear = kit.awaiting()
    assert submit(kit, clear) == "taken"
    state = kit.envelope().state
    assert isinstance(state, UnderTest)
    (sealed,) = kit.rows(tables.secret)
    assert str(sealed.id) == state.secret_id
    assert sealed.expires_at == kit.clock.now() + timedelta(hours=24)
    assert PASSWORD not in kit.dump()
    assert [row.kind for row in kit.rows(tables.promise)][-2:] == ["Speak", "TestLogin"]


def test_of_two_submissions_at_once_one_is_taken(kit):
    clear = kit.awaiting()
    start = threading.Barrier(8)

    def press(number):
        start.wait()
        return submit(kit, clear, f"secret {number}")

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(press, range(8))) == ["closed"] * 7 + ["taken"]
    assert len(kit.rows(tables.secret)) == 1
    assert sum(row.kind == "TestLogin" for row in kit.rows(tables.promise)) == 1


def test_a_used_link_is_closed_for_good(kit):
    clear = kit.awaiting()
    submit(kit, clear)
    assert look(kit, clear).state == "closed"
    assert submit(kit, clear) == "closed"
    assert len(kit.rows(tables.secret)) == 1


def test_a_link_ends_after_half_an_hour(kit):
    clear = kit.awaiting()
    kit.clock.time += LINK_TIME - timedelta(seconds=1)
    assert look(kit, clear).state == "open"
    kit.clock.move(seconds=1)
    assert look(kit, clear).state == "closed"
    assert submit(kit, clear) == "closed"
    assert kit.rows(tables.secret) == []
    assert isinstance(kit.envelope().state, AwaitingSecret)


def test_a_question_asked_again_gives_its_link_the_full_time_again(kit):
    first = kit.awaiting()
    kit.clock.move(minutes=29)
    kit.say("again")
    kit.work()
    again = kit.token()
    assert again != first
    kit.clock.move(minutes=29)
    assert look(kit, first).state == look(kit, again).state == "open"
    assert submit(kit, again) == "taken"
    assert look(kit, first).state == "closed"


def test_a_new_link_voids_the_old_one(kit):
    old = kit.awaiting()
    new = renewed(kit)
    assert look(kit, old).state == "closed"
    assert submit(kit, old) == "closed"
    assert submit(kit, new) == "taken"


@pytest.mark.parametrize("words", ["cancel", "menu", "back"])
def test_the_link_of_a_talk_that_went_elsewhere_is_closed_before_anybody_types_a_secret(kit, words):
    clear = kit.awaiting()
    kit.say(words)
    assert look(kit, clear).state == "closed"
    assert submit(kit, clear) == "closed"
    assert kit.rows(tables.secret) == []


def test_a_link_whose_secret_was_typed_in_the_chat_is_closed(kit):
    clear = kit.awaiting()
    kit.say(PASSWORD)
    kit.work()
    assert look(kit, clear).state == "open"  # it is asked whether that was it
    kit.tap("yes")
    assert look(kit, clear).state == "closed"


@pytest.mark.parametrize("words", ["help", "what is this?", "english"])
def test_a_digression_leaves_the_link_open(kit, words):
    clear = kit.awaiting()
    kit.say(words)
    assert look(kit, clear).state == "open"
    assert submit(kit, clear) == "taken"


def test_a_talk_that_waits_for_no_secret_takes_none_although_its_link_is_open(kit):
    """It cannot be read any more: what came is not kept, and the link stays as it was."""
    clear = kit.awaiting()
    run_sql(kit.url, "update conversation set envelope = jsonb_set(envelope, '{version}', '99')")
    before = kit.dump()
    assert submit(kit, clear) == "closed"
    assert kit.dump() == before


def test_a_link_of_an_erased_contact_leads_nowhere(kit):
    clear = kit.awaiting()
    run_sql(kit.url, "delete from contact")
    assert look(kit, clear) is None
    assert submit(kit, clear) == "closed"


def test_a_submission_whose_turn_raises_is_neither_taken_nor_used_up(kit, monkeypatch):
    clear = kit.awaiting()

    def fail(*_, **__):
        raise RuntimeError("no room")

    with monkeypatch.context() as patched:
        patched.setattr("bot.turns.conversations.save", fail)
        with pytest.raises(RuntimeError):
            submit(kit, clear)
    assert kit.rows(tables.secret) == []
    assert look(kit, clear).state == "open"
    assert submit(kit, clear) == "taken"


def test_the_link_of_one_person_moves_nobody_elses_talk(kit):
    anas = kit.awaiting(ANA)
    kit.awaiting(BIA)
    assert submit(kit, anas) == "taken"
    assert isinstance(kit.envelope(ANA).state, UnderTest)
    assert isinstance(kit.envelope(BIA).state, AwaitingSecret)
    assert look(kit, kit.token(BIA)).state == "open"


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_a_link_has_at_most_ten_addresses_at_a_time(kit):
    first = kit.awaiting()
    for _ in range(mailboxes.MAX_TOKENS_PER_LINK + 3):
        kit.say("again")
        kit.work()
        assert len(kit.rows(tables.link_token)) <= mailboxes.MAX_TOKENS_PER_LINK
    assert look(kit, first) is None
    assert look(kit, kit.token()).state == "open"


def test_a_closed_link_gets_no_other_address(kit):
    clear = kit.awaiting()
    submit(kit, clear)
    (row,) = kit.rows(tables.link)
    with kit.engine.begin() as db:
        dead = kit.parts.links.arm(db, row.id)
    assert look(kit, dead) is None
    assert len(kit.rows(tables.link_token)) == 1


def test_ten_links_an_hour_and_then_a_word_about_it(kit):
    kit.awaiting()
    for _ in range(9):
        renewed(kit)
    kit.say("link")
    kit.work()
    assert EN["mailbox.too_many_links"] in kit.bodies()[-1]
    assert isinstance(kit.envelope().state, Choosing)
    assert len(kit.rows(tables.link)) == 10


def test_somebody_who_left_the_agency_gets_no_link(kit):
    kit.awaiting()
    run_sql(kit.url, "update member set removed_at = now()")
    kit.say("link")
    kit.work()
    assert not isinstance(kit.envelope().state, AwaitingSecret | AwaitingLink)
    assert len(kit.rows(tables.link)) == 1


# --- what a secret is bound to ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "other"),
    [("host", '"evil.test"'), ("port", "466")],
)
def test_a_secret_given_for_one_server_does_not_open_for_another(kit, part, other):
    """Somebody who can write the database points the open link at a server of their own."""
    clear = kit.awaiting()
    submit(kit, clear)
    (sealed,) = kit.rows(tables.secret)
    run_sql(kit.url, f"update secret set bound_to = jsonb_set(bound_to, '{{{part}}}', '{other}')")
    use = dict(kit.rows(tables.secret)[0].bound_to)
    assert use != dict(sealed.bound_to)
    with reading(kit.engine) as db, pytest.raises(Unopenable):
        kit.parts.safe.take(db, sealed.id, kind="mailbox.password", use=use)
    with reading(kit.engine) as db:
        opened = kit.parts.safe.take(db, sealed.id, kind="mailbox.password", use=dict(sealed.bound_to))
    assert opened.reveal() == PASSWORD


def test_a_box_moved_into_another_row_does_not_open(kit):
    submit(kit, kit.awaiting(ANA), "anas secret")
    submit(kit, kit.awaiting(BIA), "bias secret")
    first, second = kit.rows(tables.secret)
    run_sql(kit.url, f"update secret set box = (select box from secret where id = '{second.id}'),"
            f" nonce = (select nonce from secret where id = '{second.id}') where id = '{first.id}'")  # fmt: skip
    with reading(kit.engine) as db, pytest.raises(Unopenable):
        kit.parts.safe.take(db, first.id, kind="mailbox.password", use=dict(first.bound_to))


def test_tokens_are_long_and_never_the_same(kit):
    made = {token()[0] for _ in range(200)}
    assert len(made) == 200
    assert min(map(len, made)) >= 22  # 128 bits in base64
