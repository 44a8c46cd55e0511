"""The door as a process, before a real Postfix and Dovecot, with the programs that people really send with."""

import json
import os
import shutil
import subprocess
import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.store import tables
from bot.store.engine import reading
from bot.store.promises import DOOR_MAIL, FILE_COPY
from tests import node
from tests.botkit import eventually
from tests.dns_server import DnsServer
from tests.doorhouse import ANA, BRUNO, PASSWORDS, DoorHouse, before, client, kept, message, states
from tests.doorway import HOST
from tests.faulty_smtp import SILENT, FaultySMTP
from tests.mailservers import LOOPBACK, started_mail_servers

pytestmark = pytest.mark.world


@pytest.fixture(scope="module")
def servers():
    with started_mail_servers(PASSWORDS) as servers:
        yield servers


@pytest.fixture
def house(servers, database_url, tmp_path):
    """The door of Ana and Bruno, open; their provider keeps mail at Dovecot, and files no copies by itself."""
    with before(servers, database_url, tmp_path) as made:
        made.start()
        yield made


# --- programs that send -----------------------------------------------------------------------------------------------


def test_smtplib_s_mail_arrives_byte_for_byte(house, servers):
    with client(house, house.ana) as one:
        assert one.sendmail(ANA, [BRUNO], message("smtplib")) == {}
    found = servers.wait_for_mail(BRUNO, "smtplib")
    assert found["Message-ID"] == "<1@smtplib>"
    assert found["From"] == f"Ana <{ANA}>"
    assert "Bcc" not in found


def test_curl_sends(house, servers, tmp_path):
    (tmp_path / "mail").write_bytes(message("curl"))
    command = [
        "curl", "--silent", "--show-error", "--url", f"smtps://{HOST}:{house.port}", "--cacert", house.ca,
        "--connect-to", f"{HOST}:{house.port}:{LOOPBACK}:{house.port}", "--user", f"{ANA}:{house.ana.key}",
        "--mail-from", ANA, "--mail-rcpt", BRUNO, "--upload-file", tmp_path / "mail",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert servers.wait_for_mail(BRUNO, "curl")


def test_swaks_sends(house, servers):
    command = [
        "swaks", "--server", LOOPBACK, "--port", str(house.port), "--tls-on-connect", "--tls-sni", HOST,
        "--auth", "LOGIN",
        "--auth-user", ANA, "--auth-password", house.ana.key, "--from", ANA, "--to", BRUNO,
        "--header", "Subject: swaks", "--ehlo", "ally.example",
    ]  # fmt: skip
    if shutil.which("swaks") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("swaks is not installed: `make world` does it")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert servers.wait_for_mail(BRUNO, "swaks")


def nodemailer(house, **mail):
    with node.program("nodemailer", []) as program:
        order = {"port": house.port, "host": HOST, "ca": str(house.ca), "user": ANA, "key": house.ana.key, "mail": mail}
        return json.loads(program.told(json.dumps(order)))


def test_nodemailer_sends_with_a_file_and_accents_and_hidden_people(house, servers):
    told = nodemailer(
        house, **{"from": f"Ána <{ANA}>"}, to=BRUNO, bcc=ANA, subject="nodemailer", text="Olá, tudo bem?",
        attachments=[{"filename": "açaí.txt", "content": "chá"}],
    )  # fmt: skip
    assert told["response"].startswith("250 2.0.0")
    found = servers.wait_for_mail(BRUNO, "nodemailer")
    assert found.get_body().get_content().strip() == "Olá, tudo bem?"
    assert [part.get_filename() for part in found.iter_attachments()] == ["açaí.txt"]
    assert servers.wait_for_mail(ANA, "nodemailer")["Bcc"] is None


def test_nodemailer_shows_what_the_person_s_server_said(house):
    told = nodemailer(house, **{"from": ANA}, to="nobody@agencia.test", subject="x", text="x")
    assert (told["code"], told["response"][:9]) == (550, "550 5.1.1")
    told = nodemailer(house, **{"from": BRUNO}, to=BRUNO, subject="x", text="x", envelope={"from": ANA, "to": BRUNO})
    assert (told["code"], told["response"][:9]) == (550, "550 5.7.1")


# --- the worker's part ------------------------------------------------------------------------------------------------


def test_the_copy_lies_in_sent_once_and_nothing_is_kept(house, servers):
    with client(house, house.ana) as one:
        one.sendmail(ANA, [BRUNO], message("copied"))
    kept(house, FILE_COPY)
    kept(house, FILE_COPY)
    found = [mail for mail in servers.folder(ANA, "Sent") if mail["Subject"] == "copied"]
    assert [mail["Message-ID"] for mail in found] == ["<1@copied>"]
    with reading(house.parts.engine) as db:
        (mail,) = db.execute(select(tables.outgoing_mail.c.copy, tables.outgoing_mail.c.content_id)).all()
        sealed = db.execute(select(tables.secret.c.kind)).scalars().all()
    assert tuple(mail) == ("appended", None)
    assert set(sealed) == {"mailbox.password"}


# --- when it dies -----------------------------------------------------------------------------------------------------


def test_killed_after_the_server_took_it_and_before_our_reply_nothing_is_sent_twice(house, servers):
    """The outcome was noted at the server's last word: the retry hears it."""
    with client(house, house.ana) as one:
        one.sendmail(ANA, [BRUNO], message("told"))
    house.kill()
    house.start()
    with client(house, house.ana) as one:
        one.mail(ANA)
        one.rcpt(BRUNO)
        code, said = one.data(message("told"))
    assert (code, b"second time" in said) == (250, True)
    assert len([mail for mail in servers.inbox(BRUNO) if mail["Subject"] == "told"]) == 1


def test_killed_while_the_server_thinks_nothing_is_sent_twice(
    database_url, tmp_path, door_authority, door_server_context
):
    """The last byte has left and no answer came: nobody knows, and nobody sends it again."""
    door_authority.cert_pem.write_to_path(str(tmp_path / "upstream.pem"))
    with (
        FaultySMTP(door_server_context, end=SILENT) as server,
        DoorHouse(
            database_url, tmp_path, host="localhost", port=server.port, authority=tmp_path / "upstream.pem", names=""
        ) as house,
    ):
        (house.ana,) = house.people({ANA: "x"})
        house.start()
        one = client(house, house.ana)
        one.mail(ANA)
        one.rcpt(BRUNO)
        one.docmd("DATA")
        one.send(message("lost") + b".\r\n")
        eventually(lambda: len(server.messages) == 1)
        house.kill()
        one.close()
        assert states(house) == ["handing"]
        house.start()
        with client(house, house.ana) as again:
            again.mail(ANA)
            again.rcpt(BRUNO)
            assert again.data(message("lost"))[0] == 451  # it may still be alive, for all we know
        with house.parts.engine.begin() as db:
            old = timedelta(minutes=5)
            db.execute(tables.outgoing_mail.update().values(at=tables.outgoing_mail.c.at - old))
        with client(house, house.ana) as again:
            again.mail(ANA)
            again.rcpt(BRUNO)
            assert again.data(message("lost"))[0] == 250
        assert states(house) == ["unknown"]
        kept(house, DOOR_MAIL)
        assert states(house) == ["unknown"]
        assert len(server.messages) == 1


def test_killed_before_the_last_byte_left_the_mail_leaves_with_the_next_try(
    database_url, tmp_path, door_authority, door_server_context
):
    """Nothing was noted, because nothing can have been sent."""
    door_authority.cert_pem.write_to_path(str(tmp_path / "upstream.pem"))
    hangs = iter([True])

    def data(conversation):
        if next(hangs, False):
            SILENT(conversation)
        conversation.say("354 go on")
        conversation.server.messages.append(conversation.until(b"\r\n.\r\n")[:-3])
        conversation.say("250 2.0.0 Ok")

    with (
        FaultySMTP(door_server_context, data=data) as server,
        DoorHouse(
            database_url, tmp_path, host="localhost", port=server.port, authority=tmp_path / "upstream.pem", names=""
        ) as house,
    ):
        (house.ana,) = house.people({ANA: "x"})
        house.start()
        one = client(house, house.ana)
        one.mail(ANA)
        one.rcpt(BRUNO)
        one.docmd("DATA")
        one.send(message("early") + b".\r\n")
        eventually(lambda: "DATA" in server.commands)
        house.kill()
        one.close()
        assert states(house) == []
        house.start()
        with client(house, house.ana) as again:
            assert again.sendmail(ANA, [BRUNO], message("early")) == {}
        assert (states(house), len(server.messages)) == (["accepted"], 1)


def test_told_to_stop_it_ends_in_order(house):
    one = client(house, house.ana)
    began = time.monotonic()
    assert house.stop() == 0
    assert time.monotonic() - began < 20
    assert one.getreply()[0] == 421
    one.close()


# --- one slow server --------------------------------------------------------------------------------------------------


def test_a_server_that_hangs_slows_nobody_else(servers, database_url, tmp_path, door_authority, door_server_context):
    """Twelve mails of one mailbox hang; another one's leaves as if they did not."""
    both = tmp_path / "both.pem"
    both.write_bytes(servers.ca_pem.read_bytes() + door_authority.cert_pem.bytes())
    with (
        DnsServer({servers.host: [LOOPBACK], "localhost": [LOOPBACK]}) as dns,
        FaultySMTP(door_server_context, greeting=SILENT) as hangs,
        DoorHouse(
            database_url, tmp_path, host="localhost", port=hangs.port, authority=both,
            names=f"{dns.address[0]}:{dns.address[1]}",
            SMTP_ALLOW_PORTS=f"{hangs.port} {servers.smtps_port}",
        ) as house,
    ):  # fmt: skip
        (slow,) = house.people({"slow@agencia.test": "x"})
        house.server = type(house.server)(servers.host, servers.smtps_port, "tls")
        (ana,) = house.people({ANA: PASSWORDS[ANA]})
        house.start()
        stuck = [client(house, slow) for _ in range(12)]
        for number, one in enumerate(stuck):
            one.mail(slow.address)
            one.rcpt(BRUNO)
            one.docmd("DATA")
            one.send(message("stuck", sender=slow.address, number=number) + b".\r\n")
        eventually(lambda: hangs.connections >= 2)
        began = time.monotonic()
        with client(house, ana) as one:
            for number in range(10):
                assert one.sendmail(ANA, [BRUNO], message("quick", number=number)) == {}
        assert time.monotonic() - began < 10
        assert hangs.connections == 2  # at once from one mailbox
        threads = [threading.Thread(target=one.close) for one in stuck]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        house.kill()
