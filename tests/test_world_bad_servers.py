"""What a person reads when their mail server does what servers should not do, and what such a server learns."""

import base64
import datetime as dt
import itertools
import re
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
import trustme

from bot.app import create_worker, join
from bot.channels import terminal
from bot.channels.terminal import Terminal
from bot.cli import agencies
from bot.settings import load
from bot.store import promises
from bot.vault import Secret, new_key
from flows.words import LANGUAGES
from tests.dns_server import DnsServer
from tests.faulty_smtp import (
    CLOSE,
    IMPATIENT,
    QUICK,
    RESET,
    SILENT,
    FaultySMTP,
    self_signed_context,
    server_context,
)
from tests.world import says

HOST = "mail.agencia.test"
ADDRESS = "ana@agencia.test"
SECRET = "Onça-pintada {11} ipê"
ANSWER_SECONDS = 20.0
# Nothing here speaks IMAP: neither the arrival of the mail to oneself nor its copy can be seen.
WORKS = ("mailbox.works", "proof.accepted", "copy.no_imap", "card.member")


@dataclass(frozen=True, slots=True)
class Tls:
    """An authority that the assistant trusts, and a folder for certificates."""

    authority: trustme.CA
    folder: object

    def good(self):
        return server_context(self.authority, HOST)

    def expired(self):
        past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        return server_context(self.authority, HOST, not_before=past - dt.timedelta(days=9), not_after=past)


class Chat:
    """One person at a terminal, in a language of the agency's; every message has to be expected, in order."""

    def __init__(self, parts, who, language, shown):
        self._parts = parts
        self._who = who
        self._language = language
        self._shown = shown
        self._numbers = itertools.count()
        self._heard = 0

    def say(self, line):
        assert self._parts.turns.receive(terminal.read(line, self._who, next(self._numbers)))

    def tap(self, value):
        """Tap the choice with this value on the message heard last."""
        ids = [button.id for button in self._messages()[self._heard - 1].buttons if button.id.endswith(f":{value}")]
        assert len(ids) == 1
        self.say(f"[{ids[0]}]")

    def hears(self, *names):
        """The next message, which is made of exactly these sentences."""
        with self._shown:
            come = self._shown.wait_for(lambda: len(self._messages()) > self._heard, ANSWER_SECONDS)
        assert come, f"waited in vain for {names}"
        body = self._messages()[self._heard].body
        self._heard += 1
        assert says(body, names, self._language), f"{names} was expected, not: {body}"
        return body

    def waits(self):
        """Whether nothing came that was not heard yet."""
        return len(self._messages()) == self._heard

    def types_on_the_page(self, secret=SECRET):
        token = re.search(r"/s/(\S+)", self._messages()[self._heard - 1].body)[1]
        assert self._parts.links.submit(token, Secret(secret), "127.0.0.1") == "taken"

    def sets_up(self, port, host=HOST):
        """Everything from the first word to the password that was typed."""
        self.joins()
        self.say(ADDRESS)
        self.hears("mailbox.host")
        self.tells_the_server(port, host)

    def joins(self):
        invitation = agencies.invite(self._parts, self._language, "member", "Ana", 1)
        self.say(invitation["code"])
        self.hears("talk.intro", "welcome.joined", "mailbox.address")

    def tells_the_server(self, port, host=HOST):
        self.say(host)
        self.hears("mailbox.port")
        self.say(str(port))
        self.hears("mailbox.secret")
        self.types_on_the_page()
        self.hears("mailbox.testing")

    def _messages(self):
        return self._shown.by[self._who]


class Shown(threading.Condition):
    """What the terminals show, by person."""

    def __init__(self):
        super().__init__()
        self.by = {}

    def add(self, to, message):
        with self:
            self.by.setdefault(to.address, []).append(message)
            self.notify_all()


class House:
    """The product in this process, with people at terminals and an agency of each language."""

    def __init__(self, parts, shown):
        self._parts = parts
        self._shown = shown
        self._people = itertools.count(1)

    def chat(self, language):
        who = f"person {next(self._people)}"
        self._shown.by[who] = []
        return Chat(self._parts, who, language, self._shown)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def tls(authority, tmp_path):
    return Tls(authority, tmp_path)


@pytest.fixture
def opened(database_url, authority, tmp_path):
    """`with opened(port, ...) as house`: which may reach these ports of this machine."""
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)

    @contextmanager
    def house(*ports, timeouts=QUICK, **settings):
        shown = Shown()
        with DnsServer({HOST: ["127.0.0.1"]}) as dns:
            parts = joined(
                database_url,
                Terminal(shown.add),
                timeouts,
                DATA_DIR=str(tmp_path),
                DNS_SERVER=f"127.0.0.1:{dns.address[1]}",
                DISCOVERY="tables",  # the server is what is bad here, and named by its person
                SMTP_ALLOW_PORTS=" ".join(map(str, ports)),
                SSL_CERT_FILE=str(file),
                **settings,
            )
            with working(parts):
                yield House(parts, shown)
            parts.close()

    return house


def joined(database_url, channel, timeouts, **settings):
    own = {"PUBLIC_URL": "http://127.0.0.1:1", "SECRET_KEYS": new_key(), "SMTP_ALLOW_NETWORKS": "127.0.0.0/8"}
    parts = join(load({**own, **settings}), database_url, channels={"terminal": channel})
    for language in LANGUAGES:
        agencies.add_agency(parts, language, language, "UTC", "")
    network = replace(parts.tools.network, timeouts=timeouts)
    return replace(parts, tools=replace(parts.tools, network=network))


@contextmanager
def working(parts):
    """A worker, woken when it is to stop."""
    worker = create_worker(parts)
    thread = threading.Thread(target=worker.run, name="worker")
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        with parts.engine.begin() as db:
            promises.wake(db)
        thread.join(30)
        assert not thread.is_alive()


# --- servers that never get the password ------------------------------------------------------------------------------


class Nobody:
    """A port at which no mail server speaks, so that nothing can be said there."""

    sign_ins = ()
    commands = ()

    def __init__(self, port):
        self.port = port


@contextmanager
def refuses(_tls):
    """Taken by us, listened to by nobody."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield Nobody(taken.getsockname()[1])


@contextmanager
def does_not_answer(_tls):
    """Its queue is full: the system drops what knocks, as a firewall does (listen(2))."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first, socket.socket() as second:
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        yield Nobody(full.getsockname()[1])


def says_nothing(_tls):
    return FaultySMTP(None, "plain", greeting=SILENT)


def hangs_behind_tls(tls):
    return FaultySMTP(tls.good(), greeting=SILENT)


def drips(_tls):
    return FaultySMTP(None, "plain", greeting=lambda peer: peer.drip(b"2", every=0.01))


def drips_behind_tls(tls):
    return FaultySMTP(tls.good(), greeting=lambda peer: peer.drip(b"2", every=0.01))


def closes_at_once(tls):
    return FaultySMTP(tls.good(), greeting=CLOSE)


def resets_after_ehlo(tls):
    return FaultySMTP(tls.good(), ehlo_tls=RESET)


def belongs_to_another(tls):
    return FaultySMTP(server_context(tls.authority, "mail.other.test"))


def has_expired(tls):
    return FaultySMTP(tls.expired())


def signed_itself(tls):
    return FaultySMTP(self_signed_context(HOST, tls.folder))


def is_signed_by_a_stranger(_tls):
    return FaultySMTP(server_context(trustme.CA(), HOST))


def has_expired_behind_starttls(tls):
    return FaultySMTP(tls.expired(), "starttls")


def offers_no_starttls(_tls):
    return FaultySMTP(None, "plain", ehlo="250-mail\r\n250 AUTH PLAIN LOGIN")


def takes_no_password(tls):
    return FaultySMTP(tls.good(), ehlo_tls="250-mail\r\n250 AUTH XOAUTH2")


# Before a mail server has greeted, a person is told only that none answered: see docs/security.md.
NONE = "cause.connection_refused"
WAITS = "mailbox.i_keep_trying"
SLOW = {
    does_not_answer: (NONE,),
    says_nothing: (NONE,),
    hangs_behind_tls: (NONE,),
    drips: (NONE,),
    drips_behind_tls: (NONE,),
}
BAD = {
    refuses: (NONE,),
    closes_at_once: (NONE,),
    resets_after_ehlo: ("cause.connection_dropped", WAITS),
    belongs_to_another: ("cause.tls_hostname_mismatch",),
    has_expired: ("detail.expired",),
    signed_itself: ("detail.self_signed",),
    is_signed_by_a_stranger: ("detail.untrusted",),
    has_expired_behind_starttls: ("detail.expired",),
    offers_no_starttls: ("cause.tls_wrong_mode_for_port",),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("server", BAD, ids=lambda server: server.__name__)
def test_a_bad_server_is_told_in_a_sentence_and_never_gets_the_password(opened, tls, server, language):
    with server(tls) as bad, opened(bad.port) as house:
        ana = house.chat(language)
        ana.sets_up(bad.port)
        ana.hears(*BAD[server], "mailbox.stuck")
    assert never_got_it(bad)


@pytest.mark.parametrize(
    ("server", "language"),
    [*zip(SLOW, itertools.cycle(LANGUAGES), strict=False)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_slow_server_is_given_up_and_never_gets_the_password(opened, tls, server, language):
    with server(tls) as bad, opened(bad.port, timeouts=replace(IMPATIENT, connect=0.8)) as house:
        ana = house.chat(language)
        ana.sets_up(bad.port)
        ana.hears(*SLOW[server], "mailbox.stuck")
    assert never_got_it(bad)


def never_got_it(server):
    blob = base64.b64encode(f"\0{ADDRESS}\0{SECRET}".encode()).decode()
    return not server.sign_ins and not any(form in line for line in server.commands for form in (SECRET, blob, "AUTH"))


def test_the_record_of_a_server_shows_a_password_that_came_in(opened, tls):
    with FaultySMTP(tls.good()) as good, opened(good.port) as house:
        ana = house.chat("en")
        ana.sets_up(good.port)
        ana.hears(*WORKS)
    assert good.sign_ins == [(ADDRESS, SECRET)] * 2  # the test itself, and the mail to oneself
    assert not never_got_it(good)


def test_a_provider_that_takes_no_password_ends_the_set_up(opened, tls):
    with takes_no_password(tls) as server, opened(server.port) as house:
        ana = house.chat("es")
        ana.sets_up(server.port)
        ana.hears("cause.oauth_required_basic_auth_disabled", "talk.offer_person", "menu.without_mailbox")
    assert never_got_it(server)


# --- nothing is lost --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_server_name_that_does_not_exist_is_corrected_in_the_chat(opened, tls, language):
    with FaultySMTP(tls.good()) as server, opened(server.port) as house:
        ana = house.chat(language)
        ana.sets_up(server.port, host="mial.agencia.test")
        ana.hears("cause.dns_host_not_found", "mailbox.stuck")
        ana.tap("server")
        ana.hears("mailbox.host")
        ana.tells_the_server(server.port)
        ana.hears(*WORKS)
    assert len(server.sign_ins) == 2


@pytest.mark.parametrize("reply", [CLOSE, RESET, "454 4.7.0 Temporary authentication failure"])
def test_after_a_break_at_the_password_one_tap_tries_again_with_the_same_one(opened, tls, reply):
    told = "server_temporary_failure" if isinstance(reply, str) else "connection_dropped"
    with FaultySMTP(tls.good(), auth=reply) as server, opened(server.port) as house:
        ana = house.chat("pt")
        ana.sets_up(server.port)
        ana.hears(f"cause.{told}", WAITS, "mailbox.stuck")
        server._replies.clear()
        ana.tap("retry")
        ana.hears("mailbox.testing")
        ana.hears(*WORKS)
    assert server.sign_ins == [(ADDRESS, SECRET)] * 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_tls_at_the_wrong_port_is_repaired_and_told(opened, tls, language):
    with FaultySMTP(tls.good(), "starttls") as server, opened(server.port) as house:
        ana = house.chat(language)
        ana.sets_up(server.port)
        ana.hears(WORKS[0], "mailbox.repaired", *WORKS[1:])
    assert server.sign_ins == [(ADDRESS, SECRET)] * 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_ports_that_cannot_be_are_asked_for_again(opened, language):
    wrong = {"0": "unusual", "25": "unusual", "99999": "unusual", "-1": "no_number", "abc": "no_number"}
    with opened() as house:
        ana = house.chat(language)
        ana.joins()
        ana.say(ADDRESS)
        ana.hears("mailbox.host")
        ana.say(HOST)
        ana.hears("mailbox.port")
        for count, (typed, problem) in enumerate(wrong.items(), start=1):
            ana.say(typed)
            ana.hears(f"mailbox.port_{problem}", *(["talk.offer_person"] if count > 2 else []), "mailbox.port")


def test_nobody_else_waits_for_a_server_that_hangs(opened, tls):
    awake = threading.Event()

    def greets_late(peer):
        awake.wait(ANSWER_SECONDS)
        peer.say(f"220 {HOST} ESMTP")

    one_at_a_time = {"LANE_SPEAK": "1", "LANE_WORK": "1"}
    with FaultySMTP(tls.good(), greeting=greets_late) as server, opened(server.port, **one_at_a_time) as house:
        ana, bruno = house.chat("pt"), house.chat("es")
        bruno.joins()
        ana.sets_up(server.port)
        bruno.say("bruno@")
        bruno.hears("mailbox.no_address", "mailbox.address")
        assert ana.waits()
        awake.set()
        ana.hears(*WORKS)
