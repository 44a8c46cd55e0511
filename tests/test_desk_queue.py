"""The queue of the desk: in the home of staff, in /metrics, on the command line; and what a person gets without one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bot.channels.whatsapp import WhatsAppStyle
from bot.desk import queue
from bot.desk.hours import read_hours
from bot.home import MAX_TRIES
from bot.screens import OPEN_FOR
from bot.staff import CACHED
from bot.store import bounds, cases, conversations, people, tables
from bot.store.engine import reading
from flows import handoff, mailbox
from flows.conversation import FLOWS
from flows.facts import Mailbox
from flows.mailbox import Stuck
from flows.speech import render, sentence, texts
from flows.words import LANGUAGES, Account, Server, Speak
from tests.botkit import Kit, table_of_providers
from tests.flowkit import facts
from tests.slackkit import BIA, CARLA, TEAM, SlackKit

DESK = "G0DESK"
SAM, RITA = "U0SAM", "U0RITA"
NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)  # a Monday, noon in São Paulo
ZONE = ZoneInfo("America/Sao_Paulo")


# --- who waits for whom, and in which order ---------------------------------------------------------------------------


def words(name, **values):
    return sentence(name, "en", **{key: str(value) for key, value in values.items()})


def waiting(number=101, state="new", owner="", minutes=10, **values):
    since = NOW - timedelta(minutes=minutes) if minutes is not None else None
    usual = {"name": "Ana", "agency": "Sol", "language": "pt", "staff_at": None, "snoozed_until": None}
    usual |= {"opened_at": NOW, "waits_since": since}
    return queue.Waiting(number=number, state=state, owner=owner, **usual | values)


def shown(*found):
    times = queue.Times(None, None)
    return list(queue.paragraphs(found, times, SAM, words, ZONE, lambda url, label: f"<{url}|{label}>"))


@pytest.mark.parametrize(
    ("state", "waits", "whose"),
    [
        ("new", True, "new"),
        ("owned", True, "ours"),
        ("owned", False, "theirs"),
        ("parked", False, "theirs"),
        ("snoozed", True, "snoozed"),
        ("snoozed", False, "snoozed"),
    ],
)
def test_every_open_case_waits_for_exactly_one(state, waits, whose):
    assert queue.group(state, NOW if waits else None) == whose


def test_the_queue_counts_first_and_then_lists_group_by_group_with_my_own_at_the_end():
    told = shown(
        waiting(101),
        waiting(102, "owned", RITA),
        waiting(103, "owned", SAM, minutes=None, staff_at=NOW),
        waiting(104, "snoozed", snoozed_until=NOW + timedelta(hours=2)),
    )
    assert told[0].startswith(
        "New: *1* · Waiting for us: *1* · Waiting for them: *1* · Put off: *1* · Yours: *1*\nMedian"
    )
    assert told[1:] == [
        "*New, nobody has it*\n*101* Ana · Sol · pt · waiting since 02.03. 11:50",
        "*Waiting for us*\n*102* Ana · Sol · pt · waiting since 02.03. 11:50 · <@U0RITA>",
        "*Waiting for them*\n*103* Ana · Sol · pt · answered 02.03. 12:00 · you",
        "*Put off*\n*104* Ana · Sol · pt · put off until 02.03. 14:00",
        "*Yours*\n*103* Ana · Sol · pt · answered 02.03. 12:00 · you",
    ]


def test_a_long_queue_says_how_many_more_there_are_and_fits_on_a_home():
    told = shown(*(waiting(number) for number in range(101, 101 + 300)))
    assert "New: *300*" in told[0]
    assert told[1].count("Ana") == queue.LISTED
    assert "… and 280 more" in told[1]


def test_a_case_whose_thread_is_there_has_a_link_to_it():
    assert shown(waiting(thread="https://sol.slack.com/archives/G0/p1"))[1].endswith(
        "<https://sol.slack.com/archives/G0/p1|Open the thread>"
    )


@pytest.mark.parametrize(
    ("time", "read"),
    [
        (None, "-"),
        (timedelta(), "0 min"),
        (timedelta(minutes=12, seconds=20), "12 min"),
        (timedelta(minutes=59, seconds=40), "1 h 0 min"),
        (timedelta(hours=3, minutes=5), "3 h 5 min"),
        (timedelta(days=2, hours=4, minutes=50), "2 d 4 h"),
    ],
)
def test_a_time_is_read_in_all_three_languages(time, read):
    assert queue.span(time) == read


@pytest.mark.parametrize(
    ("begin", "end", "minutes"),
    [
        (NOW, NOW + timedelta(minutes=20), 20),
        (NOW, NOW, 0),
        (NOW + timedelta(minutes=20), NOW, 0),
        (NOW, NOW + timedelta(hours=24), 6 * 60 + 3 * 60),  # until six, and from nine on
        (NOW + timedelta(hours=8), NOW + timedelta(hours=22), 60),  # asked at night
        (NOW + timedelta(days=4, hours=8), NOW + timedelta(days=6), 0),  # a weekend
    ],
)
def test_working_time_is_counted_and_no_other(begin, end, minutes):
    hours = read_hours("Mon-Fri 09:00-18:00", "America/Sao_Paulo")
    assert hours.between(begin, end) == timedelta(minutes=minutes)


def test_without_hours_all_time_is_working_time():
    assert read_hours("", "UTC").between(NOW, NOW + timedelta(days=9)) == timedelta(days=9)


# --- at the desk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def kit(database_url, tmp_path):
    settings = {"SUPPORT_TEAM": TEAM, "SUPPORT_CHANNEL": DESK, "SUPPORT_CONTACT": "", "METRICS_TOKEN": "girafa"}
    with SlackKit(database_url, tmp_path, providers=table_of_providers(tmp_path), **settings) as made:
        made.slack.user(TEAM, SAM, "sam", real_name="Sam")
        made.slack.user(TEAM, RITA, "rita", real_name="Rita")
        made.slack.channel(TEAM, DESK, "desk", [made.workspace.bot_user, SAM, RITA], private=True)
        yield made


def settled(kit):
    """All is done that is due within the next seconds."""
    for _ in range(8):
        kit.work()
        kit.clock.move(seconds=1)
    kit.work()


def asks_for_a_person(kit):
    kit.join()
    kit.say("person")
    settled(kit)


def writes(kit, text, who=SAM):
    root = kit.slack.channel_messages(TEAM, DESK)[0].ts
    assert kit.slack.say(TEAM, who, text, channel=DESK, thread_ts=root).ok
    settled(kit)


def taps(kit, label, who=SAM):
    assert kit.slack.tap(TEAM, who, label, where=DESK).ok
    settled(kit)


def on_screen(kit, user=SAM):
    """What the home shows that is open, without opening it again."""
    kit.parts.slack.screens.renew_homes()
    kit.work()
    return kit.slack.shown(kit.slack.home(TEAM, user)).replace("*", "")


def test_who_sits_at_the_desk_sees_the_queue_above_their_own_part(kit):
    asks_for_a_person(kit)
    home = kit.home(SAM)
    assert home.startswith("Support: who waits\nNew: 1 · Waiting for us: 0")
    assert "101 Ana · Agência Sol · en · waiting since" in home
    assert home.index("101 Ana") < home.index("The mail assistant of Ally")


def test_an_admin_at_the_desk_sees_the_queue_above_their_agency(kit):
    kit.claim()
    kit.slack.join(TEAM, DESK, BIA)
    home = kit.home(BIA)
    assert home.index("Support: who waits") < home.index("Agência Sol: e-mail in Ally")


def test_nobody_else_of_the_workspace_sees_anything_of_it(kit):
    asks_for_a_person(kit)
    assert "Support" not in kit.home(CARLA)
    assert "101" not in kit.home(CARLA)


def test_who_left_the_channel_sees_it_no_more(kit):
    asks_for_a_person(kit)
    assert "Support" in kit.home(SAM)
    kit.slack.leave(TEAM, DESK, SAM)
    kit.clock.move(seconds=CACHED.total_seconds())
    assert "Support" not in kit.home(SAM)
    writes(kit, "!Hello", who=RITA)
    assert "Support" not in on_screen(kit)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_queue_speaks_the_language_of_who_looks_at_it(kit, language):
    asks_for_a_person(kit)
    kit.home(SAM)
    with kit.engine.begin() as db:
        db.exec_driver_sql("update contact set language = %s where address = %s", (language, f"{TEAM}.{SAM}"))
    assert sentence("desk.queue.title", language) in on_screen(kit)


def test_an_open_home_follows_every_step_of_a_case(kit):
    kit.home(SAM)
    assert "New: 0" in on_screen(kit)
    asks_for_a_person(kit)
    assert "New: 1 " in on_screen(kit)
    taps(kit, "Take over")
    assert "New: 0 · Waiting for us: 1 · Waiting for them: 0 · Put off: 0 · Yours: 1" in on_screen(kit)
    assert "New: 0 · Waiting for us: 1" in kit.home(RITA)
    writes(kit, "!Hello")
    assert "Waiting for us: 0 · Waiting for them: 1" in on_screen(kit)
    assert "Yours: 0" in on_screen(kit, RITA)
    kit.say("I still need you")
    settled(kit)
    assert "Waiting for us: 1 · Waiting for them: 0" in on_screen(kit)
    taps(kit, "Put off 2 hours")
    assert "Put off: 1" in on_screen(kit)
    taps(kit, "Hand back to the bot")
    assert "New: 0 · Waiting for us: 0 · Waiting for them: 0 · Put off: 0" in on_screen(kit, RITA)


def test_a_change_of_a_case_promises_the_homes_of_staff_anew_and_of_nobody_else(kit):
    kit.claim()
    asks_for_a_person(kit)
    for user in (SAM, BIA):
        kit.home(user)
    published = len(views(kit))
    taps(kit, "Take over")
    kit.parts.slack.screens.renew_homes()
    kit.work()
    assert {seen.arguments["user_id"] for seen in views(kit)[published:]} == {SAM}


def test_what_only_the_thread_shows_makes_no_home_stale(kit):
    asks_for_a_person(kit)
    kit.home(SAM)
    with kit.engine.begin() as db:
        cases.save(db, 101, root="another", shown_to=3)
    assert kit.parts.slack.screens.renew_homes() == 0


def test_a_home_that_was_not_opened_for_an_hour_is_left_alone(kit):
    asks_for_a_person(kit)
    kit.home(SAM)
    kit.clock.move(seconds=OPEN_FOR.total_seconds() + 1)
    taps(kit, "Take over")
    assert kit.parts.slack.screens.renew_homes() == 0


def test_a_person_who_changes_their_language_is_shown_with_it(kit):
    asks_for_a_person(kit)
    kit.home(SAM)
    with kit.engine.begin() as db:
        db.exec_driver_sql("update contact set language = 'es' where channel <> 'slack'")
    assert "Agência Sol · es" in on_screen(kit)


def test_the_line_of_a_case_leads_to_its_thread_and_slack_is_asked_for_an_address_once(kit):
    asks_for_a_person(kit)
    kit.home(SAM)
    kit.home(RITA)
    root = kit.slack.channel_messages(TEAM, DESK)[0].ts
    link = f"<https://sol.slack.com/archives/{DESK}/p{root.replace('.', '')}|Open the thread>"
    assert link in str(kit.slack.home(TEAM, SAM))
    assert [seen.method for seen in kit.slack.requests].count("chat.getPermalink") == 1


def test_where_slack_tells_no_address_the_line_leads_to_the_channel(kit):
    asks_for_a_person(kit)
    kit.slack.fail("chat.getPermalink", "message_not_found")
    kit.home(SAM)
    assert f"<slack://channel?team={TEAM}&id={DESK}|Open the thread>" in str(kit.slack.home(TEAM, SAM))


def test_a_name_that_would_ping_a_channel_pings_nobody(kit):
    kit.join()
    with kit.engine.begin() as db:
        db.exec_driver_sql("update contact set name = '<!channel> *x*'")
    kit.say("person")
    settled(kit)
    kit.home(SAM)
    assert "<!channel>" not in str(kit.slack.home(TEAM, SAM))
    assert not [one for one in kit.slack.mentions if "channel" in str(one)]


def test_when_the_app_was_taken_out_of_the_channel_staff_still_have_their_own_part(kit):
    kit.slack.delete_channel(TEAM, DESK)
    assert kit.home(SAM).startswith("The mail assistant of Ally")


def test_when_slack_is_busy_the_home_is_shown_a_little_later(kit):
    kit.slack.fail("conversations.members", "ratelimited", retry_after=2)
    kit.home(SAM)
    kit.clock.move(seconds=3)
    kit.work()
    assert kit.slack.shown(kit.slack.home(TEAM, SAM)).startswith("Support: who waits")


def test_when_slack_does_not_say_who_is_of_the_team_everybody_still_has_their_own_part(kit):
    kit.slack.fail("conversations.info", "ratelimited", times=99)
    kit.slack.open_home(TEAM, SAM)
    for _ in range(MAX_TRIES):
        kit.work()
        kit.clock.move(minutes=2)
    assert kit.slack.shown(kit.slack.home(TEAM, SAM)).startswith("The mail assistant of Ally")


def views(kit):
    return [seen for seen in kit.slack.requests if seen.method == "views.publish"]


# --- how long it took -------------------------------------------------------------------------------------------------


def numbers(kit):
    answer = kit.web.test_client().get("/metrics", headers={"Authorization": "Bearer girafa"})
    return dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if line.startswith("ally_case"))


def test_the_metrics_count_open_cases_by_who_has_to_act(kit):
    states = [f'ally_cases_open{{state="{one}"}}' for one in ("new", "waiting_for_us", "waiting_for_member", "snoozed")]
    assert [numbers(kit)[one] for one in states] == ["0.0"] * 4
    asks_for_a_person(kit)
    assert [numbers(kit)[one] for one in states] == ["1.0", "0.0", "0.0", "0.0"]
    taps(kit, "Take over")
    assert [numbers(kit)[one] for one in states] == ["0.0", "1.0", "0.0", "0.0"]
    writes(kit, "!Hello")
    assert [numbers(kit)[one] for one in states] == ["0.0", "0.0", "1.0", "0.0"]
    taps(kit, "Put off 2 hours")
    assert [numbers(kit)[one] for one in states] == ["0.0", "0.0", "0.0", "1.0"]


def test_an_answer_is_a_line_to_the_person_and_not_that_somebody_took_the_case(kit):
    asks_for_a_person(kit)
    taps(kit, "Take over")
    assert numbers(kit)["ally_case_first_answer_seconds_count"] == "0.0"
    kit.clock.move(minutes=10)
    writes(kit, "!Hello")
    writes(kit, "!Are you there?")
    told = numbers(kit)
    assert told["ally_case_first_answer_seconds_count"] == "1.0"
    assert 600 <= float(told["ally_case_first_answer_seconds_sum"]) < 700
    buckets = {name: count for name, count in told.items() if name.startswith("ally_case_first_answer_seconds_bucket")}
    assert buckets['ally_case_first_answer_seconds_bucket{le="300"}'] == "0.0"
    assert buckets['ally_case_first_answer_seconds_bucket{le="900"}'] == "1.0"
    assert buckets['ally_case_first_answer_seconds_bucket{le="+Inf"}'] == "1.0"


def test_a_case_is_resolved_when_staff_say_so_and_not_when_the_person_leaves(kit):
    asks_for_a_person(kit)
    kit.say("bot")
    settled(kit)
    assert numbers(kit)["ally_case_resolution_seconds_count"] == "0.0"
    kit.say("person")
    settled(kit)
    kit.clock.move(minutes=20)
    kit.slack.tap(TEAM, SAM, "Close", where=DESK)
    settled(kit)
    assert numbers(kit)["ally_case_resolution_seconds_count"] == "1.0"
    assert float(numbers(kit)["ally_case_resolution_seconds_sum"]) >= 1200


def test_the_medians_are_those_of_the_last_seven_days(kit):
    kit.join()
    now = kit.clock.now()
    with kit.engine.begin() as db:
        (conversation,) = db.exec_driver_sql("select id from conversation limit 1").one()
        for minutes, days in ((1, 8), (10, 1), (20, 2), (60, 3)):
            closed = now - timedelta(days=days)
            db.exec_driver_sql(
                'insert into "case" (conversation_id, reason, opened_at, closed_at, answered_at, answer_seconds, state,'
                " \"end\") values (%s, 'asked', %s, %s, %s, %s, 'closed', 'closed')",
                (conversation, closed - timedelta(minutes=2 * minutes), closed, closed, 60 * minutes),
            )
    with reading(kit.engine) as db:
        assert cases.medians(db, now - timedelta(days=7)) == (timedelta(minutes=20), timedelta(minutes=40))
    assert "first answer after 20 min of working time, solved after 40 min." in kit.home(SAM)


# --- what is kept, and for how long -----------------------------------------------------------------------------------


def test_what_staff_wrote_is_exported_and_forgotten_with_the_transcript(kit):
    asks_for_a_person(kit)
    writes(kit, "!Hello")
    with kit.engine.begin() as db:
        told = people.everything_about(db, kit.held().contact_id)["staff_lines"]
        assert [(row.text, row.state) for row in told] == [("Hello", "sent")]
        bounds.erase_all(db, kit.clock.now() + timedelta(seconds=1), timedelta())
    assert kit.rows(tables.staff_line) == kit.rows(tables.message) == []


def test_a_wish_for_access_that_is_answered_closes_the_thread_as_well(kit):
    asks_for_a_person(kit)
    with kit.engine.begin() as db:
        conversations.close_case(db, kit.held().id, kit.clock.now())
    settled(kit)
    root = kit.slack.channel_messages(TEAM, DESK)[0]
    assert "✓ closed: done" in root.text
    assert not root.buttons


# --- without a desk ---------------------------------------------------------------------------------------------------

ACCOUNT = Account("ana@agency.com", "ana@agency.com", Server("smtp.agency.com", 465, "tls"))
LONG = "W" * 120


def handed(language="en", flow="mailbox", state=None, about="", **known):
    """The message to somebody who is told where a person is reached."""
    house = replace(facts().house, desk=False, support_contact="+55 11 4002-8922")
    who = {"name": "Ana", "agency": "Sol", "role": "member", "mailbox": None} | known
    say = handoff.opened(101, flow, state, about, replace(facts(), language=language, house=house, **who))
    return render(Speak((say,)), language, WhatsAppStyle(), lambda _link: "").body


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        ("en", ["Case 101: Ana, Sol (member)", "Where I am: testing the e-mail", "E-mail: ana@agency.com",
                "Mail server: smtp.agency.com, 465", "Last problem: wrong address or password"]),
        ("pt", ["Caso 101: Ana, Sol (membro)", "Onde parei: no teste do e-mail", "E-mail: ana@agency.com",
                "Servidor de e-mail: smtp.agency.com, 465", "Último problema: endereço ou senha errados"]),
        ("es", ["Caso n.º 101: Ana, Sol (miembro)", "Dónde me quedé: probando el correo", "Correo: ana@agency.com",
                "Servidor de correo: smtp.agency.com, 465", "Último problema: dirección o contraseña incorrecta"]),
    ],
)  # fmt: skip
def test_without_a_desk_a_person_gets_lines_to_paste_in_their_language(language, lines):
    body = handed(language, state=Stuck(ACCOUNT, "secret-id", "wrong_credentials"), about=ACCOUNT)
    assert [line.removeprefix("> ") for line in body.splitlines() if line.startswith("> ")] == lines
    assert "*101*" in body
    assert "+55 11 4002-8922" in body
    assert "secret-id" not in body


def test_who_is_not_known_yet_has_fewer_lines():
    body = handed(flow="welcome", name="", agency="", role=None)
    assert body.count("> ") == 2
    assert "> Case 101: ?\n> Where I am: getting in\n" in body


def test_what_is_saved_is_told_where_the_talk_is_about_something_else():
    saved = Mailbox(ACCOUNT, "broken", "mailbox_full", "secret-id")
    body = handed(flow="menu", mailbox=saved)
    assert "> E-mail: ana@agency.com\n> Mail server: smtp.agency.com, 465\n> Last problem: a mailbox is full" in body
    assert "Where" not in body


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_lines_fit_into_one_message_of_whatsapp_whatever_is_in_them(language):
    long = Account(f"{LONG}@{LONG}.com", LONG, Server(f"{LONG}.{LONG}.com", 465, "tls"))
    state = Stuck(long, "x", "account_locked_or_web_login_required")
    body = handed(language, name=LONG, agency=LONG, role="admin", state=state, about=long)
    assert len(body) < 1024


def test_a_place_in_the_talk_has_words_wherever_there_is_one():
    known = {name.removeprefix("handoff.where.") for name in texts("en") if name.startswith("handoff.where.")}
    assert known == {*handoff.PLACES.values(), *FLOWS} - {"menu"}
    assert all(hasattr(mailbox, state) for _, state in handoff.PLACES)


def test_without_a_desk_the_lines_are_told_in_the_talk_and_pasted_as_they_stand(database_url, tmp_path):
    with Kit(database_url, tmp_path) as kit:
        kit.join()
        kit.say("person")
        kit.work()
        body = kit.last().body
    assert "> Case 101: Ana, Agência Sol (member)\n> Where I am: the e-mail address\n" in body
    assert body.rstrip().endswith("?")
