"""`python -m bot check`: the staged live test by hand, against real sockets, and a password that is nowhere in it."""

import base64
import io
import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

import bot.__main__ as command_line
from bot import app
from bot.mail.wire import probe
from bot.mail.wire.egress import Egress
from bot.settings import Settings
from tests.dns_server import DnsServer
from tests.faulty_smtp import FaultySMTP, hanging, server_context

ROOT = Path(__file__).parent.parent
USER = "ana@agency.example"
SECRET = "açaí: chá e {pão}"
HOST, RIGHT = "mail.agency.example", "smtp.hoster.example"
LOOPBACK = ["127.0.0.1"]


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def context(authority):
    return server_context(authority, HOST)


@pytest.fixture
def environment(authority, tmp_path):
    """Settings under which a server on loopback may be tested; its authority is trusted as operators do it."""
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    with DnsServer({HOST: LOOPBACK, RIGHT: LOOPBACK}) as dns:

        def of(*ports):
            return {
                "SMTP_ALLOW_NETWORKS": "127.0.0.0/8",
                "SMTP_ALLOW_PORTS": " ".join(map(str, ports)),
                "SSL_CERT_FILE": str(file),
                "DNS_SERVER": "{}:{}".format(*dns.address),
            }

        yield of


@pytest.fixture
def check(environment, monkeypatch, capsys):
    """Runs the command as `python -m bot check` does, in this process: its status, output and errors."""

    def call(*arguments, ports=(), stdin=b""):
        for name in Settings.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in environment(*ports).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["bot", "check", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as left:
            command_line.run()
        shown = capsys.readouterr()
        return left.value.code, shown.out, shown.err

    return call


def brief(settings):
    """The network of the settings, with less patience for a connection."""
    ways = app.network(settings)
    return replace(ways, timeouts=replace(ways.timeouts, connect=0.4))


def lines(out):
    """The stages as they were printed: name and outcome."""
    return [tuple(line.split()[:2]) for line in out.partition("\n\n")[0].splitlines()]


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_server_is_tested_without_a_user_up_to_its_proof(check, context, security):
    with FaultySMTP(context, security) as server:
        status, out, err = check(f"{HOST}:{server.port}", "--security", security, ports=[server.port])
    last = ["tls", "greeting", "ehlo"] if security == "tls" else ["greeting", "ehlo", "starttls"]
    assert (status, err) == (0, "")
    assert lines(out) == [(stage, "ok") for stage in ["input", "dns", "connect", *last]]
    assert "works: yes" in out
    assert "sign in methods: PLAIN LOGIN" in out
    assert server.auths == []


def test_an_account_that_works_passes_every_stage(check, context):
    with FaultySMTP(context) as server:
        status, out, _ = check(
            f"{HOST}:{server.port}",
            "--user",
            USER,
            "--password-stdin",
            ports=[server.port],
            stdin=f"{SECRET}\r\nsecond line\n".encode(),
        )
    assert status == 0
    assert lines(out)[-3:] == [("auth", "ok"), ("mail_from", "ok"), ("rcpt_to", "ok")]
    assert server.sign_ins == [(USER, SECRET)]
    assert server.messages == []


def test_a_user_name_that_is_no_address_is_given_one(check, context):
    with FaultySMTP(context) as server:
        arguments = [f"{HOST}:{server.port}", "--user", "ana", "--password-stdin"]
        assert check(*arguments, ports=[server.port], stdin=b"x")[0] == 2
        assert server.connections == 0
        status, _, _ = check(*arguments, "--address", USER, ports=[server.port], stdin=b"x")
    assert status == 0
    assert f"mail FROM:<{USER}>" in server.commands
    assert server.sign_ins == [("ana", "x")]


def test_a_failure_says_where_why_who_and_what_to_do(check, context):
    with FaultySMTP(context, auth="535 5.7.8 Error: authentication failed") as server:
        status, out, _ = check(
            f"{HOST}:{server.port}", "--user", USER, "--password-stdin", ports=[server.port], stdin=b"wrong"
        )
    assert status == 1
    assert lines(out)[-1] == ("auth", "failed")
    for said in ("works: no", "stage: auth", "cause: wrong_credentials", "who: user", "retry: no", "advice: The mail"):
        assert said in out
    assert "said: 535 5.7.8 Error: authentication failed" in out
    assert len(server.auths) == 1


def test_json_is_one_line_with_every_stage(check, context):
    with FaultySMTP(context, "starttls") as server:
        status, out, _ = check(f"{HOST}:{server.port}", "--security", "tls", "--json", ports=[server.port])
    assert (status, out.count("\n")) == (0, 1)
    answer = json.loads(out)
    assert answer["works"] is answer["repaired"] is True
    assert answer["server"] == {"host": HOST, "port": server.port, "security": "starttls"}
    assert answer["sign_in_methods"] == ["PLAIN", "LOGIN"]
    stages = [(one["stage"], one["ok"]) for one in answer["stages"]]
    assert stages[:5] == [("input", True), ("dns", True), ("connect", True), ("tls", False), ("connect", True)]
    assert stages[-1] == ("starttls", True)
    assert all(0 <= one["seconds"] < 10 for one in answer["stages"])


def test_a_failure_in_json_has_the_cause(check, context):
    with FaultySMTP(context, greeting="554 5.7.1 You are not welcome") as server:
        status, out, _ = check(f"{HOST}:{server.port}", "--json", ports=[server.port])
    answer = json.loads(out)
    assert (status, answer["works"], answer["stage"], answer["cause"]) == (1, False, "greeting", "ip_blocklisted")
    assert answer["said"] == "554 5.7.1 You are not welcome"


def test_the_right_name_is_told(check, authority):
    with FaultySMTP(server_context(authority, RIGHT)) as server:
        status, out, _ = check(f"{HOST}:{server.port}", ports=[server.port])
    assert status == 1
    assert "cause: tls_hostname_mismatch" in out
    assert f"better host: {RIGHT}" in out


def test_what_is_wrong_about_a_certificate_is_told(check):
    with FaultySMTP(server_context(trustme.CA(), HOST)) as server:
        status, out, _ = check(f"{HOST}:{server.port}", ports=[server.port])
    assert (status, "certificate: untrusted" in out) == (1, True)


def test_a_port_of_ours_that_is_blocked_is_told(check, monkeypatch):
    """The known host, which the command asks by itself, is silent at that port, too."""
    with hanging("127.0.0.1") as port:
        monkeypatch.setattr(app, "Egress", lambda guard: Egress(guard, {port: (HOST,)}, seconds=0.4))
        monkeypatch.setattr("bot.cli.check.network", brief)
        status, out, _ = check(f"{HOST}:{port}", ports=[port])
    assert (status, "ours: yes" in out, "who: us" in out) == (1, True, True)


@pytest.mark.parametrize("wants", [[], ["--json"]])
def test_the_port_that_answers_is_told(check, context, monkeypatch, wants):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with FaultySMTP(context, "starttls") as server:
        monkeypatch.setattr(probe, "SUBMISSION", {server.port: "starttls"})
        status, out, _ = check(f"{HOST}:{port}", *wants, ports=[port, server.port])
    shown = {"host": HOST, "port": server.port, "security": "starttls"}
    assert status == 1
    if wants:
        assert json.loads(out)["better_server"] == shown
    else:
        assert "cause: connection_refused" in out
        assert f"better server: {HOST}:{server.port} starttls" in out


@pytest.mark.world
def test_a_real_server_is_tested_stage_by_stage(check, environment, authority, mail_servers, monkeypatch):
    """A real Postfix, which signs in through a real Dovecot."""
    ports = (mail_servers.smtps_port, mail_servers.submission_port)
    for port, security in zip(ports, ("tls", "starttls"), strict=True):
        with DnsServer({mail_servers.host: LOOPBACK}) as dns:
            settings = Settings(
                smtp_allow_networks="127.0.0.0/8",
                smtp_allow_ports=" ".join(map(str, ports)),
                ssl_cert_file=mail_servers.ca_pem,
                dns_server="{}:{}".format(*dns.address),
            )
            monkeypatch.setattr("bot.cli.check.load", lambda _, settings=settings: settings)
            at = f"{mail_servers.host}:{port}"
            status, out, _ = check(at, "--security", security)
            assert (status, "sign in methods: PLAIN LOGIN" in out) == (0, True)
            user = ["--user", f"nobody@{mail_servers.host}", "--password-stdin"]
            status, out, _ = check(at, "--security", security, *user, stdin=b"wrong")
            assert (status, "cause: wrong_credentials" in out, lines(out)[-1]) == (1, True, ("auth", "failed"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["mail.example.com"],
        ["mail.example.com:"],
        ["mail.example.com:smtp"],
        ["mail.example.com:25"],
        ["mail.example.com:99999"],
        ["mail.example.com:" + "4" * 5000],
        ["mail.example.com:٤٦٥"],
        [":465"],
        ["a b:465"],
        ["mail.example.com:465", "--security", "none"],
        ["mail.example.com:465", "--user", USER],
        ["mail.example.com:465", "--password-stdin"],
        ["mail.example.com:465", "--address", USER],
        [],
    ],
)
def test_what_is_asked_in_the_wrong_way_has_status_two(check, arguments):
    status, out, err = check(*arguments, stdin=SECRET.encode())
    assert (status, out) == (2, "")
    assert "Error: " in err
    assert SECRET not in err


@pytest.mark.parametrize("stdin", [b"", b"\n", b"\xff\xfe\n", b"x" * 1025, b"x" * 1_000_000, "ã".encode() * 1025])
def test_a_password_that_is_none_has_status_two(check, context, stdin):
    with FaultySMTP(context) as server:
        arguments = [f"{HOST}:{server.port}", "--user", USER, "--password-stdin"]
        status, out, err = check(*arguments, ports=[server.port], stdin=stdin)
    assert (status, out, server.connections) == (2, "", 0)
    assert "xxxx" not in err


def test_there_is_no_way_to_give_a_password_as_an_argument(check):
    status, _, err = check("mail.example.com:465", "--user", USER, "--password", "girafa")
    assert (status, "No such option" in err) == (2, True)


@pytest.mark.parametrize("wants", [[], ["--json"]])
@pytest.mark.parametrize(
    "replies",
    [
        {},
        {"auth": f"535-{SECRET} is wrong\r\n535 {base64.b64encode(SECRET.encode()).decode()}"},
        {"mail_from": f"550 not {SECRET}"},
    ],
)
def test_the_password_is_in_no_output(environment, context, wants, replies):
    """As a process of its own: neither output nor error holds it, whatever the server echoes."""
    with FaultySMTP(context, **replies) as server:
        done = subprocess.run(
            [sys.executable, "-m", "bot", "check", f"{HOST}:{server.port}", "--user", USER, "--password-stdin", *wants],
            cwd=ROOT,
            env=environment(server.port),
            input=SECRET.encode() + b"\n",
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == (1 if replies else 0)
    assert server.sign_ins == [(USER, SECRET)]
    assert b"auth" in done.stdout
    for hidden in (SECRET.encode(), base64.b64encode(SECRET.encode()), json.dumps(SECRET).strip('"').encode()):
        assert hidden not in done.stdout + done.stderr


def test_a_wrong_setting_is_one_sentence(check, monkeypatch):
    monkeypatch.setattr("bot.cli.check.load", lambda _: Settings(ssl_cert_file=Path("missing.pem")))
    status, out, err = check("mail.example.com:465")
    assert (status, out, err) == (1, "", "SSL_CERT_FILE: missing.pem holds no readable certificate.\n")
