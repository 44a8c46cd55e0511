"""Signing in at a provider, from an invitation to a mail that arrived: real servers, processes and a real browser.

The provider is `tests/oidc.py`, in the place of Microsoft; Postfix and Dovecot ask it about each token (XOAUTH2).
"""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import psycopg
import pytest
from playwright.sync_api import expect

from bot.grants import ELSEWHERE
from flows.speech import sentence
from flows.words import LANGUAGES
from tests.browser import PATIENCE
from tests.faulty_smtp import FaultySMTP
from tests.graph_server import SENT, GraphServer
from tests.mailservers import started_mail_servers
from tests.oidc import GRAPH_SCOPE
from tests.world import AGENCIES, World, traces

pytestmark = [pytest.mark.world, pytest.mark.timeout(300)]

DOMAIN, SWITCHED_OFF, BARRED = "escritorio.test", "desligado.test", "soentrar.test"
# learn.microsoft.com/exchange/clients-and-mobile-in-exchange-online/authenticated-client-smtp-submission
NO_SMTP_AUTH = (
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. "
    "Visit https://aka.ms/smtp_auth_disabled for more information."
)
OFFER = "250-mail.agencia.test\r\n250-SIZE 20000000\r\n250 AUTH XOAUTH2"
NUMBERS = {"en": "+1555020", "pt": "+5511977", "es": "+3461000"}
WORDS = {
    "en": ("Ana Smith", "Your viewing on Friday", "Dear Bruno,\n\nsee you on Friday.\n.\nAna"),
    "pt": ("Ana Conceição", "Visita na sexta ✓", "Olá Bruno,\n\naté sexta.\n.\nAna"),
    "es": ("Ana Núñez", "¿La visita del viernes?", "Hola Bruno:\n\n¡hasta el viernes!\n.\nAna"),
}
KINDS = {"code", "code_verifier", "client_secret", "access_token", "refresh_token", "id_token"}
SIGNS = "abcdefghijklmnopqrstuvwxyz"
people = itertools.count()


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who is invited, and the mail that they will write."""

    language: str
    number: str
    name: str
    address: str
    recipient: str
    subject: str
    text: str


def row(id_, domain, server, imap=(), policy=()):
    """A provider where people sign in at Microsoft."""
    return {
        "id": id_,
        "family": "microsoft",
        "name": "Escritório Mail",
        "domains": [domain],
        "servers": [server],
        "imap": list(imap),
        "sent_copy": "auto",
        "sign_in": "microsoft",
        "checked": datetime.now(UTC).date(),
        **({"policy": list(policy)} if policy else {}),
    }


@pytest.fixture(scope="module")
def servers(session_oidc):
    """They ask the provider about each token, and file a copy of what is sent, as Microsoft does."""
    with started_mail_servers(files_copies=True, introspection_url=session_oidc.introspection_url) as started:
        yield started


@pytest.fixture(scope="module")
def graph(session_oidc):
    with GraphServer(session_oidc) as started:
        yield started


@pytest.fixture(scope="module")
def switched_off(servers):
    """The mail server of an organisation that lets no other program send."""
    with FaultySMTP(servers.tls(), "tls", ehlo_tls=OFFER, auth=NO_SMTP_AUTH) as started:
        yield started


@pytest.fixture(scope="module")
def world(postgres, test_database, servers, switched_off, graph, session_oidc, tmp_path_factory):
    url = test_database.fresh()
    made = World(tmp_path_factory.mktemp("world"), postgres, url, servers)
    app = session_oidc.register(f"{made.url}/oauth/microsoft/callback")
    made.more = {
        "MICROSOFT_CLIENT_ID": app.client_id,
        "MICROSOFT_CLIENT_SECRET": app.client_secret,
        "MICROSOFT_AUTHORITY": session_oidc.authority,
        "GRAPH_URL": graph.url,
        "SMTP_ALLOW_PORTS": f"{servers.smtps_port} {servers.submission_port} {switched_off.port} {graph.port}",
        "LANE_MAIL": "1",  # so that two mails at once are two processes' work
    }
    submission = {"host": servers.host, "port": servers.submission_port, "security": "starttls"}
    imap = {"host": servers.host, "port": servers.imaps_port, "security": "tls"}
    off = {"host": servers.host, "port": switched_off.port, "security": "tls"}
    only = {"demand": "oauth_only", "admin_may_allow": "password"}
    made.rows = [
        row("escritorio", DOMAIN, submission, [imap]),
        row("soentrar", BARRED, submission, [imap], [only]),
        row("desligado", SWITCHED_OFF, off, [], [only]),
    ]
    with made as started:
        started.app = app
        yield started
    test_database.drop(url)


@pytest.fixture(autouse=True)
def anywhere(world):
    """All people come from one network address here: what one of them looks at counts for nobody else."""
    asked_of(world, "delete from limit_hit returning key")


def member(world, language, domain=DOMAIN):
    n = next(people)
    name, subject, text = WORDS[language]
    made = Member(
        language=language,
        number=f"{NUMBERS[language]}{n:04}",
        name=name,
        address=f"ana.{SIGNS[n]}@{domain}",
        recipient=f"bruno.{SIGNS[n]}@{DOMAIN}",
        subject=subject,
        text=text,
    )
    world.mail.add_user(made.address, "a password that nobody uses")
    return made


# --- what a person does -----------------------------------------------------------------------------------------------


def offered(world, who):
    """Invited, and asked for their address: the one message with the link is there."""
    phone = world.phone(who.number, who.language)
    phone.say(world.invitation(who.language, who.name).text)
    phone.hears("talk.intro", "welcome.joined", "mailbox.address")
    phone.say(who.address)
    asked = phone.hears("sign_in.ask.microsoft")
    assert who.address in asked
    assert urlsplit(world.more["MICROSOFT_AUTHORITY"]).netloc in asked  # the page that they are to look for
    return phone


def title(page, name, language):
    return expect(page.get_by_role("heading", level=1)).to_have_text(
        sentence(name, language, provider="Microsoft"), timeout=PATIENCE
    )


def leaves(page, who, link):
    """From the link to the provider's own page."""
    page.goto(link)
    title(page, "sign_in_page.title", who.language)
    page.get_by_role("button", name=sentence("sign_in_page.go", who.language, provider="Microsoft")).click()


def signs_in(world, browser, phone, who, *, as_="", answer="Accept", ends="done"):
    """Our page, the provider's two, and ours again; then back in the browser, where nothing is left."""
    with world.browse(browser, who.language) as page:
        leaves(page, who, phone.link())
        field = page.get_by_label("E-mail")
        expect(field).to_have_value(who.address)
        field.fill(as_ or who.address)
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name=answer).click()
        title(page, f"sign_in_page.{ends}.title", who.language)
        assert page.url.startswith(f"{world.url}/oauth/done/")
        words = page.get_by_role("main").inner_text()
        goes_back(page, phone.link(), who)
    return words


def goes_back(page, link, who):
    """Step by step to where it began: over the provider's pages, which are over as well, to a link that is closed."""
    for _ in range(4):
        page.go_back()
        if page.url == link:
            break
    assert page.url == link
    title(page, "page.closed.title", who.language)


def connects(world, browser, phone, who, *, card):
    signs_in(world, browser, phone, who)
    phone.hears("mailbox.testing")
    assert who.address in phone.hears("mailbox.works", "proof.accepted", "sign_in.look_yourself", card)


def works(world, browser, who):
    """A mailbox that works, and somebody to write to."""
    world.mail.add_user(who.recipient, "bruno's own")
    phone = offered(world, who)
    connects(world, browser, phone, who, card="card.member")
    phone.tap("done")
    phone.hears("card.well_done", "menu.with_mailbox")
    return phone


def writes(phone, who, subject):
    phone.tap("write")
    phone.hears("compose.to")
    phone.say(who.recipient)
    phone.hears("compose.subject")
    phone.say(subject)
    phone.hears("compose.text")
    phone.say(who.text)
    preview = phone.hears("compose.preview")
    assert all(shown in preview for shown in (who.name, who.address, who.recipient, subject))
    phone.tap("send")
    phone.hears("compose.sending")


def subjects(mails):
    return [mail["Subject"] for mail in mails]


def renewals(oidc):
    """How often the provider was asked for a fresh token."""
    return sum(one.form.get("grant_type") == "refresh_token" for one in oidc.asked)


def revoke(world, oidc):
    """Take back at the provider what was granted last."""
    oidc.revoke(refresh_tokens(oidc)[-1], client=world.app)


def refresh_tokens(oidc):
    """All that were handed out, the latest last."""
    return [token for name, token in oidc.handed_out if name == "refresh_token"]


def access_tokens(oidc):
    return [token for name, token in oidc.handed_out if name == "access_token"]


def asked_of(world, query, *values):
    """What the database says."""
    with psycopg.connect(world._database_url.replace("+psycopg", "", 1), autocommit=True) as db:
        return db.execute(query, values).fetchall()


def outcomes(world):
    return [outcome for (outcome,) in asked_of(world, "select outcome from promise where state = 'todo'")]


def boxes(world, who):
    listed = world.command("mailbox", "list", AGENCIES[who.language])
    return [box for box in listed if box["address"] == who.address]


def runs_out(world, oidc, who, *, ours):
    """The access token ends: `ours`, as we know it; else only the mail server learns it, from the provider's clock."""
    if not ours:
        oidc.move_clock(3601)
        return
    mine = "secret_id = (select secret_id from mailbox where address = %s)"
    ended = f"update oauth_grant set access_until = now() where {mine} returning 1"
    assert asked_of(world, ended, who.address) == [(1,)]


def granted(world, oidc):
    """Everything that may be found nowhere, by what it is; the provider saw it come and go."""
    forms = [one.form for one in oidc.asked if one.endpoint == "token"]
    names = ("code", "code_verifier", "refresh_token", "client_secret")
    found = {(name, form[name]) for name in names for form in forms if name in form}
    return found | set(oidc.handed_out)


def nothing_is_left(world, oidc, who):
    """Not even in a browser, except for the code: it comes in an address, for a moment."""
    secrets = granted(world, oidc)
    assert {kind for kind, _ in secrets} == KINDS
    written = world.everything_written()
    for kind, secret in sorted(secrets):
        if kind == "code":
            places = {where: text for where, text in written.items() if where != "pages"}
            assert secret in written["pages"], "the search can see it"
        else:
            places = written
        assert traces(places, secret, who.address) == [], kind
    for where in ("dump", "pages", "requests to Twilio", "records at Twilio"):
        assert who.address in written[where]


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_from_an_invitation_over_a_sign_in_to_mails_that_arrive_and_no_token_is_left_anywhere(
    world, browser, oidc, language
):
    who = member(world, language)
    phone = works(world, browser, who)
    assert renewals(oidc) == 0

    writes(phone, who, who.subject)
    assert who.recipient in phone.hears("news.mail_accepted", "menu.with_mailbox")
    arrived = world.mail.wait_for_mail(who.recipient, who.subject)
    assert arrived.get_content().replace("\r\n", "\n").rstrip("\n") == who.text
    assert renewals(oidc) == 0

    runs_out(world, oidc, who, ours=language != "pt")
    writes(phone, who, "2")
    phone.hears("news.mail_accepted", "menu.with_mailbox")
    world.mail.wait_for_mail(who.recipient, "2")
    assert renewals(oidc) == 1
    oidc.move_clock(-oidc.ahead)

    revoke(world, oidc)
    writes(phone, who, "3")
    words = phone.hears("news.mail_refused", "menu.with_mailbox")
    assert sentence("sign_in.cause.wrong_credentials", language) in words
    phone.tap("mailbox.sign_in.microsoft")
    phone.hears("sign_in.ask.microsoft")
    connects(world, browser, phone, who, card="card.member")
    phone.tap("done")
    phone.hears("card.well_done", "menu.with_mailbox")
    writes(phone, who, "4")
    phone.hears("news.mail_accepted", "menu.with_mailbox")
    world.mail.wait_for_mail(who.recipient, "4")

    world.settle()
    assert phone.nothing_more()
    proof = sentence("proof.subject", language)
    assert subjects(world.mail.folder(who.address, "Sent")) == [proof, who.subject, "2", proof, "4"]
    assert subjects(world.mail.inbox(who.recipient)) == [who.subject, "2", "4"]
    assert world.complaints() == []
    nothing_is_left(world, oidc, who)


@pytest.mark.parametrize("language", LANGUAGES)
def test_where_an_organisation_lets_no_program_send_mail_leaves_through_graph(
    world, browser, oidc, graph, switched_off, language
):
    who = member(world, language, SWITCHED_OFF)
    phone = offered(world, who)
    signs_in(world, browser, phone, who)
    phone.hears("mailbox.testing")
    phone.hears(
        "sign_in.cause.smtp_auth_disabled_tenant_or_mailbox", "sign_in.i_keep_trying", "sign_in.other_way",
        "mailbox.stuck",
    )  # fmt: skip
    assert switched_off.auths
    assert all(auth.startswith("AUTH XOAUTH2") for auth in switched_off.auths)
    phone.tap("graph")
    phone.hears("sign_in.one_more", "sign_in.ask.microsoft")
    connects(world, browser, phone, who, card="card.not_in_ally")
    assert GRAPH_SCOPE in oidc.introspect(access_tokens(oidc)[-1])["scope"]
    phone.tap("menu")
    phone.hears("menu.with_mailbox")
    writes(phone, who, who.subject)
    phone.hears("news.mail_accepted", "menu.with_mailbox")
    world.settle()
    assert phone.nothing_more()
    proof = sentence("proof.subject", language)
    assert subjects(graph.folder(who.recipient)) == [who.subject]
    assert subjects(graph.folder(who.address, SENT)) == [proof, who.subject]
    assert switched_off.messages == []
    assert [box["state"] for box in boxes(world, who)] == ["works"]
    assert world.complaints() == []
    nothing_is_left(world, oidc, who)


def test_who_presses_cancel_gets_a_new_link_and_nothing_is_kept(world, browser, oidc):
    who = member(world, "pt")
    phone = offered(world, who)
    signs_in(world, browser, phone, who, answer="Cancel", ends="denied")
    phone.hears("sign_in.denied", "sign_in.ask.microsoft")
    assert oidc.count("token") == 0
    connects(world, browser, phone, who, card="card.member")


def test_who_takes_another_account_is_told_which_and_it_is_given_back(world, browser, oidc):
    who, other = member(world, "en", BARRED), member(world, "en")
    phone = offered(world, who)
    words = signs_in(world, browser, phone, who, as_=other.address, ends="other_account")
    assert other.address in words
    assert who.address in words
    assert other.address in phone.hears("sign_in.other_account", "sign_in.ask.microsoft")
    assert oidc.introspect(access_tokens(oidc)[-1]) == {"active": False}
    connects(world, browser, phone, who, card="card.not_in_ally")


def test_where_an_administrator_has_to_allow_it_the_words_to_forward_are_there(world, browser, oidc):
    who = member(world, "es", BARRED)
    phone = offered(world, who)
    refused = "AADSTS90094: The grant requires administrator permission."
    oidc.settings(refuse={"error": "access_denied", "error_description": refused})
    signs_in(world, browser, phone, who, ends="consent")
    phone.hears("sign_in.consent", "mailbox.stuck")
    phone.tap("forward")
    phone.hears("forward.sign_in_allowed", "mailbox.stuck")
    oidc.settings(refuse=None)
    phone.tap("again")
    phone.hears("sign_in.ask.microsoft")
    connects(world, browser, phone, who, card="card.not_in_ally")


def test_a_provider_that_goes_away_in_the_middle_costs_a_new_sign_in(world, browser, oidc):
    who = member(world, "pt", BARRED)
    phone = offered(world, who)
    oidc.fail("token", "lose")
    signs_in(world, browser, phone, who, ends="away")
    assert oidc.handed_out
    phone.hears("sign_in.away", "mailbox.stuck")
    oidc.heal()
    phone.tap("again")
    phone.hears("sign_in.ask.microsoft")
    connects(world, browser, phone, who, card="card.not_in_ally")


def test_two_workers_that_need_a_fresh_token_at_once_ask_for_one(world, browser, oidc):
    who = member(world, "en")
    phone = works(world, browser, who)
    runs_out(world, oidc, who, ours=True)
    oidc.fail("token", "hold")
    with world.another_worker():
        writes(phone, who, "1")
        world.wait(lambda: renewals(oidc) == 1, "the one who asks")
        phone.say("menu")
        phone.hears("menu.with_mailbox")
        writes(phone, who, "2")
        world.wait(lambda: ELSEWHERE in outcomes(world), "the other one to wait")
        oidc.heal()
        for subject in ("1", "2"):
            world.mail.wait_for_mail(who.recipient, subject)
        world.settle()
    phone.hears("news.mail_accepted", "menu.with_mailbox")
    phone.hears("news.mail_accepted", "menu.with_mailbox")
    assert phone.nothing_more()
    assert renewals(oidc) == 1
    assert world.complaints() == []


def test_a_worker_that_dies_between_the_answer_and_our_commit_costs_one_kind_new_sign_in(world, browser, oidc):
    who = member(world, "pt")
    phone = works(world, browser, who)
    runs_out(world, oidc, who, ours=True)
    journals = {"CHAOS_JOURNALS": str(world.home), "CHAOS_POINT": "before grants._keep_renewed 1"}
    with world.without("worker"), world.another_worker("tests.chaos.inside", **journals) as doomed:
        writes(phone, who, "1")
        world.wait(lambda: doomed.poll() is not None, "its end")
    words = phone.hears("news.mail_refused", "menu.with_mailbox")
    assert sentence("sign_in.cause.wrong_credentials", "pt") in words
    phone.tap("mailbox.sign_in.microsoft")
    phone.hears("sign_in.ask.microsoft")
    connects(world, browser, phone, who, card="card.member")
    world.settle()
    assert phone.nothing_more()
    assert world.mail.inbox(who.recipient) == []
    assert world.complaints() == []
    nothing_is_left(world, oidc, who)
