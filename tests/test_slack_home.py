"""The home: what each sees, in their language, current within a second, and never more often than Slack likes."""

import threading
from uuid import uuid4

import pytest
from sqlalchemy import insert, update

from bot import people
from bot.channels.slack.home import home_view
from bot.cli import agencies
from bot.facts import FactReader
from bot.playground.slack_checks import view_problems
from bot.store import mailboxes, slack, tables
from bot.store import people as people_store
from bot.team import end_membership
from flows import board
from flows.speech import texts
from flows.words import LANGUAGES
from tests.botkit import ANA as PHONE
from tests.botkit import eventually, statements, table_of_providers
from tests.slackkit import ANA, ANOTHER_TEAM, BIA, BRUNO, TEAM, SlackKit


@pytest.fixture
def kit(database_url, tmp_path):
    with SlackKit(database_url, tmp_path, providers=table_of_providers(tmp_path)) as made:
        made.claim()
        yield made


def member(kit, name, state="", role="member", cause="", who=""):
    """A member without any way in, and a mailbox in this state."""
    now, new = kit.clock.now(), uuid4()
    with kit.engine.begin() as db:
        row = {"id": new, "agency_id": kit.agency, "name": name, "role": role, "created_at": now}
        db.execute(insert(tables.member).values(row))
        if state:
            box(db, new, name, state, now, cause, who)
    return new


def box(db, member_id, name, state, now, cause="", who=""):
    address = f"{name.replace(' ', '.').lower()}@agency.test"
    server = {"host": "mail.agency.test", "port": 465, "security": "tls", "secret_id": None}
    mailboxes.save(
        db, member_id, {"address": address, "user_name": address, **server, "state": state, "since": now,
                        "cause": cause, "who": who}
    )  # fmt: skip


def publishes(kit, user=None):
    seen = [one.arguments for one in kit.slack.requests if one.method == "views.publish"]
    return [one for one in seen if user in (None, one["user_id"])]


def looked(kit):
    """What a worker does at each of its looks."""
    kit.parts.slack.screens.renew_homes()
    return kit.work()


def shown(kit, user=BIA):
    return kit.slack.shown(kit.slack.home(TEAM, user)).replace("*", "")


def speak(kit, user, language):
    with kit.engine.begin() as db:
        db.execute(update(tables.contact).where(tables.contact.c.address == f"{TEAM}.{user}").values(language=language))


# --- what each sees -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", ("can send", "I connect")), ("pt", ("já enviam", "Eu conecto")),
     ("es", ("ya envían", "Conecto"))],
)  # fmt: skip
def test_admin_member_and_stranger_each_see_their_own_in_their_language(kit, language, words):
    kit.written(ANA, kit.invite(name="Ana", language=language))
    with kit.engine.begin() as db:
        box(db, kit.held(f"{TEAM}.{BIA}").member_id, "Bia", "works", kit.clock.now())
        people_store.set_server(db, kit.agency, "mail.agency.test", 465, "tls")
    kit.home(BRUNO)
    for user in (BIA, ANA, BRUNO):
        speak(kit, user, language)
    admin, own, stranger = kit.home(BIA), kit.home(ANA), kit.home(BRUNO)
    assert words[0] in admin
    assert "mail.agency.test" in admin
    assert texts(language)["home.button.invite"] in admin
    assert texts(language)["home.button.remind_all"] in admin
    assert "bia@agency.test" in admin
    assert "Agência Sol" in own
    assert "Bia" not in own
    assert words[1] in stranger
    assert "Agência" not in stranger
    for seen in (admin, own, stranger):
        assert "{" not in seen


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_state_and_every_cause_is_a_home_that_slack_takes(kit, language):
    causes = [name.removeprefix("home.cause.") for name in speech_names("home.cause.")]
    for number, cause in enumerate(causes):
        state = ("broken", "waiting")[number % 2]
        member(
            kit,
            f"Person {number}",
            state,
            cause=cause,
            who=("user", "agency_admin", "provider", "wait", "us", "")[number % 6],
        )
    for state in ("off", "works", ""):
        member(kit, f"Other {state}", state)
    kit.home(BIA)
    speak(kit, BIA, language)
    text = kit.home(BIA)
    assert "Person 0" in text
    assert not publishes(kit)[-1]["view"].get("nothing")
    assert view_problems(publishes(kit)[-1]["view"]) == []


def speech_names(start):
    return sorted(name for name in texts("en") if name.startswith(start))


def test_five_hundred_members_are_all_reached_page_by_page(kit):
    with kit.engine.begin() as db:
        rows = [
            {"id": uuid4(), "agency_id": kit.agency, "name": f"Member {number:03d} {'Ω' * 100}", "role": "member",
             "created_at": kit.clock.now()}
            for number in range(499)
        ]  # fmt: skip
        db.execute(insert(tables.member), rows)
    text, seen, pages = kit.home(BIA), set(), 0
    while True:
        pages += 1
        view = publishes(kit)[-1]["view"]
        assert len(view["blocks"]) <= 100
        seen |= {line[2:12] for line in text.split("\n") if "Member " in line}
        labels = [label for _, _, label in kit.slack.home(TEAM, BIA)["buttons"]]
        if "More people" not in labels:
            break
        assert kit.slack.tap(TEAM, BIA, "More people", where="home").status_code == 200
        kit.work()
        text = shown(kit)
    assert len(seen) == 499
    assert pages == 17
    kit.slack.tap(TEAM, BIA, "Previous people", where="home")
    kit.work()
    assert shown(kit) != text
    assert not kit.rows(tables.dead_letter)


def test_a_page_that_is_gone_because_members_left_is_the_last_there_is(kit):
    members = [member(kit, f"Member {number:03d}") for number in range(40)]
    kit.home(BIA)
    kit.slack.tap(TEAM, BIA, "More people", where="home")
    kit.work()
    with kit.engine.begin() as db:
        for one in members[:30]:
            people_store.exclude(db, one, kit.clock.now())
    looked(kit)
    assert "Member 039" in shown(kit)
    assert "Previous people" not in shown(kit)


def test_names_and_agencies_of_any_length_are_a_home_that_slack_takes(kit):
    for name in ("x" * 120, "\U0001f600" * 120, "&" * 120, "<>&" * 40, "*_~`" * 30, "\u202e" * 120):
        member(kit, name, "broken", cause="wrong_credentials", who="user")
    with kit.engine.begin() as db:
        db.execute(update(tables.agency).values(name="&" * 120))
    assert kit.home(BIA)
    assert view_problems(publishes(kit)[-1]["view"]) == []
    assert not kit.promised("show_home", "failed")


# --- current within a second ----------------------------------------------------------------------------------------


def changes(kit):
    """Whatever changes what a home shows, by every hand there is."""
    mine = kit.held(f"{TEAM}.{BIA}").member_id
    now = kit.clock.now()

    def in_db(what):
        def do():
            with kit.engine.begin() as db:
                what(db)

        return do

    box_of = lambda db: mailboxes.of_member(db, mine)  # noqa: E731
    yield "a mailbox is saved", in_db(lambda db: box(db, mine, "Bia", "works", now)), "bia@agency.test"
    yield (
        "it breaks",
        in_db(lambda db: mailboxes.set_state(db, box_of(db).id, "broken", "imap_disabled", "user", now)),
        "does not work",
    )
    yield "it is removed", in_db(lambda db: mailboxes.remove(db, mine)), "There is no mail server yet"
    yield (
        "an operator sets the server",
        lambda: agencies.set_server(kit.parts, "Agência Sol", "localhost:465", None),
        "localhost",
    )
    yield "an operator adds a rule", lambda: agencies.set_rule(kit.parts, "Agência Sol", "strict"), ""
    yield "somebody joins on WhatsApp", lambda: kit.join(PHONE, name="Carla"), "Carla"
    yield "somebody is invited", kit.invite, ""
    yield (
        "somebody becomes an admin",
        in_db(lambda db: people_store.set_role(db, kit.held(PHONE).member_id, "admin")),
        "",
    )
    yield (
        "somebody is removed",
        in_db(lambda db: end_membership(db, kit.held(PHONE).member_id, now, "x")),
        "Your own e-mail is not connected yet",
    )
    yield "a setting of the language", lambda: speak(kit, BIA, "pt"), "Servidor de e-mail"
    yield "the agency is closed", lambda: agencies.close_agency(kit.parts, "Agência Sol", really=True), "Ainda não sei"


def test_every_change_by_whatever_hand_is_shown_at_the_next_look(kit):
    kit.home(BIA)
    for what, change, words in changes(kit):
        before = len(publishes(kit, BIA))
        change()
        looked(kit)
        assert len(publishes(kit, BIA)) > before, what
        assert words in shown(kit), what


def test_a_running_worker_shows_a_change_without_being_told(kit):
    kit.home(BIA)
    before = len(publishes(kit))
    worker = kit.new_worker()
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        member(kit, "Nina", "works")
        kit.slack.wait_for(lambda: "Nina" in shown(kit))
        assert len(publishes(kit)) == before + 1
    finally:
        worker.stop()
        thread.join()


def test_who_joins_sees_the_agency_on_the_home_that_was_open(kit):
    assert "Agência" not in kit.home(ANA)
    kit.written(ANA, kit.invite(name="Ana"))
    looked(kit)
    assert "Agência Sol" in shown(kit, ANA)


def test_who_is_removed_sees_the_agency_no_more(kit):
    kit.written(ANA, kit.invite(name="Ana"))
    kit.home(ANA)
    with kit.engine.begin() as db:
        end_membership(db, kit.held(f"{TEAM}.{ANA}").member_id, kit.clock.now(), "x")
    looked(kit)
    assert "Agência" not in shown(kit, ANA)


def test_a_home_that_was_opened_more_than_an_hour_ago_is_left_alone_until_it_is_opened_again(kit):
    kit.home(BIA)
    kit.clock.move(minutes=59)
    member(kit, "Early")
    looked(kit)
    assert "Early" in shown(kit)
    kit.clock.move(minutes=2)
    before = len(publishes(kit))
    member(kit, "Late")
    assert looked(kit) == 0
    assert len(publishes(kit)) == before
    assert "Late" in kit.home(BIA)


def test_another_agencys_change_shows_no_home_again(kit):
    kit.home(BIA)
    before = len(publishes(kit))
    with kit.engine.begin() as db:
        other = people_store.add_agency(db, "Lua", "en", "UTC", kit.clock.now())
        people.invite(db, other, role="member", name="", language="en", uses=1, now=kit.clock.now())
        people_store.set_server(db, other, "mail.lua.test", 465, "tls")
    looked(kit)
    assert len(publishes(kit)) == before


def test_what_no_home_shows_makes_none_be_shown_again(kit):
    kit.home(BIA)
    before = len(publishes(kit))
    for words in ("menu", "help", "what does this bot store?"):
        kit.written(BIA, words)
        looked(kit)
    assert len(publishes(kit)) == before


def test_many_changes_at_once_are_one_look(kit):
    kit.home(BIA)
    before = len(publishes(kit))
    for number in range(60):
        member(kit, f"Member {number}", "works")
    for _ in range(3):
        kit.parts.slack.screens.renew_homes()
    assert len(kit.promised("show_home")) == 1
    kit.work()
    assert len(publishes(kit)) == before + 1
    assert looked(kit) == 0


def test_two_workers_that_look_at_once_promise_one_home_once(kit):
    kit.home(BIA)
    member(kit, "Nina")
    begin = threading.Barrier(4)

    def look():
        begin.wait()
        kit.parts.slack.screens.renew_homes()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert 1 <= len(kit.promised("show_home")) <= 2
    kit.work()
    assert "Nina" in shown(kit)


def test_a_look_at_homes_that_are_true_is_one_statement(kit):
    kit.home(BIA)
    looked(kit)
    with statements(kit.engine) as seen:
        kit.parts.slack.screens.renew_homes()
    assert len([one for one in seen if not one.lower().startswith(("begin", "commit", "rollback"))]) == 1


def test_a_change_while_a_home_is_being_shown_is_shown_right_after_it(kit):
    kit.home(BIA)
    member(kit, "First")
    kit.parts.slack.screens.renew_homes()
    (promise,) = kit_claim(kit)
    kit.slack.fail("views.publish", "slow")
    thread = threading.Thread(target=kit.worker._keep, args=(promise,))
    thread.start()
    kit.slack.wait_for(lambda: kit.slack.held == 1)
    member(kit, "Second")
    kit.parts.slack.screens.renew_homes()
    assert not kit.promised("show_home")  # never two at once: the older one might stay
    kit.slack.release()
    thread.join()
    assert len(kit.promised("show_home")) == 1
    kit.work()
    assert "Second" in shown(kit)


def kit_claim(kit):
    return [one for one in super(SlackKit, kit).claim("work") if one.kind == "show_home"]


def test_a_transaction_that_is_still_open_while_a_home_is_shown_is_not_forgotten(kit):
    """It made the home stale once more; whoever shows the home waits for its end, or shows it again."""
    kit.home(BIA)
    member(kit, "First")
    kit.parts.slack.screens.renew_homes()
    (promise,) = kit_claim(kit)
    with kit.engine.begin() as db:
        row = {"id": uuid4(), "agency_id": kit.agency, "name": "Second", "role": "member"}
        db.execute(insert(tables.member).values({**row, "created_at": kit.clock.now()}))
        thread = threading.Thread(target=kit.worker._keep, args=(promise,))
        thread.start()
        with kit.engine.connect() as other:
            eventually(lambda: _waits(other), "the wait for the transaction")
    thread.join()
    looked(kit)
    assert "Second" in shown(kit)


def _waits(db):
    from sqlalchemy import text

    db.rollback()
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    return db.execute(text(waiting)).scalar_one() > 0


# --- a Slack that is ill ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["ratelimited", "500", "drop_before", "drop_after"])
def test_a_home_that_slack_does_not_take_now_is_shown_later(kit, fault):
    kit.home(BIA)
    member(kit, "Nina")
    kit.slack.fail("views.publish", fault, times=2, retry_after=30)
    looked(kit)
    tried = len(publishes(kit))
    if fault == "ratelimited":
        kit.clock.move(seconds=29)
        member(kit, "Olga")
        looked(kit)
        assert len(publishes(kit)) == tried  # not even for a new change
    for _ in range(3):
        kit.clock.move(seconds=40)
        looked(kit)
    assert "Nina" in shown(kit)
    assert not kit.promised("show_home")


def test_a_home_that_slack_never_takes_is_given_up_quietly(kit):
    kit.home(BIA)
    before = len(kit.slack.dm(TEAM, BIA))
    member(kit, "Nina")
    kit.slack.fail("views.publish", "invalid_arguments")
    looked(kit)
    kit.slack.fail("views.publish", "ratelimited", times=50)
    member(kit, "Olga")
    for _ in range(12):
        looked(kit)
        kit.clock.move(minutes=4)
    assert not kit.promised("show_home")
    kit.slack._world.faults.clear()
    assert "Olga" in kit.home(BIA)
    assert [one.shown for one in kit.slack.dm(TEAM, BIA)[before:]] == []


def test_the_hash_of_an_old_view_is_no_matter(kit):
    kit.home(BIA)
    assert all("hash" not in one for one in publishes(kit))
    kit.slack.open_home(TEAM, BIA)
    kit.slack.open_home(TEAM, BIA)
    kit.work()
    assert "Connect our e-mail" in shown(kit)


def test_a_tap_on_an_old_home_does_what_it_said_or_says_that_it_is_gone(kit):
    gone = member(kit, "Nina", "works")
    kit.home(BIA)
    with kit.engine.begin() as db:
        people_store.exclude(db, gone, kit.clock.now())
    kit.slack.choose(TEAM, BIA, "home.menu", "Pause", where="home")
    kit.work()
    assert not kit.rows(tables.dead_letter)
    assert kit.read(BIA)


def test_only_known_workspaces_have_homes(kit):
    kit.slack.workspace(ANOTHER_TEAM, "Lua")
    kit.slack.user(ANOTHER_TEAM, "U0LUIS", "luis")
    kit.slack.open_home(ANOTHER_TEAM, "U0LUIS")
    kit.work()
    assert kit.slack.home(ANOTHER_TEAM, "U0LUIS") is None


def test_a_home_is_made_of_no_more_than_its_facts(kit):
    """The same facts are the same home: nothing in it depends on when it is shown."""
    held = kit.held(f"{TEAM}.{BIA}")
    with kit.engine.begin() as db:
        reader: FactReader = kit.parts.facts
        facts = [reader.at_a_glance(db, held, kit.clock.now()) for _ in range(2)]
    assert home_view(board.home(facts[0]), "en") == home_view(board.home(facts[1]), "en")
    with kit.engine.begin() as db:
        assert slack.begin_home(db, uuid4()) == 0
