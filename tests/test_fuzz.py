"""Whatever comes in from outside, at all doors: an answer, never a crash. A short, fixed portion of `make fuzz`.

`FUZZ=examples` takes as many examples of every target, by chance (see `tests.fuzz`).
"""

import base64
import contextlib
import ipaddress
import itertools
import json
import os
import re
import socket
import subprocess
import sys
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bot.__main__ as command_line
from bot import jsonl
from bot.app import create_app
from bot.channels.slack.style import SlackStyle
from bot.channels.whatsapp import sign
from bot.channels.whatsapp.style import WhatsAppStyle
from bot.mail.knowledge.explain import causes, explain_text
from bot.mail.wire import autoconfig, fetch, guard
from bot.mail.wire.addresses import BadAddress
from bot.mail.wire.send import BadMessage, compose, for_wire
from bot.store import access, mailboxes, tables
from bot.store import people as people_store
from flows import saved
from flows.conversation import Envelope
from tests.botkit import ADDRESS, BIA, MONDAY, Kit, table_of_providers
from tests.botkit import ANA as ANA_HERE
from tests.dns_server import DnsServer
from tests.secret_links import MemoryLinks, make_app, view
from tests.slackkit import ANA, TEAM, SlackKit
from tests.test_pages import AUTH, PUBLIC, SETTINGS, message
from tests.test_secret_page import proof
from tests.test_slack_bad_input import posted, wrapped
from tests.test_slack_hostile import QUESTIONS, VALUES, filled
from tests.test_slack_hostile import WORDS as SPOKEN

ROOT = Path(__file__).parent.parent
MANY = int(os.environ.get("FUZZ", "0"))
SHAPES = sorted((ROOT / "tests" / "saved").glob("v*/*.json"))


def portion(examples):
    """So many examples, always the same, or as many as `make fuzz` wants."""
    quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    return settings(
        max_examples=MANY or examples, derandomize=not MANY, deadline=None, suppress_health_check=quiet, database=None
    )


NASTY = st.sampled_from(
    [
        "\r\nBcc: eve@evil.test",
        "\n.\r\n",
        "\x00",
        "\u202e",
        "<!channel>",
        "*_~`",
        "<script>",
        "%0d%0a",
        "{}",
        "{{7*7}}",
        "whatsapp:+",
        "é" * 500,
        "\ud83d",
        "\U0001f44d",
        "535 5.7.8",
        "' or 1=1 --",
        "../../etc/passwd",
        "a" * 1000,
    ]
)
WORDS = st.lists(st.text(max_size=40) | NASTY, max_size=6).map("".join)
PRINTED = WORDS.map(lambda words: words.encode("utf-8", "replace").decode())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | PRINTED,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PRINTED, inner, max_size=4),
    max_leaves=12,
)


def twisted(data, told):
    """The same with one part of it replaced by anything."""
    told = json.loads(json.dumps(told))
    place = told
    while isinstance(place, dict) and place:
        name = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[name], dict) or data.draw(st.booleans()):
            place[name] = data.draw(JSON)
            break
        place = place[name]
    return told


# --- knowledge, without a socket --------------------------------------------------------------------------------------


@portion(60)
@given(WORDS, PRINTED, PRINTED, PRINTED)
def test_any_text_is_explained_by_one_of_our_causes(text, provider, host, stage):
    assert explain_text(text, provider=provider, host=host, stage=stage).cause in causes()


TAGS = st.sampled_from(
    [
        "clientConfig",
        "emailProvider",
        'outgoingServer type="smtp"',
        'incomingServer type="imap"',
        "hostname",
        "port",
        "socketType",
        "username",
        "authentication",
        "x",
    ]
)
INSIDE = st.sampled_from(["smtp.x.test", "465", "SSL", "%EMAILADDRESS%", "OAuth2", "&amp;", "&#0;", "&x;", "é", "-1"])
XML = st.recursive(
    INSIDE,
    lambda inner: st.tuples(TAGS, st.lists(inner, max_size=5).map("".join)).map(
        lambda one: f"<{one[0]}>{one[1]}</{one[0].split()[0]}>"
    ),
    max_leaves=20,
)


@portion(60)
@given(
    st.binary(max_size=400)
    | XML.map(str.encode)
    | XML.map(lambda inner: f"<clientConfig><emailProvider>{inner}</emailProvider></clientConfig>".encode())
)
def test_any_file_of_a_stranger_names_encrypted_servers_or_is_refused(xml):
    try:
        found = autoconfig.read(xml, "ana@agency.test")
    except autoconfig.BadConfig:
        return
    assert {offer.server.security for offer in (*found.smtp, *found.imap)} <= {"tls", "starttls"}


HEAD = st.lists(
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 301 Moved\r\n",
            b"HTTP/9.9 -1 \r\n",
            b"Location: http://127.0.0.1/\r\n",
            b"\r\n",
            b"Content-Length: -5\r\n",
            b"Content-Length: 99999999999999999999\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"zz\r\n",
            b"Content-Encoding: gzip\r\n",
            b"HTTP/1.1 100 Continue\r\n",
            b"\x00\xff\r\n",
            b"5\r\nabcde\r\n",
            b": \r\n",
            b"a" * 70_000,
        ]
    )
    | st.binary(max_size=30),
    max_size=12,
).map(b"".join)


@portion(60)
@given(HEAD)
def test_any_answer_of_a_strangers_web_server_is_a_body_a_way_or_a_refusal(answer):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        answer = answer[: theirs.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 4]
        theirs.send(answer) if answer else None
        theirs.shutdown(socket.SHUT_WR)
        try:
            body, way = fetch._exchange(ours, fetch._Place("x.test", "/"), fetch.Deadline(5))
        except (fetch.NotFetched, HTTPException, OSError):  # what `fetch` makes a NotFetched of
            return
    assert len(body) <= fetch.MAX_BODY
    assert way is None or body == b""


RECORDS = st.lists(
    st.tuples(
        st.sampled_from([1, 5, 6, 15, 16, 28, 33, 41, 65_535]),  # A, CNAME, SOA, MX, TXT, AAAA, SRV, OPT, none
        st.sampled_from(
            [
                b"\x7f\x00\x00\x01",
                b"\x08\x08\x08\x08",
                b"\xfe\x80" + b"\x00" * 14,
                b"\x00\x0a\xc0\x0c",
                b"\x00\x0a\x03a\x00b\x00",
                b"\x00\x01\x00\x01\x01\xd1\x05\xff<\r\nx\x00",
                b"\xc0\x0c",
                b"\xff" * 300,
                b"",
            ]
        )
        | st.binary(max_size=40),
    ),
    max_size=5,
)


class HostileNames(DnsServer):
    """A name server that answers as it was told: these records, cut after so many bytes, or anything at all."""

    told = (0, [], 512, None)

    def _serve(self):
        while True:
            asked, client = self._socket.recvfrom(4096)
            if not asked:
                return
            flags, records, length, anything = self.told
            head = asked[:2] + (0x8000 | flags).to_bytes(2) + b"\x00\x01" + len(records).to_bytes(2) + b"\x00" * 4
            question = asked[12 : asked.index(b"\x00", 12) + 5]
            each = (b"\xc0\x0c" + kind.to_bytes(2) + b"\x00\x01\x00\x00\x00\x3c" + len(data).to_bytes(2) + data
                    for kind, data in records)  # fmt: skip
            said = (head + question + b"".join(each))[:length]
            self._socket.sendto(said if anything is None else asked[:2] + anything, client)


@pytest.fixture
def hostile_names():
    with HostileNames({}) as server:
        yield server


@portion(12)
@given(
    st.integers(0, 0x7FFF) | st.sampled_from([0, 0x0380, 0x0383, 0x0200]),
    RECORDS,
    st.sampled_from([512, 30, 12, 45]),
    st.none() | st.binary(max_size=60),
)
def test_any_answer_of_dns_is_a_finding_or_none(hostile_names, flags, records, length, anything):
    hostile_names.told = (flags, records, length, anything)
    careful = guard.Guard(nameserver=hostile_names.address, lifetime=0.05)
    found = []
    for ask in (careful.resolve, careful.exchanges, careful.services):
        with contextlib.suppress(guard.GuardError):
            found.append(ask("agency.example"))
    for one in (each for answer in found for each in answer):
        if isinstance(one, guard.Endpoint):
            assert ipaddress.ip_address(one.address).is_global
        elif one != ".":  # a hint: judged like anything that people type before it is used
            with contextlib.suppress(guard.GuardError):
                assert guard.ascii_host(getattr(one, "host", one)).isascii()


@portion(60)
@given(st.binary(max_size=300) | JSON.map(lambda one: json.dumps(one).encode()))
def test_any_line_of_json_lines_is_a_row_or_says_why_not(line):
    row = jsonl.read(line, "text", ("host",))
    assert row.error or isinstance(row.given["text"], str)


# --- what we have said and saved --------------------------------------------------------------------------------------


def restored(raw):
    try:
        return isinstance(saved.load_envelope(raw), Envelope)
    except saved.Unreadable:
        return True


@portion(60)
@given(st.dictionaries(PRINTED | st.sampled_from(["version", "flow", "state", "asked", "trail"]), JSON, max_size=8))
def test_any_saved_state_is_read_or_unreadable(raw):
    assert restored(raw)


@portion(150)
@given(st.sampled_from(SHAPES), st.data())
def test_a_saved_state_with_anything_changed_in_it_is_read_or_unreadable(path, data):
    raw = twisted(data, json.loads(path.read_text(encoding="utf-8")))
    assert restored(raw)


@portion(60)
@given(WORDS)
def test_no_words_of_a_person_become_marks_of_the_channel(words):
    for style in (SlackStyle(), WhatsAppStyle()):
        for shown in (style.plain(words), style.quote(words)):
            assert "`" not in shown
    for shown in (SlackStyle().plain(words), SlackStyle().code(words), SlackStyle().kept(words)):
        assert "<" not in shown
        assert "@channel" not in shown.lower() or SlackStyle().code(words) == shown


@portion(80)
@given(WORDS, WORDS, WORDS, st.lists(WORDS | st.just("bia@client.test"), max_size=3))
def test_any_mail_is_refused_or_has_the_headers_that_it_should_and_no_others(name, subject, text, to):
    try:
        made = compose(
            sender="ana@agency.test",
            name=name,
            to=to,
            subject=subject,
            text=text,
            date=MONDAY,
            marker="marker-0001",
            bcc=["cleo@client.test"],
        )
    except (BadMessage, BadAddress):
        return
    raw = for_wire(made)
    assert raw.isascii()
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    read = message_from_bytes(raw, policy=default)
    assert sorted(set(read.keys())) == sorted(read.keys())  # each once
    assert "bcc" not in {key.lower() for key in read.keys()}  # noqa: SIM118 - a mail, no mapping
    assert {address.addr_spec for address in read["To"].addresses} == set(to)


# --- the doors --------------------------------------------------------------------------------------------------------


@pytest.fixture
def kit(database_url, tmp_path):
    with Kit(database_url, tmp_path, providers=table_of_providers(tmp_path), **SETTINGS) as made:
        yield made


@pytest.fixture
def client(kit):
    app = create_app(kit.parts)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app.test_client()


FIELDS = st.sampled_from(
    [
        "MessageSid",
        "From",
        "To",
        "Body",
        "WaId",
        "ExternalUserId",
        "ProfileName",
        "ButtonPayload",
        "NumMedia",
        "MediaUrl0",
        "MediaContentType0",
        "Latitude",
        "ReferralBody",
        "ListId",
        "MessageStatus",
        "SmsStatus",
        "ErrorCode",
        "ChannelToAddress",
    ]
)


@portion(25)
@given(
    st.dictionaries(
        FIELDS, PRINTED | st.sampled_from(["whatsapp:+5511999990001", "1", "99999999999", "-1"]), max_size=8
    )
)
def test_any_webhook_that_twilio_signed_is_answered(client, kit, more):
    form = {**message(sid="SM1"), **more}
    for path in ("/whatsapp", "/whatsapp/status"):
        answer = client.post(path, data=form, headers={"X-Twilio-Signature": sign(f"{PUBLIC}{path}", form, AUTH)})
        assert answer.status_code < 500, (path, form)
    kit.clock.time += timedelta(seconds=1)
    assert kit.rows(tables.dead_letter) == []


EVIL = '"><script>alert(1)</script>'
ODD = PRINTED | st.just(EVIL)
METHODS = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"]
KINDS = [
    "application/x-www-form-urlencoded",
    "application/json",
    "text/xml",
    "multipart/form-data; boundary=x",
    "x",
    "",
]


@pytest.fixture
def every_route(database_url, tmp_path):
    """A browser of all pages, and the paths of all routes."""
    apps = {"SLACK_BOT_TOKEN": "", "SLACK_CLIENT_ID": "1.2", "SLACK_CLIENT_SECRET": "hidden"}
    with SlackKit(database_url, tmp_path, providers=table_of_providers(tmp_path), **SETTINGS, **apps) as made:
        made.web.config["PROPAGATE_EXCEPTIONS"] = False
        yield made.web.test_client(), sorted({rule.rule for rule in made.web.url_map.iter_rules()})


SOURCES = map("10.9.{}.{}".format, *zip(*itertools.product(range(256), range(1, 255)), strict=True))


@portion(60)
@given(st.data())
def test_any_request_for_any_route_is_answered_and_shows_nothing_of_it_as_markup(every_route, data):
    client, routes = every_route
    path = re.sub(r"<[^>]+>", lambda _: quote(data.draw(ODD), safe="") or "x", data.draw(st.sampled_from(routes)))
    names = st.sampled_from(["code", "state", "error", "proof", "secret", "challenge", "payload"]) | PRINTED
    fields = st.dictionaries(names, ODD, max_size=3)
    headers = {
        "Content-Type": data.draw(st.sampled_from(KINDS)),
        "Referer": EVIL,
        "User-Agent": EVIL,
        "Accept-Language": data.draw(st.sampled_from(["pt", EVIL, "*;q=x"])),
    }
    body = data.draw(st.binary(max_size=200) | fields.map(lambda form: urlencode(form).encode()))
    answer = client.open(
        path,
        method=data.draw(st.sampled_from(METHODS)),
        query_string=data.draw(fields),
        data=body,
        headers=headers,
        environ_overrides={"REMOTE_ADDR": next(SOURCES)},  # nobody is turned away for asking often
    )
    assert answer.status_code < 500, path
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "<script>alert" not in answer.text


HELLO = [
    b"EHLO x",
    b"HELO",
    b"NOOP",
    b"RSET",
    b"VRFY ana",
    b"STARTTLS",
    b"HELP",
    b"EXPN x",
    b"AUTH LOGIN",
    b"AUTH PLAIN",
]
SAID = st.lists(
    st.sampled_from(
        [
            *HELLO,
            b"MAIL FROM:<ana@agency.test>",
            b"MAIL FROM:<eve@x.test> SIZE=1",
            b"MAIL FROM:<>",
            b"RCPT TO:<bia@client.test>",
            b"RCPT TO:<a@b@c>",
            b"RCPT TO:<bia@client.test>\nDATA",
            b"DATA",
            b"From: ana@agency.test",
            b"From: eve@x.test",
            b"Bcc: x@y.test",
            b"",
            b".",
            b"..",
            b".\r",
            b"\n.\n",
            b"\r.\r",
            b"a" * 998,
            b"a" * 3_000,
            b"\xff\xfe caf\xc3\xa9",
            b"\x00",
        ]
    )
    | st.binary(max_size=40),
    max_size=14,
)
ENDS = b"\r\n.\r\nQUIT\r\n*\r\nQUIT\r\n"


def answers(door, said):
    """All that the door says to this, until it closes the connection."""
    heard = b""
    with contextlib.suppress(OSError), door.connected() as sock:  # it may close before all is said
        sock.sendall(said + ENDS)
        while got := sock.recv(4096):
            heard += got
    return heard


@pytest.mark.usefixtures("no_waits")
def test_whatever_a_guest_says_at_the_door_ends_in_replies_and_sends_nothing_unasked(door_at):
    kit = door_at()
    key = b"AUTH PLAIN " + base64.b64encode(f"\0{ADDRESS}\0{kit.key}".encode())

    @portion(30)
    @given(SAID, st.booleans())
    def guest(said, signed_in):
        before = kit.server.connections
        heard = answers(kit.door, b"\r\n".join([*([b"EHLO x", key] if signed_in else []), *said]))
        assert all(re.match(rb"[2-5]\d\d[ -]", line) for line in heard.splitlines()), heard
        assert signed_in or kit.server.connections == before
        kit.clock.time += timedelta(hours=2)  # no limit keeps the next one from being heard

    guest()
    assert {one.lower() for one in kit.server.commands if one.lower().startswith("mail ")} <= {
        f"mail from:<{ADDRESS}>{one}" for one in ("", *(f" size={len(sent)}" for sent in kit.server.messages))
    }
    for sent in kit.server.messages:
        assert not {b"\r", b"\n", b"\0"} & {bytes([one]) for one in sent.replace(b"\r\n", b"")}
        assert [value for name, value in message_from_bytes(sent).items() if name.lower() == "from"] == [ADDRESS]


# --- two agencies -----------------------------------------------------------------------------------------------------

OF_OTHERS = ("Lua Viagens", "Luis", "luis@lua.test", BIA)


@pytest.fixture
def two_agencies(kit):
    """Ana, an admin of one agency; Luis, a member of another with a mailbox and a wish for access that waits."""
    kit.join(role="admin")
    with kit.engine.begin() as db:
        lua = people_store.add_agency(db, OF_OTHERS[0], "en", "UTC", kit.clock.now())
    kit.join(BIA, agency=lua, name="Luis")
    with kit.engine.begin() as db:
        box = {"address": "luis@lua.test", "user_name": "luis@lua.test", "host": "mail.lua.test", "port": 465,
               "security": "tls", "state": "off", "since": kit.clock.now()}  # fmt: skip
        mailboxes.save(db, kit.held(BIA).member_id, box)
        wish = access.ask(
            db, kit.held(BIA).id, agency_name=OF_OTHERS[0], address="kim@lua.test", agency_id=lua,
            at=kit.clock.now(),
        )  # fmt: skip
    theirs = kit.held(BIA)
    ids = {"member": theirs.member_id, "agency": lua, "team": theirs.contact_id, "asked": theirs.id, "request": wish}
    kit.ids = {**{name: str(one) for name, one in ids.items()}, "user": BIA, "code": "ACDE-7FGH-JKMN"}
    return kit


def of_the_other(kit):
    """All that is the other agency's, as it stands."""
    ids = kit.ids
    mine = {"agency": ids["agency"], "member": ids["member"], "mailbox": ids["member"], "contact": ids["team"],
            "conversation": ids["asked"], "access_request": ids["request"]}  # fmt: skip
    rows = {table.name: kit.rows(table) for table in tables.metadata.sorted_tables if table.name in mine}
    return [str(row) for name, found in rows.items() for row in found if str(mine[name]) in str(row)]


def test_whatever_one_agency_does_the_other_one_keeps_and_hears_nothing(two_agencies):
    kit = two_agencies
    before, said = of_the_other(kit), len(kit.bodies(BIA))
    assert len(before) >= 6

    @portion(40)
    @given(st.lists(st.tuples(st.sampled_from(QUESTIONS), st.sampled_from([*VALUES, *SPOKEN])), min_size=1, max_size=4))
    def attack(steps):
        for question, what in steps:
            said, asked = filled(what, kit.ids), filled(question, kit.ids)
            kit.say(said, button=None if what in SPOKEN else f"{asked}:{said}")
        kit.work()
        # However many there are, it is one day's work: on the next the bot itself reminds the other of their mailbox.
        kit.clock.time += timedelta(hours=8) / max(MANY, 40)

    attack()
    assert of_the_other(kit) == before
    assert len(kit.bodies(BIA)) == said
    for words in OF_OTHERS:
        assert not [body for body in kit.bodies(ANA_HERE) if words in body]


@pytest.mark.parametrize(
    "command", ["explain", "ask", "discover", "check", "audit", "dead-letters", "agency", "rotate-keys"]
)
@portion(6)
@given(
    words=st.lists(
        PRINTED.filter(lambda word: "\x00" not in word) | st.sampled_from(["--json", "--help", "-h", "--x", "--since"]),
        max_size=3,
    )
)
def test_any_words_on_the_command_line_end_with_a_status_of_ours(command, words):
    environment = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "DATA_DIR": "/nonexistent",
        "DISCOVERY": "tables",
    }
    offline = ["--offline"] if command == "discover" else []
    found = CliRunner().invoke(command_line.main, [command, *offline, *words], env=environment)
    expected = (SystemExit, *command_line.OPERATOR_ERRORS, *command_line.DatabaseDown)
    assert found.exception is None or isinstance(found.exception, expected), found.exception
    assert found.exit_code in {0, 1, 2}


@pytest.fixture
def slack(database_url, tmp_path):
    with SlackKit(database_url, tmp_path, providers=table_of_providers(tmp_path)) as made:
        made.claim()
        yield made


TALK = {
    "type": "message",
    "channel": "D1",
    "channel_type": "im",
    "user": ANA,
    "text": "hello",
    "ts": "1.2",
    "team": TEAM,
}
HOME = {"type": "app_home_opened", "user": ANA, "channel": "D1", "tab": "home"}
TAP = {
    "type": "block_actions",
    "team": {"id": TEAM},
    "user": {"id": ANA, "team_id": TEAM},
    "trigger_id": "1.2.x",
    "actions": [{"action_id": "a", "block_id": "menu.choosing", "type": "button", "value": "go:menu"}],
}
WINDOW = {
    "type": "view_submission",
    "team": {"id": TEAM},
    "user": {"id": ANA, "team_id": TEAM},
    "view": {"id": "V1", "callback_id": "x", "private_metadata": "", "state": {"values": {}}},
}


@portion(30)
@given(st.sampled_from([wrapped(TALK), wrapped(HOME), TAP, WINDOW]), st.data())
def test_anything_that_slack_signed_is_answered_and_leaves_no_dead_letter(slack, told, data):
    body = json.dumps(twisted(data, told)).encode()
    kind = "application/json"
    if told in (TAP, WINDOW):
        body, kind = urlencode({"payload": body}).encode(), "application/x-www-form-urlencoded"
    answer = posted(slack, body, kind=kind)
    # What Bolt itself stumbles over ends in our own empty 500, which Slack repeats; nothing escapes.
    assert answer.status_code < 500 or answer.text == "", body
    assert slack.rows(tables.dead_letter) == []


@portion(40)
@given(st.dictionaries(st.sampled_from(["proof", "secret", "unknown"]) | PRINTED, PRINTED, max_size=4), st.booleans())
def test_any_form_that_comes_to_a_one_time_page_is_answered_and_the_link_stays_what_it_is(fields, proven):
    links = MemoryLinks()
    page = make_app(links).test_client()
    token = links.add(view())
    if proven:
        fields["proof"] = proof(page, token)
    answer = page.post(f"/s/{token}", data=fields)
    assert answer.status_code < 500
    assert answer.headers["Cache-Control"] == "no-store"
    assert proven or page.get(f"/s/{token}").status_code == 200  # nobody used it up without our form
    assert not fields.get("secret", "").strip() or len(fields["secret"]) < 8 or fields["secret"] not in answer.text


@pytest.mark.processes
def test_the_long_run_names_its_seed():
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz"],
        env={**os.environ, "FUZZ_SECONDS": "0", "FUZZ_SEED": "7", "FUZZ_ONLY": "json_lines"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seed 7" in done.stdout
