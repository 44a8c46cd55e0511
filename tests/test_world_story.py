"""The whole story, from an invitation to a mail that arrived, against real servers, processes and a real browser."""

import itertools
import re
import signal
from dataclasses import dataclass

import psycopg
import pytest
from playwright.sync_api import expect

from flows.speech import sentence
from flows.words import LANGUAGES
from tests.browser import PATIENCE
from tests.world import AGENCIES, DOMAIN_IN_THE_TABLE, UNKNOWN_DOMAIN, World, disguises, traces

pytestmark = [pytest.mark.world, pytest.mark.timeout(400)]

NUMBERS = {"en": "+1555010", "pt": "+5511987", "es": "+3460000"}
PASSWORDS = {
    "en": ("Wrong-Horse & 7 <staples>", "Correct-Horse & 7 <staples>"),
    "pt": ("Onça-parda {11} não", "Onça-pintada {11} ipê"),
    "es": ('Ñandú\'viejo 100% "no"', 'Ñandú\'nuevo 100% "sí"'),
}
WORDS = {
    "en": ("Ana Smith", "Your viewing on Friday", "Dear Bruno,\n\nsee you on Friday.\n.\nAna"),
    "pt": ("Ana Conceição", "Visita na sexta ✓", "Olá Bruno,\n\naté sexta.\n.\nAna"),
    "es": ("Ana Núñez", "¿La visita del viernes?", "Hola Bruno:\n\n¡hasta el viernes!\n.\nAna"),
}
SIGNS = "abcdefghijklmnopqrstuvwxyz"
people = itertools.count()


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who is invited, and the mail that they will write."""

    language: str
    knows: str
    number: str
    name: str
    address: str
    wrong: str
    right: str
    recipient: str
    subject: str
    text: str


@pytest.fixture(scope="module")
def world(postgres, test_database, mail_servers, tmp_path_factory):
    url = test_database.fresh()
    with World(tmp_path_factory.mktemp("world"), postgres, url, mail_servers) as started:
        yield started
    test_database.drop(url)


def member(world, language, knows="server"):
    """`knows`: whether the person has to tell the server, or the table knows it."""
    n = next(people)
    wrong, right = PASSWORDS[language]
    name, subject, text = WORDS[language]
    domain = DOMAIN_IN_THE_TABLE if knows == "table" else UNKNOWN_DOMAIN
    made = Member(
        language=language,
        knows=knows,
        number=f"{NUMBERS[language]}{n:04}",
        name=name,
        address=f"ana.{SIGNS[n]}@{domain}",
        wrong=wrong,
        right=right,
        recipient=f"bruno.{SIGNS[n]}@{UNKNOWN_DOMAIN}",
        subject=subject,
        text=text,
    )
    world.mail.add_user(made.address, made.right)
    world.mail.add_user(made.recipient, "bruno's own")
    return made


def no_pause():
    """Nothing happens between two messages."""


def story(world, browser, who, pause=no_pause):
    """The play. `pause()` is called after each message and on each page; returns all that was said."""
    phone = world.phone(who.number, who.language)

    def hears(*names):
        body = phone.hears(*names)
        pause()
        return body

    phone.say(world.invitation(who.language, who.name).text, times=2)
    hears("talk.intro", "welcome.joined", "mailbox.address")
    phone.say(who.address.removesuffix(".test"))
    hears("mailbox.no_address", "mailbox.address")
    phone.say(who.address)
    if who.knows == "server":
        tells_the_server(world, phone, hears)
    gives_the_password(world, browser, phone, hears, who, pause)
    writes_a_mail(phone, hears, who)
    world.settle()
    assert phone.nothing_more()
    return phone.messages()


def tells_the_server(world, phone, hears):
    hears("mailbox.host")
    phone.say(f"smtp@{world.mail.host}")
    hears("mailbox.address_instead_of_server", "mailbox.host")
    phone.say(world.mail.host)
    hears("mailbox.port")
    phone.say(str(world.mail.submission_port))
    assert world.mail.host in hears("mailbox.confirm.server")
    phone.tap("yes")


def gives_the_password(world, browser, phone, hears, who, pause):
    assert who.address in hears("mailbox.secret")
    used = phone.link()
    types_on_the_page(world, browser, used, who, who.wrong, pause)
    phone.hears("mailbox.testing")
    hears("cause.wrong_credentials", "mailbox.secret")
    assert phone.link() != used
    types_on_the_page(world, browser, phone.link(), who, who.right, pause)
    phone.hears("mailbox.testing")
    corrected = ["mailbox.repaired"] if who.knows == "server" else []
    proven = ("proof.arrived", "copy.appended")
    assert who.address in hears("mailbox.works", *corrected, *proven, "card.member")
    phone.tap("done")
    hears("card.well_done", "menu.with_mailbox")


def types_on_the_page(world, browser, link, who, password, pause):
    """And then goes back in the browser, where nothing is left."""
    heading = {name: sentence(f"page.{name}.title", who.language) for name in ("done", "closed")}
    with world.browse(browser, who.language) as page:
        page.goto(link)
        expect(page.get_by_text(world.mail.host, exact=True)).to_be_visible()
        page.get_by_label(sentence("page.form.label_password", who.language)).press_sequentially(password)
        pause()
        page.get_by_role("button", name=sentence("page.form.send", who.language)).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(heading["done"], timeout=PATIENCE)
        page.go_back()
        expect(page.get_by_role("heading", level=1)).to_have_text(heading["closed"], timeout=PATIENCE)


def writes_a_mail(phone, hears, who):
    phone.tap("write")
    hears("compose.to")
    phone.say(who.recipient)
    hears("compose.subject")
    phone.say(who.subject)
    hears("compose.text")
    phone.say(who.text)
    preview = hears("compose.preview")
    assert all(shown in preview for shown in (who.name, who.address, who.recipient, who.subject))
    phone.tap("send")
    phone.hears("compose.sending")
    assert who.recipient in hears("news.mail_accepted", "menu.with_mailbox")


def lies_in(world, who, folder):
    """The subjects of what lies in a folder of the sender's, oldest first."""
    return [mail["Subject"] for mail in world.mail.folder(who.address, folder)]


def arrived(world, who):
    """The mail in the recipient's inbox, which is there once."""
    mail = world.mail.wait_for_mail(who.recipient, who.subject)
    assert len(world.mail.inbox(who.recipient)) == 1
    sender = mail["From"].addresses[0]
    text = mail.get_content().replace("\r\n", "\n").rstrip("\n")
    return sender.display_name, sender.addr_spec, mail["To"].addresses[0].addr_spec, text


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("knows", ["server", "table"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_from_an_invitation_to_a_mail_that_arrived_and_no_password_is_left_anywhere(world, browser, language, knows):
    who = member(world, language, knows)
    said = story(world, browser, who)
    assert arrived(world, who) == (who.name, who.address, who.recipient, who.text)
    proof = sentence("proof.subject", language)
    assert lies_in(world, who, "INBOX") == [proof]
    assert lies_in(world, who, "Sent") == [proof, who.subject]
    assert world.complaints() == []
    written = world.everything_written()
    for secret in (who.wrong, who.right, *world.own_secrets):
        assert traces(written, secret, who.address) == []
    assert tokens(said)
    for token in tokens(said):
        assert [where for where in ("dump", "web.log", "worker.log") if token in written[where]] == []
    the_search_can_see(world, written, who)


def tokens(messages):
    """Whoever has one of these can open a one-time page: only their hashes stay with us."""
    return re.findall(r"/s/(\S+)", "\n".join(messages))


def the_search_can_see(world, written, who):
    """Each source is read in full: what must stand there is found, and the passwords did pass through the browser."""
    assert who.address in written["dump"]
    assert who.address in written["pages"]
    assert who.address in written["requests to Twilio"]
    assert who.address in written["records at Twilio"]
    assert '"event": "a webhook came twice"' in written["web.log"]
    assert '"kind": "TestLogin"' in written["worker.log"]
    assert {"a form in the browser"} <= set(traces({"the browser": world.submitted}, who.wrong, who.address))
    assert {"a form in the browser"} <= set(traces({"the browser": world.submitted}, who.right, who.address))


def test_a_password_anywhere_in_the_database_would_be_found(world):
    secret, user = "Girafa#22 {açaí}", "ana@padaria.test"
    address = world._database_url.replace("+psycopg", "", 1)
    with psycopg.connect(address, autocommit=True) as db:
        db.execute("create table planted (box bytea, words text, state jsonb)")
        db.execute("insert into planted values (%s, %s, %s)", (secret.encode(), secret, f'{{"a": "{secret}"}}'))
        found = traces({"dump": world.dump()}, secret, user)
        db.execute("drop table planted")
        gone = traces({"dump": world.dump()}, secret, user)
    assert {"plain in dump", "hexadecimal in dump"} <= set(found)
    assert gone == []


@pytest.mark.parametrize("form", disguises("", ""))
def test_a_password_in_any_disguise_would_be_found(form):
    secret, user = "Girafa#22 {açaí}", "ana@padaria.test"
    written = {"a log": f"... {disguises(secret, user)[form].swapcase()} ..."}
    assert f"{form} in a log" in traces(written, secret, user)
    assert traces({"a log": "... nothing ..."}, secret, user) == []


def test_a_restart_between_any_two_messages_changes_nothing(postgres, database_url, mail_servers, browser, tmp_path):
    hows = itertools.cycle([signal.SIGKILL, signal.SIGTERM])
    restarts = []
    with World(tmp_path, postgres, database_url, mail_servers) as world:

        def restart():
            restarts.append(next(hows))
            world.restart(restarts[-1])

        calm, disturbed = member(world, "pt"), member(world, "pt")
        undisturbed = story(world, browser, calm)
        assert alike(story(world, browser, disturbed, restart), disturbed) == alike(undisturbed, calm)
        assert arrived(world, disturbed) == (disturbed.name, disturbed.address, disturbed.recipient, disturbed.text)
        # Once for each message but the three that only announce the next one, and once on each of the two pages.
        assert len(restarts) == len(undisturbed) - 3 + 2
        assert [box["state"] for box in world.command("mailbox", "list", AGENCIES["pt"])] == ["works", "works"]
        assert world.command("dead-letters", "list") == []
        assert world.complaints() == []


def alike(messages, who):
    """What was said, without what differs from person to person."""
    own = {who.address: "(address)", who.recipient: "(recipient)"}
    masked = [re.sub(r"/s/\S+", "/s/(token)", body) for body in messages]
    return [re.sub("|".join(map(re.escape, own)), lambda found: own[found[0]], body) for body in masked]
