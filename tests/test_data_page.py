"""What is known of somebody, in the chat and as a file: told in their language, given once, to them, and noted."""

import json
import re
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert

from bot.app import create_app
from bot.cli.contacts import export
from bot.data_links import DataLinks
from bot.limits import LIMITS
from bot.records import LINK_TIME
from bot.store import tables
from bot.web.data_page import FILE
from bot.web.forms import Forms
from bot.web.secret_page import DATA, MAX_TOKEN
from flows.menu import Choosing as InTheMenu
from flows.privacy import AwaitingVisit, Choosing
from flows.speech import texts
from flows.words import LANGUAGES
from tests.botkit import ADDRESS, ANA, BIA, PASSWORD, run_sql
from tests.doorkit import form_of, pressed

ASKED = {"en": "What do you know about me?", "pt": "o que você sabe sobre mim", "es": "¿Qué sabes de mí?"}
EN = texts("en")


@pytest.fixture
def client(kit):
    app = create_app(kit.parts)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app.test_client()


def asks(kit, who=ANA, words="my data"):
    """Somebody asks what is known; what they read."""
    kit.say(words, who)
    kit.work()
    return kit.last(who).body


def at_the_link(kit, who=ANA):
    """Somebody to whom the link was sent; its token."""
    asks(kit, who)
    kit.tap("file", who)
    kit.work()
    return kit.token(who)


def fetched(client, token):
    """The answer to the button of the page."""
    return pressed(client, client.get(f"/s/{token}"))


def exported(kit):
    """Who was noted for exports of whom."""
    return [(row.actor, row.subject) for row in kit.rows(tables.audit) if row.action == "exported"]


def mail_of(kit, state):
    """A mail in this state."""
    values = {"id": uuid4(), "conversation_id": kit.held().id, "mailbox_id": kit.rows(tables.mailbox)[0].id,
              "mailbox_version": 1, "message_id": f"<{uuid4()}>", "date": kit.clock.now(),
              "recipients": ["bia@client.test"], "state": state, "at": kit.clock.now()}  # fmt: skip
    with kit.engine.begin() as db:
        db.execute(insert(tables.outgoing_mail).values(values))


# --- in the chat ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_asks_in_words_reads_what_is_known_in_their_language(kit, language):
    kit.mailbox()
    run_sql(kit.url, f"update contact set language = '{language}'")
    for state in ("accepted", "accepted", "refused", "unknown", "todo", "handing"):
        mail_of(kit, state)
    kit.say("person")
    kit.work()
    kit.say("bot")
    kit.work()
    said = asks(kit, words=ASKED[language])
    counted = texts(language)["privacy.known"].splitlines()[6]
    assert counted.format(accepted=2, refused=1, unclear=1, waiting=2) in said
    for words in ("Ana", "Agência Sol", ADDRESS, texts(language)["privacy.locked"]):
        assert words in said
    assert re.search(r": 1\n.*: \d+\n", said)
    assert PASSWORD not in said
    assert kit.envelope().state == Choosing()


def test_the_menu_leads_to_what_is_known_and_from_there_to_its_erasure(kit):
    kit.mailbox()
    kit.tap("privacy")
    kit.work()
    assert kit.last().body.startswith("*What I know about you*")
    kit.tap("erase")
    kit.work()
    assert "Shall I erase all of it?" in kit.last().body
    kit.tap("keep")
    kit.work()
    assert kit.envelope().state == InTheMenu()


def test_somebody_who_belongs_nowhere_hears_what_is_known_of_them_too(kit, client):
    kit.say("hello")
    kit.work()
    assert "Agência: -" in asks(kit)
    kit.tap("file")
    kit.work()
    given = fetched(client, kit.token()).json
    assert (given["contact"]["address"], given["members"]) == (ANA, [])


def test_nobody_hears_what_is_known_of_somebody_else(kit):
    kit.mailbox()
    kit.join(BIA, name="Bia")
    said = asks(kit, BIA)
    assert ADDRESS not in said
    assert "Bia" in said


# --- the file ---------------------------------------------------------------------------------------------------------


def test_one_tap_gives_the_same_file_as_the_command_and_the_chat_hears_of_it(kit, client):
    kit.mailbox()
    token = at_the_link(kit)
    wanted = export(kit.parts, ANA)
    answer = fetched(client, token)
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{FILE}"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert json.loads(answer.text) == wanted
    kit.work()
    assert EN["privacy.taken"] in kit.last().body
    assert kit.envelope().state == InTheMenu()


def test_no_secret_and_no_address_of_a_link_stands_in_the_file(kit, client):
    secret = kit.mailbox()
    token = at_the_link(kit)
    told = fetched(client, token).text
    hashes = [row.hash for row in kit.rows(tables.link_token)]
    sealed = next(row for row in kit.rows(tables.secret) if row.id == secret)
    for hidden in (PASSWORD, token, *hashes, sealed.box.hex(), sealed.nonce.hex()):
        assert hidden not in told


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_speaks_the_person_s_language_and_says_nothing_of_the_person(kit, client, language):
    kit.mailbox()
    token = at_the_link(kit)
    run_sql(kit.url, f"update contact set language = '{language}', name = 'Quagga Silva'")
    run_sql(kit.url, "update member set name = 'Quagga Silva'")
    page = client.get(f"/s/{token}")
    assert texts(language)["data_page.get"] in page.text
    for known in (ADDRESS, "Quagga", "Silva", "Agência Sol", ANA):
        assert known not in page.text


def test_that_it_was_given_is_noted_under_ids_that_say_nothing(kit, client):
    kit.mailbox()
    token = at_the_link(kit)
    assert exported(kit) == []
    fetched(client, token)
    mine = str(kit.held().contact_id)
    assert exported(kit) == [(mine, mine)]


# --- whoever it is not for --------------------------------------------------------------------------------------------


def test_looking_gives_nothing_and_uses_nothing_up(kit, client):
    token = at_the_link(kit)
    for _ in range(3):
        assert client.get(f"/s/{token}").status_code == 200
        assert client.head(f"/s/{token}").status_code == 200
    for looked in (client.get(f"/s/{token}/data"), client.head(f"/s/{token}/data")):
        assert (looked.status_code, looked.mimetype) == (410, "text/html")
    assert exported(kit) == []
    assert fetched(client, token).status_code == 200


def test_a_second_tap_gives_nothing(kit, client):
    token = at_the_link(kit)
    page = client.get(f"/s/{token}")
    assert pressed(client, page).status_code == 200
    again = pressed(client, page)
    assert (again.status_code, again.mimetype) == (410, "text/html")
    assert client.get(f"/s/{token}").status_code == 410
    assert len(exported(kit)) == 1


def test_of_many_at_once_one_gets_the_file(kit):
    token = at_the_link(kit)
    given = DataLinks(kit.engine, kit.clock, kit.parts.turns)
    assert [given.take(token) is not None for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize("proof", ["", "forged", "another page's", "another link's"])
def test_a_form_that_is_not_ours_gets_nothing(kit, client, proof):
    token = at_the_link(kit)
    signs = Forms(kit.parts.vault.subkey("forms"), "door" if proof == "another page's" else DATA)
    signed = {"another page's": signs.proof(token), "another link's": signs.proof("x" * 40)}.get(proof, proof)
    assert client.post(f"/s/{token}/data", data={"proof": signed}).status_code == 410
    assert fetched(client, token).status_code == 200


def test_a_form_that_a_browser_calls_foreign_gets_nothing(kit, client):
    token = at_the_link(kit)
    action, proof = form_of(client.get(f"/s/{token}"))
    foreign = client.post(action, data={"proof": proof}, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 410
    assert exported(kit) == []


def test_a_link_of_another_kind_gives_no_file_and_this_one_takes_no_password(kit, client):
    password = kit.awaiting(BIA)
    proof = Forms(kit.parts.vault.subkey("forms"), DATA).proof(password)
    assert client.post(f"/s/{password}/data", data={"proof": proof}).status_code == 410
    assert kit.parts.links.look(password).state == "open"
    data = at_the_link(kit)
    for name, path in (("secret page", ""), ("door", "/key"), ("sign in", "/sign-in")):
        proof = Forms(kit.parts.vault.subkey("forms"), name).proof(data)
        assert client.post(f"/s/{data}{path}", data={"proof": proof, "secret": PASSWORD}).status_code in {404, 410}
    assert kit.parts.links.look(data).state == "open"


def test_a_link_ends_with_its_time(kit, client):
    token = at_the_link(kit)
    page = client.get(f"/s/{token}")
    kit.clock.time += LINK_TIME + timedelta(seconds=1)
    assert pressed(client, page).status_code == 410
    assert client.get(f"/s/{token}").status_code == 410
    assert exported(kit) == []


@pytest.mark.parametrize("words", ["menu", "new link", "erase"])
def test_a_link_ends_when_the_talk_goes_on_without_it(kit, client, words):
    token = at_the_link(kit)
    page = client.get(f"/s/{token}")
    kit.say(words)
    kit.work()
    assert pressed(client, page).status_code == 410
    assert exported(kit) == []
    if words == "new link":
        assert fetched(client, kit.token()).status_code == 200


def test_a_link_gives_nothing_once_its_talk_waits_for_another(kit):
    """As when two processes disagree for a moment: what the talk waits for decides, and the link stays as it was."""
    token = at_the_link(kit)
    assert isinstance(kit.envelope().state, AwaitingVisit)
    run_sql(kit.url, "update conversation set envelope = jsonb_set(envelope, '{state,link_id}', '\"another\"')")
    given = DataLinks(kit.engine, kit.clock, kit.parts.turns)
    assert given.take(token) is None
    assert exported(kit) == []
    assert kit.parts.links.look(token).state == "open"


def test_a_link_goes_with_its_person(kit, client):
    token = at_the_link(kit)
    page = client.get(f"/s/{token}")
    run_sql(kit.url, "delete from contact")
    assert pressed(client, page).status_code == 410


@pytest.mark.parametrize("token", ["x", "x" * 43, "x" * (MAX_TOKEN + 1), "%00", "..", "é" * 20])
def test_a_token_that_is_none_gets_what_a_used_one_gets(kit, client, token):
    used = at_the_link(kit)
    fetched(client, used)
    closed = client.get(f"/s/{used}/data")
    answer = client.post(f"/s/{token}/data", data={"proof": Forms(kit.parts.vault.subkey("forms"), DATA).proof(token)})
    assert (answer.status_code, answer.data) == (closed.status_code, closed.data)


def test_a_form_that_is_too_large_gets_nothing(kit, client):
    token = at_the_link(kit)
    assert client.post(f"/s/{token}/data", data={"proof": "x" * 5_000}).status_code == 410


def test_when_something_breaks_the_page_says_so_and_the_log_does_not_name_the_link(kit, client, caplog, monkeypatch):
    token = at_the_link(kit)
    page = client.get(f"/s/{token}")
    monkeypatch.setattr("bot.data_links.everything", lambda _db, _contact: 1 / 0)
    answer = pressed(client, page)
    assert answer.status_code == 500
    assert EN["page.trouble.title"] in answer.text
    assert token not in caplog.text
    monkeypatch.undo()
    assert pressed(client, page).status_code == 200


# --- how often --------------------------------------------------------------------------------------------------------


def test_only_so_many_links_a_day_are_opened_for_one_person(kit):
    most = int(LIMITS["data"]["contact"].split()[0])
    kit.join()
    at_the_link(kit)
    for _ in range(most - 1):
        kit.tap("new_link")
        kit.work()
    assert isinstance(kit.envelope().state, AwaitingVisit)
    kit.tap("new_link")
    kit.work()
    assert EN["privacy.too_many_links"] in kit.last().body
    assert [row for row in kit.rows(tables.link) if row.closed_at is None] == []
    kit.join(BIA)
    at_the_link(kit, BIA)
    assert isinstance(kit.envelope(BIA).state, AwaitingVisit)
    kit.clock.move(hours=25)
    at_the_link(kit)
    assert isinstance(kit.envelope().state, AwaitingVisit)


def test_looking_links_up_is_bounded_by_its_source(kit, client):
    token = at_the_link(kit)
    most = int(LIMITS["page"]["source"].split()[0])
    answers = [client.post(f"/s/{token}/data").status_code for _ in range(most + 1)]
    assert answers == [410] * most + [429]
