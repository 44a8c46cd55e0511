"""Files from a chat: told, fetched, known by their bytes, erased."""

import io
import logging
import threading
import zipfile
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
import trustme
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import connection
from werkzeug.serving import make_server

from bot.channels import Later, Media, Refused
from bot.channels.file_types import TAKEN, UNKNOWN, is_true, known, made_up_name, told_name
from bot.channels.whatsapp import Twilio, read
from bot.channels.whatsapp.media import API_HOST, MAX_REDIRECTS, REDIRECTS_TO, File, fetch
from bot.playground.twilio import TwilioStandIn
from tests.faulty_smtp import server_context
from tests.https_server import HttpsServer, moved, page

NUMBER = "+351912345678"
OFFICE = "application/vnd.openxmlformats-officedocument."
DOCX, XLSX, PPTX = (
    OFFICE + kind for kind in ("wordprocessingml.document", "spreadsheetml.sheet", "presentationml.presentation")
)
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256))
ACCOUNT, TOKEN = "AC" + "0a1b2c3d" * 4, "a-token-of-the-account"
PATH = f"{API_HOST}/2010-04-01/Accounts/{ACCOUNT}/Messages/MM1/Media/ME1"
URL = f"https://{PATH}"


def office(*parts):
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
            for part in ("[Content_Types].xml", *parts):
                zipped.writestr(part, "<x/>" * 50)
        return file.getvalue()


FILES = {
    "image/jpeg": JPEG,
    "image/png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "image/webp": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
    "image/gif": b"GIF89a\x01\x00\x01\x00",
    "application/pdf": PDF,
    DOCX: office("word/document.xml"),
    XLSX: office("xl/workbook.xml"),
    PPTX: office("ppt/presentation.xml"),
    "text/plain": "Olá\r\n".encode(),
    "text/csv": "nome;preço\r\n".encode("cp1252"),
    "audio/ogg": b"OggS\x00\x02" + b"\x00" * 20,
    "audio/mpeg": b"ID3\x04\x00",
    "audio/mp4": b"\x00\x00\x00\x20ftypM4A ",
    "audio/aac": b"\xff\xf1\x50\x80",
    "audio/amr": b"#!AMR\n",
    "video/mp4": b"\x00\x00\x00\x18ftypmp42",
    "video/3gpp": b"\x00\x00\x00\x18ftyp3gp4",
}


class Book(dict):
    def put(self, name, sid):
        self[name] = sid


class Webhook:
    """A bot that only keeps the forms that it was sent."""

    def __init__(self):
        self.forms = []
        app = Flask("bot")
        app.add_url_rule("/", view_func=self.take, methods=["POST"])
        self.server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    def take(self):
        self.forms.append(dict(parse_qsl(request.get_data(as_text=True), keep_blank_values=True)))
        return ""

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def stand_in():
    with TwilioStandIn() as stand_in, Webhook() as webhook:
        stand_in.webhook_url = webhook.url
        stand_in.forms = webhook.forms
        yield stand_in


@pytest.fixture
def twilio(stand_in):
    twilio = Twilio(stand_in.account_sid, stand_in.auth_token, stand_in.sender, Book(), api_url=stand_in.url)
    yield twilio
    twilio.close()


def sent(stand_in, content_type="application/pdf", content=PDF, **more):
    """What the bot reads of a file that a person sends."""
    assert stand_in.say(NUMBER, media=[(content_type, content)], **more) == 200
    return read(stand_in.forms[-1])


def fetched(stand_in, url, **wishes):
    """The file, and how long was waited for it."""
    waited = []
    usual = {"account_sid": stand_in.account_sid, "auth_token": stand_in.auth_token, "api_url": stand_in.url}
    return fetch(url, pause=waited.append, **{**usual, **wishes}), waited


# --- what is told of a file ------------------------------------------------------------------------------------------

FORM = {"MessageSid": "MM1", "From": "whatsapp:" + NUMBER}


def test_files_come_with_their_message(stand_in):
    stand_in.say(NUMBER, "look", media=[("image/jpeg", JPEG), ("Application/PDF; x=1", PDF)])
    first, second = read(stand_in.forms[-1]).media
    assert (first.content_type, first.name) == ("image/jpeg", "photo.jpg")
    assert (second.content_type, second.name) == ("application/pdf", "document.pdf")
    assert first.url.startswith(f"https://{API_HOST}/2010-04-01/Accounts/{stand_in.account_sid}/Messages/MM")
    assert first.url not in repr(first)


def test_a_document_without_a_caption_has_the_name_of_its_file(stand_in):
    assert sent(stand_in, file_name="Conta de água.PDF").media[0].name == "Conta de água.PDF"


@pytest.mark.parametrize(
    "url",
    ["", "http://api.twilio.com/x", "ftp://x", "https://", "https://x/ y", "https://x/é", "https://x/" + "a" * 2000],
)
def test_an_address_that_is_no_plain_https_is_no_file(url):
    assert read(FORM | {"NumMedia": "1", "MediaUrl0": url, "MediaContentType0": "image/png"}).media == ()


def test_no_more_than_ten_files_are_kept():
    form = FORM | {f"MediaUrl{n}": f"https://x.example/{n}" for n in range(30)} | {"NumMedia": "30"}
    assert [one.url[-1] for one in read(form).media] == list("0123456789")


@pytest.mark.parametrize("stated", ["", "x", "image/png\r\nBcc: x", "a/" + "b" * 200, "image//png", "é/é"])
def test_a_type_that_is_none_is_unknown(stated):
    (media,) = read(FORM | {"MediaUrl0": "https://x.example/0", "MediaContentType0": stated}).media
    assert media == Media("https://x.example/0", UNKNOWN, "file")


@pytest.mark.parametrize(
    ("stated", "content_type"),
    [
        ("image/jpg", "image/jpeg"),
        ("audio/ogg; codecs=opus", "audio/ogg"),
        ("text/comma-separated-values", "text/csv"),
        (" TEXT/Plain;charset=utf-8", "text/plain"),
    ],
)
def test_a_type_has_one_name(stated, content_type):
    assert known(stated) == content_type


@pytest.mark.parametrize(
    ("told", "content_type", "name"),
    [
        ("proposta final.pdf", "application/pdf", "proposta final.pdf"),
        (" foto.JPEG\n", "image/jpeg", "foto.JPEG"),
        ("orçamento v2.1.xlsx", XLSX, "orçamento v2.1.xlsx"),
        ("invoice\u202efdp.exe.pdf", "application/pdf", "invoicefdp.exe.pdf"),
        ("the caption of a picture", "image/jpeg", ""),
        ("a.exe", "application/pdf", ""),
        ("a.pdf.exe", "application/pdf", ""),
        ("a.pdf", "image/png", ""),
        ("one.pdf\ntwo.pdf", "application/pdf", ""),
        ("../../etc/passwd.pdf", "application/pdf", ""),
        ("C:\\x.pdf", "application/pdf", ""),
        (".pdf", "application/pdf", ""),
        ("...pdf", "application/pdf", ""),
        ("=?utf-8?q?x?=.pdf", "application/pdf", ""),
        ("a" * 97 + ".pdf", "application/pdf", ""),
        ("a" * 96 + ".pdf", "application/pdf", "a" * 96 + ".pdf"),
        ("file", UNKNOWN, ""),
    ],
)
def test_a_name_is_kept_if_it_is_plain_and_fits_the_type(told, content_type, name):
    assert told_name(told, content_type) == name


@given(st.text(max_size=120), st.sampled_from(sorted(TAKEN)))
def test_whatever_a_phone_calls_a_file_its_name_is_one_harmless_line(stem, content_type):
    usual = made_up_name(content_type)
    name = told_name(stem + usual, content_type)
    assert len(name) <= 100
    assert not set(name) & set('/\\:*?"<>|\r\n\0\u202e')
    assert name == "" or name.endswith(usual.rpartition(".")[2])


# --- by the bytes ----------------------------------------------------------------------------------------------------


def test_every_type_that_is_taken_is_tried_here():
    assert set(FILES) == TAKEN


@pytest.mark.parametrize("content_type", FILES)
def test_a_file_is_known_by_its_bytes(content_type):
    assert is_true(content_type, FILES[content_type])
    for lie in (
        b"",
        b"MZ\x90\x00\x03\x00\x00\x00\x04",
        b"\x7fELF\x02\x01\x01\x00",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00",
    ):
        assert not is_true(content_type, lie) or (lie == b"" and content_type.startswith("text/"))


@pytest.mark.parametrize("content_type", [*TAKEN - {"text/plain", "text/csv"}])
def test_words_are_no_file_of_another_type(content_type):
    assert not is_true(content_type, b"<html><script>alert(1)</script>")


@pytest.mark.parametrize("one", [DOCX, XLSX, PPTX])
def test_a_document_is_not_taken_for_one_of_another_kind_nor_with_macros(one):
    assert [kind for kind in (DOCX, XLSX, PPTX) if is_true(kind, FILES[one])] == [one]
    parts = zipfile.ZipFile(io.BytesIO(FILES[one])).namelist()
    assert not is_true(one, office(*parts[1:], "word/vbaProject.bin"))


def test_any_zip_is_no_document():
    assert not any(is_true(kind, office("evil.exe")) for kind in (DOCX, XLSX, PPTX))


def test_text_may_be_in_any_character_set_but_holds_no_zero_bytes():
    assert is_true("text/plain", "Olá".encode("utf-16"))
    assert not is_true("text/plain", b"\xff\xfe\x00\xd8x")
    assert not is_true("text/csv", b"a;b\0c")


@pytest.mark.parametrize(
    "content_type", ["text/html", "application/zip", "application/x-msdownload", "image/svg+xml", UNKNOWN]
)
def test_other_types_are_never_taken(content_type):
    assert not any(is_true(content_type, content) for content in FILES.values())


# --- fetching, from the stand-in -------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", FILES)
def test_a_file_of_every_taken_type_arrives_as_it_was_sent(stand_in, twilio, content_type):
    media = sent(stand_in, content_type, FILES[content_type]).media[0]
    assert twilio.fetch(media.url) == File(FILES[content_type], content_type)


def test_a_file_behind_a_caption_is_still_called_what_it_was(stand_in, twilio):
    media = sent(stand_in, body="please send this", file_name="Orçamento (1).pdf").media[0]
    assert media.name == "document.pdf"
    assert twilio.fetch(media.url).name == "Orçamento (1).pdf"


@pytest.mark.parametrize(
    "disposition",
    [
        "attachment; filename*=UTF-8''Or%C3%A7amento.pdf",
        'inline; filename="Orçamento.pdf"',
        "attachment; filename=Orçamento.pdf",
    ],
)
@pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
def test_a_name_is_read_however_it_is_written(internet, disposition, charset):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/pdf")
        handler.send_header("Content-Length", str(len(PDF)))
        handler.flush_headers()
        handler.wfile.write(f"Content-Disposition: {disposition}\r\n\r\n".encode(charset) + PDF)

    internet.pages = {PATH: answer}
    assert get().name == "Orçamento.pdf"


@pytest.mark.parametrize("name", ["setup.exe", "../x.pdf", 'a"; filename="b.pdf'])
def test_a_name_that_does_not_fit_is_not_handed_on(stand_in, twilio, name):
    media = sent(stand_in, body="see", file_name=name).media[0]
    assert twilio.fetch(media.url).name == ""


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("application/pdf", b"MZ\x90\x00"),
        ("text/html", b"<p>hi"),
        ("application/zip", office("x")),
        ("x", b"x"),
        ("", PDF),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(stand_in, twilio, content_type, content):
    media = sent(stand_in, "image/png", b"").media[0]
    (message,) = stand_in._account.messages.values()
    message.media = (replace(message.media[0], content_type=content_type, content=content),)
    with pytest.raises(Refused) as refusal:
        twilio.fetch(media.url)
    assert refusal.value.code == "type"


def test_a_file_of_the_largest_size_is_taken_and_one_byte_more_is_not(stand_in, twilio):
    media = sent(stand_in, content=PDF + b"x" * (1000 - len(PDF))).media[0]
    assert len(twilio.fetch(media.url, 1000).content) == 1000
    with pytest.raises(Refused) as refusal:
        twilio.fetch(media.url, 999)
    assert refusal.value.code == "413"


def test_a_file_that_is_not_there_yet_is_asked_for_again(stand_in):
    media = sent(stand_in).media[0]
    stand_in.fail_next(404, 20404, times=2, path="/Media/")
    file, waited = fetched(stand_in, media.url)
    assert (file.content, waited) == (PDF, [1.0, 3.0])


def test_a_file_that_is_never_there_is_refused(stand_in, twilio):
    inbound = sent(stand_in)
    twilio.erase(inbound.message_id)
    with pytest.raises(Refused) as refusal:
        fetched(stand_in, inbound.media[0].url)
    assert refusal.value.code == "404"


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (400, Refused),
        (401, Later),
        (403, Later),
        (408, Later),
        (410, Refused),
        (429, Later),
        (500, Later),
        (503, Later),
    ],
)
def test_each_status_is_for_ever_or_for_now(stand_in, status, failure):
    media = sent(stand_in).media[0]
    stand_in.fail_next(status, 20001, path="/Media/")
    with pytest.raises(failure) as told:
        fetched(stand_in, media.url)
    assert told.value.code == str(status)


def test_a_connection_that_breaks_may_work_later(stand_in):
    media = sent(stand_in).media[0]
    for path in ("/Media/", "/mms/"):
        stand_in.drop_after_reading(path=path)
        with pytest.raises(Later):
            fetched(stand_in, media.url)


def test_a_wrong_token_may_be_put_right(stand_in):
    with pytest.raises(Later) as told:
        fetched(stand_in, sent(stand_in).media[0].url, auth_token="wrong")
    assert told.value.code == "401"


# --- fetching, from hosts of the real names --------------------------------------------------------------------------

SIGNED = "https://mms.twiliocdn.com/AC1/key?Expires=1&Signature=a-signature~1"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def internet(authority, monkeypatch, tmp_path):
    """https for Twilio's names and a stranger's, on loopback: whoever asks for one of them comes here."""
    names = [API_HOST, *REDIRECTS_TO, "evil.example"]
    with HttpsServer(server_context(authority, *names)) as server:
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        (tmp_path / "netrc").write_text("".join(f"machine {name} login us password hunter2\n" for name in names))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        monkeypatch.setenv("NO_PROXY", "*")
        real = connection.create_connection
        monkeypatch.setattr(
            connection, "create_connection", lambda _where, *a, **k: real(("127.0.0.1", server.port), *a, **k)
        )
        server.heard = []
        yield server


def noting(server, answer):
    """The same page, which writes down who asked with which password."""

    def page_(handler):
        server.heard.append((handler.headers["Host"], handler.headers["Authorization"]))
        answer(handler)

    return page_


def get(**wishes):
    return fetch(URL, account_sid=ACCOUNT, auth_token=TOKEN, pause=lambda _: None, **wishes)


@pytest.mark.parametrize("host", sorted(REDIRECTS_TO))
def test_the_password_is_said_to_twilio_only(internet, host):
    internet.pages = {
        PATH: noting(internet, moved(f"https://{host}/AC1/key?Signature=a~b", 307)),
        f"{host}/AC1/key": noting(internet, page(PDF, "application/pdf")),
    }
    assert get() == File(PDF, "application/pdf")
    (first, password), second = internet.heard
    assert first == API_HOST
    assert password.startswith("Basic ")
    assert second == (host, None)
    assert internet.asked[-1] == f"{host}/AC1/key?Signature=a~b"


def test_two_redirects_in_a_row_are_followed(internet):
    internet.pages = {
        PATH: moved("https://media.twiliocdn.com/AC1/key", 307),
        "media.twiliocdn.com/AC1/key": moved("https://s3-external-1.amazonaws.com/bucket/key?x=1", 302),
        "s3-external-1.amazonaws.com/bucket/key": page(JPEG, "image/jpeg"),
    }
    assert get().content == JPEG


def test_a_file_without_a_redirect_is_taken_too(internet):
    internet.pages = {PATH: page(PDF, "application/pdf")}
    assert get().content == PDF


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/x",
        "http://mms.twiliocdn.com/x",
        "https://mms.twiliocdn.com:8443/x",
        "https://user:word@mms.twiliocdn.com/x",
        "https://mms.twiliocdn.com@evil.example/x",
        "https://mms.twiliocdn.com\\@evil.example/x",
        "https://evil.example\\.mms.twiliocdn.com/x",
        "https://mms.twiliocdn.com.evil.example/x",
        "https://evil.example#.mms.twiliocdn.com/x",
        "//evil.example/x",
        "/2010-04-01/Accounts.json",
        "https://[mms.twiliocdn.com/x",
        "https://127.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "https://mms.twiliocdn.com/a b",
        "https://mms.twiliocdn.com/" + "a" * 9000,
        "",
    ],
)
def test_a_redirect_to_another_place_is_not_followed(internet, location):
    internet.pages = {PATH: moved(location), "evil.example/x": page(PDF, "application/pdf")}
    with pytest.raises(Refused) as refusal:
        get()
    assert refusal.value.code == "host"
    assert internet.asked == [PATH]


def test_redirects_come_to_an_end(internet):
    internet.pages = {PATH: moved(SIGNED), "mms.twiliocdn.com/AC1/key": moved(SIGNED)}
    with pytest.raises(Refused) as refusal:
        get()
    assert refusal.value.code == "host"
    assert len(internet.asked) == 1 + MAX_REDIRECTS


@pytest.mark.parametrize(
    "url",
    [
        URL.replace("https", "http"),
        URL.replace(API_HOST, "evil.example"),
        URL.replace(API_HOST, f"{API_HOST}:443"),
        URL.replace(API_HOST, f"{API_HOST}@evil.example"),
        URL.replace(API_HOST, f"{API_HOST}.evil.example"),
        URL.replace(ACCOUNT, "AC" + "f" * 32),
        URL.replace("/Media/ME1", ".json"),
        URL.replace("ME1", "../../x"),
        URL + "?x=1",
        URL + "\n",
        SIGNED,
        "",
    ],
)
def test_no_other_address_is_asked_let_alone_with_the_password(internet, url):
    with pytest.raises(Refused) as refusal:
        fetch(url, account_sid=ACCOUNT, auth_token=TOKEN)
    assert refusal.value.code == "host"
    assert internet.connections == 0


def test_a_wrong_certificate_is_told_nothing(internet, authority, monkeypatch):
    with HttpsServer(server_context(authority, "other.example"), {PATH: page(PDF, "application/pdf")}) as other:
        monkeypatch.setattr(internet, "port", other.port)
        with pytest.raises(Later):
            get()
        assert (other.connections, other.asked) == (1, [])


def endless(server_end):
    """A body without a stated length, that goes on until the client is gone; `server_end` is told then."""

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/pdf")
        handler.send_header("Connection", "close")
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(PDF * 1000)
        except OSError:
            server_end.set()

    return answer


def test_a_file_of_no_stated_size_is_read_up_to_the_limit(internet):
    ended = threading.Event()
    internet.pages = {PATH: endless(ended)}
    with pytest.raises(Refused) as refusal:
        get(max_bytes=200_000)
    assert refusal.value.code == "413"
    assert ended.wait(10)


def test_a_file_whose_stated_size_is_too_large_is_not_read(internet):
    def promised(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1001")
        handler.send_header("Connection", "close")
        handler.end_headers()

    internet.pages = {PATH: promised}
    with pytest.raises(Refused) as refusal:
        get(max_bytes=1000)
    assert refusal.value.code == "413"


def test_the_body_of_a_redirect_is_not_read(internet):
    ended = threading.Event()

    def big(handler):
        handler.send_response(307)
        handler.send_header("Location", SIGNED)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 100_000)
        except OSError:
            ended.set()

    internet.pages = {PATH: big, "mms.twiliocdn.com/AC1/key": page(PDF, "application/pdf")}
    assert get().content == PDF
    assert ended.wait(10)


def test_a_file_that_drips_ends_with_the_deadline(internet):
    gone = threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        try:
            while not gone.wait(0.02):
                handler.wfile.write(b"x")
        except OSError:
            gone.set()

    internet.pages = {PATH: drip}
    with pytest.raises(Later) as told:
        get(seconds=0.3)
    assert told.value.code == "deadline"
    assert gone.wait(10)


def test_a_file_that_is_cut_short_may_come_whole_later(internet):
    def cut(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/pdf")
        handler.send_header("Content-Length", "1000")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(PDF)
        handler.close_connection = True

    internet.pages = {PATH: cut}
    with pytest.raises(Later):
        get()


def test_a_packed_file_is_not_unpacked(internet):
    internet.pages = {PATH: page(PDF, "application/pdf", Content_Encoding="gzip")}
    with pytest.raises(Refused) as refusal:
        get()
    assert refusal.value.code == "type"
    assert internet.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "disposition", ["", "attachment; filename*=nonsense''%ff", "x" * 5000, ";;;=", "attachment; filename"]
)
def test_a_disposition_that_makes_no_sense_names_nothing(internet, disposition):
    internet.pages = {PATH: page(PDF, "application/pdf", Content_Disposition=disposition)}
    assert get() == File(PDF, "application/pdf", "")


def test_no_failure_and_no_log_holds_an_address_or_the_token(internet, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    chains = []
    for answer in (page(b"x", "text/html"), moved("https://evil.example/a-signature"), endless(threading.Event())):
        internet.pages = {PATH: moved(SIGNED), "mms.twiliocdn.com/AC1/key": answer}
        with pytest.raises((Refused, Later)) as told:
            get(max_bytes=100_000)
        chains.append((str(told.value), repr(told.value), repr(told.value.__context__)))
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(Later) as told:
        get()
    chains.append((str(told.value), repr(told.value.__context__)))
    assert all(word not in f"{chains}{caplog.text}" for word in ("signature", TOKEN, "/Media/", ACCOUNT))
