"""The page that shows the key for Ally, with the real bot behind it: once, nowhere else, and void when it should be."""

import json
import logging
from contextlib import nullcontext
from datetime import timedelta
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from bot.__main__ import main
from bot.cli import agencies, contacts
from bot.cli.mailboxes import door_key, door_keys
from bot.cli.shared import CannotBe
from bot.door_keys import hash_of
from bot.door_links import DoorLinks
from bot.records import LINK_TIME
from bot.store import door_mails, doors, mailboxes, tables
from bot.store.engine import reading
from bot.web.door_page import TYPED
from bot.web.forms import Forms
from bot.web.secret_page import DOOR, MAX_TOKEN
from flows.door import AwaitingKey, Trying
from flows.facts import Knock
from flows.menu import Choosing
from flows.speech import texts
from flows.words import LANGUAGES, CloseDoor, LinkOpened, LinkRefused, OpenDoor, TakeKey, TeamChanged, TeamRefused
from tests.botkit import ADDRESS, ANA, BIA, MONDAY, run_sql
from tests.doorkit import HOST, at_the_link, client_of, form_of, key_in, keys, opened, pressed, shown
from tests.test_records import performed

EN = texts("en")


@pytest.fixture
def kit(database_url, tmp_path):
    with opened(database_url, tmp_path) as made:
        yield made


@pytest.fixture
def client(kit):
    return client_of(kit)


def standing(kit, who=ANA):
    """The facts of somebody."""
    with kit.engine.begin() as db:
        return kit.parts.turns._facts.read(db, kit.held(who), kit.envelope(who), kit.clock.now()).facts


def newer(kit, who=ANA):
    """Somebody takes a new key; the token of its link."""
    kit.tap("new", who)
    kit.work()
    return kit.token(who)


# --- looking ----------------------------------------------------------------------------------------------------------


def test_looking_shows_no_key_and_makes_none(kit, client):
    token = at_the_link(kit)
    for _ in range(3):
        page = client.get(f"/s/{token}")
        assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
        assert EN["door_page.show"] in page.text
        assert ADDRESS in page.text
    assert client.head(f"/s/{token}").status_code == 200
    assert client.get(f"/s/{token}/key").status_code == 410
    assert keys(kit) == []
    assert kit.parts.links.look(token).state == "open"


def test_a_password_is_not_taken_behind_this_link(kit, client):
    token = at_the_link(kit)
    proof = Forms(kit.parts.vault.subkey("forms"), "secret page").proof(token)
    assert client.post(f"/s/{token}", data={"proof": proof, "secret": "girafa"}).status_code == 410
    assert kit.parts.links.look(token).state == "open"


def test_behind_a_link_for_a_password_no_key_is_shown(kit, client):
    token = kit.awaiting()
    proof = Forms(kit.parts.vault.subkey("forms"), DOOR).proof(token)
    assert client.post(f"/s/{token}/key", data={"proof": proof}).status_code == 410
    assert kit.parts.links.look(token).state == "open"


# --- showing ----------------------------------------------------------------------------------------------------------


def test_one_tap_shows_the_key_once_with_what_is_to_be_typed_where(kit, client):
    token = at_the_link(kit)
    page = shown(client, token)
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "unsafe-inline" not in page.headers["Content-Security-Policy"]
    for words in (HOST, ">465<", ADDRESS, EN["ally.smtp_password"], EN["ally.own_smtp"], EN["ally.integrations"]):
        assert words in page.text
    (row,) = keys(kit)
    assert row.hash == hash_of(key_in(page))
    assert (row.made_at, row.used_at, row.revoked_at) == (kit.clock.now(), None, None)
    with reading(kit.engine) as db:
        assert door_mails.standing(db, row.hash, "", kit.clock.now()).address == ADDRESS


@pytest.mark.parametrize("path", ["", "/key"])
def test_a_second_time_there_is_no_key(kit, client, path):
    token = at_the_link(kit)
    offer = client.get(f"/s/{token}")
    key = key_in(pressed(client, offer))
    again = pressed(client, offer) if path else client.get(f"/s/{token}")
    assert again.status_code == 410
    assert key not in again.text
    assert keys(kit)[0].hash == hash_of(key)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("role", ["member", "admin"])
def test_the_pages_speak_the_person_s_language_and_know_their_part(kit, client, language, role):
    token = at_the_link(kit)
    run_sql(kit.url, f"update contact set language = '{language}'")
    run_sql(kit.url, f"update member set role = '{role}'")
    words = texts(language)
    offer = client.get(f"/s/{token}")
    assert words["door_page.show"] in offer.text
    page = pressed(client, offer)
    own = words["door_page.by_you" if role == "admin" else "door_page.by_admin"].format(
        integrate=words["ally.integrate"]
    )
    assert own.partition("“")[0] in page.text
    assert f'lang="{language}"' in page.text
    done = pressed(client, page)
    assert done.status_code == 303
    assert words["door_page.done.title"] in client.get(done.location).text


def test_the_chat_goes_on_when_the_person_says_on_the_page_that_it_is_typed_in(kit, client):
    token = at_the_link(kit)
    page = shown(client, token)
    assert isinstance(kit.envelope().state, AwaitingKey)
    assert pressed(client, page).status_code == 303
    kit.work()
    assert kit.envelope().state == Trying("now")
    assert EN["ally.test_smtp"] in kit.last().body
    said = len(kit.bodies())
    assert pressed(client, page).status_code == 303  # pressed twice, it is said once
    kit.work()
    assert len(kit.bodies()) == said


def test_who_goes_on_in_the_chat_alone_is_understood_too(kit, client):
    shown(client, at_the_link(kit))
    kit.tap("typed")
    kit.work()
    assert kit.envelope().state == Trying("now")


def test_a_lost_page_is_a_new_key_and_the_old_one_is_void(kit, client):
    first_page = shown(client, at_the_link(kit))
    first = key_in(first_page)
    token = newer(kit)
    assert EN["door.new_voids"] in kit.last().body
    kit.clock.move(minutes=1)
    second = key_in(shown(client, token))
    assert first != second
    with reading(kit.engine) as db:
        assert door_mails.standing(db, hash_of(first), "", kit.clock.now()) is None
        assert door_mails.standing(db, hash_of(second), "", kit.clock.now()) is not None
    assert pressed(client, first_page).status_code == 410  # of the page of the void one
    assert isinstance(kit.envelope().state, AwaitingKey)


def test_a_link_that_a_newer_one_voided_shows_nothing(kit, client):
    old = at_the_link(kit)
    newer(kit)
    assert client.get(f"/s/{old}").status_code == 410
    assert keys(kit) == []


def test_who_goes_elsewhere_in_the_chat_closes_the_page(kit, client):
    token = at_the_link(kit)
    offer = client.get(f"/s/{token}")
    kit.say("menu")
    kit.work()
    assert isinstance(kit.envelope().state, Choosing)
    assert pressed(client, offer).status_code == 410
    assert keys(kit) == []


def test_a_link_is_good_for_half_an_hour(kit, client):
    token = at_the_link(kit)
    offer = client.get(f"/s/{token}")
    kit.clock.move(minutes=LINK_TIME / timedelta(minutes=1))
    assert pressed(client, offer).status_code == 410
    assert keys(kit) == []


@pytest.mark.parametrize(
    "meanwhile",
    [
        "update mailbox set state = 'off'",
        "update mailbox set state = 'broken', cause = 'wrong_credentials'",
        "update mailbox set address = 'bia@agency.test'",
        "delete from mailbox",
    ],
)
def test_a_mailbox_that_is_not_what_it_was_gets_no_key(kit, client, meanwhile):
    token = at_the_link(kit)
    offer = client.get(f"/s/{token}")
    run_sql(kit.url, meanwhile)
    assert pressed(client, offer).status_code == 410
    assert keys(kit) == []
    assert kit.parts.links.look(token).state == "open"  # nothing of it happened


def test_who_says_typed_after_the_key_was_taken_back_is_told_on_the_page(kit, client):
    page = shown(client, at_the_link(kit))
    with kit.engine.begin() as db:
        doors.revoke(db, keys(kit)[0].mailbox_id, kit.clock.now())
    assert pressed(client, page).status_code == 410
    assert isinstance(kit.envelope().state, AwaitingKey)


def test_typed_before_shown_is_nothing(kit, client):
    token = at_the_link(kit)
    proof = Forms(kit.parts.vault.subkey("forms"), DOOR).proof(f"{TYPED}{token}")
    assert client.post(f"/s/{token}/typed", data={"proof": proof}).status_code == 410


# --- forged, broken ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["key", "typed"])
@pytest.mark.parametrize("form", [{}, {"proof": ""}, {"proof": "x"}, {"proof": "ç"}, {"proof": "x" * 5000}])
def test_a_form_that_is_not_ours_does_nothing(kit, client, path, form):
    token = at_the_link(kit)
    answer = client.post(f"/s/{token}/{path}", data=form)
    assert answer.status_code == 410
    assert EN["door_page.closed.title"] in answer.text
    assert keys(kit) == []


def test_a_form_from_another_site_or_for_another_link_does_nothing(kit, client):
    token = at_the_link(kit)
    offer = client.get(f"/s/{token}")
    assert pressed(client, offer, **{"Sec-Fetch-Site": "cross-site"}).status_code == 410
    _, proof = form_of(offer)
    assert client.post(f"/s/{'x' * 20}/key", data={"proof": proof}).status_code == 410
    long = "x" * (MAX_TOKEN + 1)
    proof = Forms(kit.parts.vault.subkey("forms"), DOOR).proof(long)
    assert client.post(f"/s/{long}/key", data={"proof": proof}).status_code == 410
    unknown = Forms(kit.parts.vault.subkey("forms"), DOOR).proof("unknown")
    assert client.post("/s/unknown/key", data={"proof": unknown}).status_code == 410
    assert keys(kit) == []


def test_the_last_page_says_nothing_that_is_not_ours(client):
    assert client.get("/s/typed/WyJlbiIsICJodHRwczovL2V2aWwudGVzdCJd").status_code == 410


def test_a_failure_is_told_in_plain_words_and_changes_nothing(kit, client, caplog):
    token = at_the_link(kit)
    offer = client.get(f"/s/{token}")
    with patch.object(doors, "make", side_effect=RuntimeError("girafa")), caplog.at_level(logging.ERROR):
        failed = pressed(client, offer)
    assert failed.status_code == 500
    assert EN["page.trouble.title"] in failed.text
    assert token not in caplog.text
    assert kit.parts.links.look(token).state == "open"
    assert client.put(f"/s/{token}/key").status_code == 405


def test_a_door_that_the_operator_closed_shows_no_keys(kit, client):
    token = at_the_link(kit)
    with patch.object(kit.parts.links, "_door", ("", 465)):
        assert client.get(f"/s/{token}").status_code == 410


# --- leaks ------------------------------------------------------------------------------------------------------------


def test_the_key_is_in_no_dump_no_log_no_transcript_no_message_and_no_address(kit, client, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    page = shown(client, at_the_link(kit))
    key = key_in(page)
    done = pressed(client, page)
    client.get(done.location)
    kit.work()
    kit.tap("error")
    kit.work()
    kit.say(f"it says that {key} is wrong")
    kit.work()
    everything = [kit.dump(), caplog.text, capsys.readouterr().out, "\n".join(kit.bodies()), done.location,
                  json.dumps([str(row.payload) for row in kit.rows(tables.promise)]), "\n".join(kit.transcript()),
                  str(kit.held().envelope), repr(kit.parts.turns)]  # fmt: skip
    for place in everything:
        assert key not in place
        assert key.replace("-", "") not in place
    assert EN["door.typed"] in kit.last().body


def test_what_is_known_of_a_key_in_memory_prints_nothing(kit):
    token = at_the_link(kit)

    made = DoorLinks(kit.engine, kit.clock, kit.parts.turns, kit.parts.links).show(token)
    assert made.key.reveal() not in repr(made)


def test_an_export_tells_when_and_not_what(kit, client):
    page = shown(client, at_the_link(kit))
    told = json.dumps(contacts.export(kit.parts, ANA), default=str)
    assert "door_keys" in told
    assert keys(kit)[0].hash not in told
    assert key_in(page) not in told


# --- records ----------------------------------------------------------------------------------------------------------


def test_a_link_is_opened_for_a_mailbox_that_works(kit):
    kit.mailbox()
    assert isinstance(performed(kit, OpenDoor()), LinkOpened)
    assert [row.kind for row in kit.rows(tables.link)][-1] == "door"
    run_sql(kit.url, "update mailbox set state = 'off'")
    assert performed(kit, OpenDoor()) == LinkRefused()
    run_sql(kit.url, "delete from mailbox")
    assert performed(kit, OpenDoor()) == LinkRefused()


def test_links_for_keys_are_limited_like_all_others(kit):
    kit.mailbox()
    answers = [performed(kit, OpenDoor()) for _ in range(30)]
    assert answers[-1] == LinkRefused()


def test_a_key_is_taken_back_by_its_person(kit, client):
    shown(client, at_the_link(kit))
    assert standing(kit).mailbox.door
    assert performed(kit, CloseDoor()) is None
    assert performed(kit, CloseDoor()) is None
    assert not standing(kit).mailbox.door
    assert [row.action for row in kit.rows(tables.audit) if "door" in row.action] == ["door_opened", "door_closed"]


def test_a_key_is_taken_back_by_an_admin_and_by_nobody_else(kit, client):
    shown(client, at_the_link(kit))
    mine = str(kit.held().member_id)
    assert performed(kit, TakeKey(mine)) == TeamRefused("gone")  # no admin
    kit.join(BIA, role="admin")
    kit.say("menu", BIA)
    kit.work()
    assert performed(kit, TakeKey(mine), BIA) == TeamChanged()
    assert performed(kit, TakeKey(mine), BIA) == TeamRefused("gone")
    assert performed(kit, TakeKey("nobody"), BIA) == TeamRefused("gone")
    assert not standing(kit).mailbox.door


def test_an_admin_sees_who_has_a_key(kit, client):
    shown(client, at_the_link(kit))
    kit.join(BIA, role="admin")
    kit.say("menu", BIA)
    kit.work()
    kit.tap("team", BIA)
    kit.work()
    seen = {one.id: one.door for one in standing(kit, BIA).team}
    assert sorted(seen.values()) == [False, True]


@pytest.mark.parametrize(
    ("used", "refused", "knock"),
    [
        (None, None, None),
        (1, None, Knock(MONDAY.date(), "12:01")),
        (None, 2, Knock(MONDAY.date(), "12:02", "wrong_key")),
        (1, 2, Knock(MONDAY.date(), "12:02", "wrong_key")),
        (3, 2, Knock(MONDAY.date(), "12:03")),
    ],
)
def test_what_the_door_saw_last_is_known_in_the_agency_s_time(kit, client, used, refused, knock):
    shown(client, at_the_link(kit))
    with kit.engine.begin() as db:
        if used:
            doors.used(db, keys(kit)[0].mailbox_id, MONDAY + timedelta(minutes=used))
        if refused:
            doors.refused(db, ADDRESS, "wrong_key", MONDAY + timedelta(minutes=refused))
    assert standing(kit).mailbox.knock == knock


def test_a_wrong_key_at_the_door_is_told_to_whoever_reports_the_error(kit, client):
    pressed(client, shown(client, at_the_link(kit)))
    kit.work()
    with kit.engine.begin() as db:
        doors.refused(db, ADDRESS, "wrong_key", kit.clock.now())
    kit.tap("error")
    kit.work()
    kit.say("535 5.7.8 Error: authentication failed")
    kit.work()
    assert "12:00" in kit.last().body
    assert "*wrong key*" in kit.last().body


# --- what ends it -----------------------------------------------------------------------------------------------------


def test_another_address_takes_the_key_back_with_the_set_up(kit, client):
    shown(client, at_the_link(kit))
    held, box = kit.held(), kit.rows(tables.mailbox)[0]
    names = ("user_name", "host", "port", "security", "secret_id", "state")
    with kit.engine.begin() as db:
        values = {name: getattr(box, name) for name in names} | {"since": kit.clock.now(), "address": "bia@agency.test"}
        mailboxes.save(db, held.member_id, values)
    assert not standing(kit).mailbox.door


def test_the_operator_lists_keys_and_takes_one_back(kit, client):
    page = shown(client, at_the_link(kit))
    (row,) = door_keys(kit.parts)
    assert (row["address"], row["agency"], row["used_at"]) == (ADDRESS, "Agência Sol", "")
    assert door_keys(kit.parts, "Agência Sol") == [row]
    assert [one["revoked"] for one in door_key(kit.parts, ADDRESS, revoke=False)] == [False]
    assert standing(kit).mailbox.door
    assert [one["revoked"] for one in door_key(kit.parts, ADDRESS, revoke=True)] == [True]
    assert not standing(kit).mailbox.door
    assert door_keys(kit.parts) == []
    with pytest.raises(CannotBe, match="mailbox doors"):
        door_key(kit.parts, ADDRESS, revoke=True)
    with reading(kit.engine) as db:
        assert door_mails.standing(db, hash_of(key_in(page)), "", kit.clock.now()) is None


def test_a_closed_agency_has_no_keys_and_that_is_counted(kit, client):
    shown(client, at_the_link(kit))
    assert agencies.close_agency(kit.parts, "Agência Sol", really=False)["keys"] == 1
    agencies.close_agency(kit.parts, "Agência Sol", really=True)
    assert keys(kit) == []


def test_the_command_line_lists_and_revokes(kit, client, monkeypatch):
    shown(client, at_the_link(kit))
    monkeypatch.setattr("bot.cli.shared.joined", lambda: nullcontext(kit.parts))
    listed = CliRunner().invoke(main, ["mailbox", "doors", "--json"])
    assert [one["address"] for one in json.loads(listed.output)] == [ADDRESS]
    revoked = CliRunner().invoke(main, ["mailbox", "door", ADDRESS, "--revoke"])
    assert (revoked.exit_code, "revoked: True" in revoked.output) == (0, True)
    assert "Nothing." in CliRunner().invoke(main, ["mailbox", "doors"]).output
