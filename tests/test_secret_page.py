import html
import re
import threading
import tomllib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from secret_links import CHAT, NOW, OPERATOR, TEXTS, MemoryLinks, google, make_app, sentence, view

from bot.vault import Secret
from bot.web import headers
from bot.web.secret_page import STEPS, read_secret, steps_for
from flows import speech
from flows.reading import SHAPES
from flows.words import LANGUAGES

SECRET = "Correct-Horse 9"
PREVIEWS = [
    "WhatsApp/2.23.20.0",
    "Slackbot-LinkExpanding 1.0",
    "facebookexternalhit/1.1",
    "TelegramBot",
    "Googlebot/2.1",
]

READABLE = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffd")


@pytest.fixture
def links():
    return MemoryLinks()


@pytest.fixture
def client(links):
    return make_app(links).test_client()


def words(response):
    """What the page says, without its marks."""
    return html.unescape(re.sub(r"<[^>]+>", " ", response.text))


def proof(client, token):
    return re.search(r'name="proof" value="([^"]+)"', client.get(f"/s/{token}").text)[1]


def submit(client, token, secret=SECRET, **more):
    return client.post(f"/s/{token}", data={"proof": proof(client, token), "secret": secret, **more})


# --- looking ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_speaks_the_persons_language_whatever_the_browser_wants(client, links, language):
    token = links.add(google(language=language))
    page = client.get(f"/s/{token}", headers={"Accept-Language": "de, en;q=0.1"})
    assert page.status_code == 200
    assert f'<html lang="{language}">' in page.text
    for name in ("page.form.title_app_password", "page.promise.sealed", "page.unknown.person", "page.form.send"):
        assert sentence(name, language) in words(page)


def test_the_page_shows_what_the_password_is_for_and_offers_no_way_to_change_it(client, links):
    page = client.get(f"/s/{links.add(view(user='ana'))}")
    assert "smtp.agencia-exemplo.com.br" in words(page)
    assert "ana.long-name@agencia-exemplo.com.br" in words(page)
    assert re.findall(r'<(?:input|select|textarea)[^>]* name="(\w+)"', page.text) == ["proof", "secret"]
    assert sentence("page.form.user", "en") in words(page)


def test_the_user_name_is_not_said_twice(client, links):
    page = client.get(f"/s/{links.add(view())}")
    assert sentence("page.form.user", "en") not in words(page)


def test_the_steps_of_the_provider_lead_to_its_own_page_in_a_new_tab(client, links):
    page = client.get(f"/s/{links.add(google())}")
    link = re.search(r'<a[^>]*href="https://myaccount\.google\.com/apppasswords"[^>]*>', page.text)[0]
    assert 'target="_blank"' in link
    assert 'rel="noopener noreferrer"' in link
    assert len(re.findall("<li>", page.text.partition("<ol>")[2].partition("</ol>")[0])) == STEPS["google"]


def test_without_a_reset_page_the_person_is_sent_to_whoever_looks_after_the_mail(client, links):
    without, with_one = (words(client.get(f"/s/{links.add(shown)}")) for shown in (view(), google()))
    assert sentence("page.unknown.ask_it", "en") in without
    assert sentence("page.unknown.ask_it", "en") not in with_one


@pytest.mark.parametrize("sends_mail", [True, False])
def test_that_the_test_ends_with_a_mail_to_oneself_is_said_before_the_password_is_given(client, links, sends_mail):
    page = client.get(f"/s/{links.add(view(sends_mail=sends_mail))}")
    assert (sentence("page.promise.mail", "en") in words(page)) is sends_mail


@pytest.mark.parametrize(("left", "minutes"), [(30, "30"), (1.5, "1"), (0.2, "1")])
def test_the_page_says_how_long_it_is_open(client, links, left, minutes):
    page = client.get(f"/s/{links.add(view(expires_at=NOW + timedelta(minutes=left)))}")
    assert sentence("page.promise.once", "en", minutes=minutes) in words(page)


@pytest.mark.parametrize("agent", PREVIEWS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_previews_consume_nothing_and_learn_nothing_from_the_head_of_the_page(client, links, agent, method):
    token = links.add(google())
    for _ in range(3):
        page = client.open(f"/s/{token}", method=method, headers={"User-Agent": agent})
        assert page.status_code == 200
    head = page.text.partition("<body>")[0]
    assert "ana.souza" not in head
    assert "gmail" not in head.lower()
    assert method == "HEAD" or '<meta name="robots" content="noindex, nofollow">' in head
    assert submit(client, token, "abcdefghijklmnop").status_code == 303


def test_values_are_words_on_the_page_and_never_markup(client, links):
    page = client.get(f"/s/{links.add(view(address='<b>x</b>@x.example', provider_name='{host}<i>'))}")
    assert "<b>" not in page.text
    assert "<i>" not in page.text


# --- submitting ---------------------------------------------------------------------------------------------------


def test_a_password_is_taken_once_and_the_person_is_led_back_to_the_chat(client, links):
    token = links.add(view())
    answer = submit(client, token)
    assert answer.status_code == 303
    assert links.taken == [(token, SECRET, "127.0.0.1")]
    done = client.get(answer.location)
    assert done.status_code == 200
    assert sentence("page.done.title", "en") in words(done)
    assert f'href="{CHAT}"' in done.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_last_page_keeps_language_and_way_back_of_the_link(client, links, language):
    answer = submit(client, links.add(view(language=language, chat_url="https://chat.example/42")))
    done = client.get(answer.location)
    assert sentence("page.done.title", language) in words(done)
    assert 'href="https://chat.example/42"' in done.text


def test_a_forged_way_back_leads_nowhere(client, links):
    way = submit(client, links.add(view())).location
    forged = client.get(way[:-2])
    assert forged.status_code == 410
    assert forged.data == client.get("/s/unknown").data


def test_without_a_chat_address_there_is_no_button_to_it(client, links):
    done = client.get(submit(client, links.add(view(chat_url=""))).location)
    assert "<a" not in done.text


@pytest.mark.parametrize("language", ["en", "pt-BR", "es-419,es;q=0.9", "de", ""])
def test_unknown_expired_and_used_links_look_the_same_to_the_byte(client, links, language):
    used, expired = links.add(google(language="es")), links.add(view())
    submit(client, used, "abcdefghijklmnop")
    links.expire(expired)
    asked = {"Accept-Language": language}
    addresses = [f"/s/{used}", f"/s/{expired}", "/s/unknown", "/s/" + "x" * 3000, "/s/done/unknown", "/s/%00%ff"]
    answers = [client.get(one, headers=asked) for one in addresses]
    answers += [client.post(one, headers=asked, data={"secret": SECRET}) for one in (f"/s/{used}", "/s/unknown")]
    assert len({(answer.status_code, answer.data, str(answer.headers)) for answer in answers}) == 1
    assert answers[0].status_code == 410
    assert f'href="{CHAT}"' in answers[0].text


@pytest.mark.parametrize(
    ("asked", "language"),
    [("pt-BR,pt;q=0.9,en;q=0.8", "pt"), ("es-419", "es"), ("de,es;q=0.5", "es"), ("de", "en"), ("*", "en"), ("", "en")],
)
def test_a_page_without_a_link_speaks_the_language_of_the_browser(client, asked, language):
    assert f'<html lang="{language}">' in client.get("/s/unknown", headers={"Accept-Language": asked}).text


class RacingLinks(MemoryLinks):
    """Lets nobody submit before everybody has seen the link open."""

    def __init__(self, racers):
        super().__init__()
        self.everybody = threading.Barrier(racers)

    def submit(self, clear, secret, source):
        self.everybody.wait(10)
        return super().submit(clear, secret, source)


def test_of_many_submissions_at_once_exactly_one_is_taken():
    links, codes = RacingLinks(8), []
    app = make_app(links)
    token = links.add(view())
    form = {"proof": proof(app.test_client(), token), "secret": SECRET}

    def press():
        codes.append(app.test_client().post(f"/s/{token}", data=form).status_code)

    threads = [threading.Thread(target=press) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(20)
    assert sorted(codes) == [303] + [410] * 7
    assert len(links.taken) == 1


def test_a_late_second_submission_reads_as_good_news(client, links):
    token = links.add(view())
    form = {"proof": proof(client, token), "secret": SECRET}
    client.post(f"/s/{token}", data=form)
    second = client.post(f"/s/{token}", data=form)
    assert second.status_code == 410
    assert sentence("page.closed.just_sent", "en") in words(second)


# --- what is refused ----------------------------------------------------------------------------------------------


def assert_refused(client, links, answer, status, problem):
    """The form again, empty, with the reason; nothing taken, and the link is as good as before."""
    assert answer.status_code == status
    assert sentence(f"page.problem.{problem}", "en") in words(answer)
    assert 'aria-invalid="true"' in answer.text
    assert not re.search(r'name="secret"[^>]*value=', answer.text)
    assert links.submissions == 0
    token = answer.request.path.removeprefix("/s/")
    assert submit(client, token).status_code == 303


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("\n", "empty"),
        ("x" * 257, "too_long"),
        ("é" * 257, "too_long"),
        ("tab\there", "unreadable"),
        ("null\0byte", "unreadable"),
        ("two\nlines", "unreadable"),
    ],
)
def test_what_cannot_be_a_password_is_said_and_costs_nothing(client, links, typed, problem):
    token = links.add(view())
    answer = submit(client, token, typed)
    assert_refused(client, links, answer, 422, problem)


def test_bytes_that_are_no_text_are_refused(client, links):
    token = links.add(view())
    raw = client.post(f"/s/{token}", data=b"secret=ab\xff\xfecd", content_type="application/x-www-form-urlencoded")
    assert raw.status_code == 400
    part = 'Content-Disposition: form-data; name="{}"\r\n\r\n{}\r\n--b'
    body = "--b\r\n" + part.format("proof", proof(client, token)) + "\r\n" + part.format("secret", "ab\udcffcd") + "--"
    answer = client.post(
        f"/s/{token}", data=body.encode(errors="surrogateescape"), content_type="multipart/form-data; boundary=b"
    )
    assert_refused(client, links, answer, 422, "unreadable")


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b"])
def test_a_body_over_the_limit_is_not_read(client, links, content_type):
    token = links.add(view())
    answer = client.post(f"/s/{token}", data=b"secret=" + b"x" * 5000, content_type=content_type)
    assert_refused(client, links, answer, 413, "too_long")


def test_the_longest_password_fits_even_when_every_sign_is_written_out(client, links):
    token = links.add(view())
    longest = "🔑" * 256
    assert submit(client, token, longest).status_code == 303
    assert links.taken[0][1] == longest


@pytest.mark.parametrize("forge", ["", "x", "é", "a" * 3000])
def test_a_form_that_is_not_ours_is_shown_again_and_takes_nothing(client, links, forge):
    token = links.add(view())
    answer = client.post(f"/s/{token}", data={"proof": forge, "secret": SECRET})
    assert_refused(client, links, answer, 400, "expired_form")


def test_the_proof_of_one_link_is_none_for_another(client, links):
    mine, other = links.add(view()), links.add(view())
    answer = client.post(f"/s/{mine}", data={"proof": proof(client, other), "secret": SECRET})
    assert_refused(client, links, answer, 400, "expired_form")


def test_another_site_cannot_submit_even_with_a_good_proof(client, links):
    token = links.add(view())
    form = {"proof": proof(client, token), "secret": SECRET}
    answer = client.post(f"/s/{token}", data=form, headers={"Sec-Fetch-Site": "cross-site"})
    assert_refused(client, links, answer, 400, "expired_form")


def test_no_cookie_is_set_or_needed(client, links):
    token = links.add(view())
    page = client.get(f"/s/{token}")
    answer = submit(client, token)
    assert "Set-Cookie" not in page.headers
    assert "Set-Cookie" not in answer.headers


def test_an_app_password_of_another_shape_is_doubted_and_may_be_used_anyway(client, links):
    token = links.add(google())
    answer = submit(client, token, "MyUsualPassword1")
    assert answer.status_code == 422
    assert sentence("page.problem.shape_google16", "en", provider="Gmail") in words(answer)
    assert "MyUsualPassword1" not in answer.text
    assert re.search(r'<button[^>]*name="anyway"[^>]*>', answer.text)[0].endswith('id="anyway">')
    assert links.submissions == 0
    assert submit(client, token, "MyUsualPassword1", anyway="1").status_code == 303
    assert links.taken[0][1] == "MyUsualPassword1"


def test_the_way_around_the_shape_is_hidden_until_there_is_a_doubt(client, links):
    page = client.get(f"/s/{links.add(google())}")
    assert re.search(r'<button[^>]*name="anyway"[^>]*>', page.text)[0].endswith("hidden>")


@pytest.mark.parametrize("secret", [SECRET, "MyUsualPassword1", "\0", "x" * 300])
def test_no_answer_ever_shows_what_was_typed(client, links, secret):
    token = links.add(google())
    first = submit(client, token, secret)
    last = submit(client, token, secret, anyway="1")
    for answer in (first, last, client.get(f"/s/{token}")):
        assert secret not in answer.text
        assert secret not in str(answer.headers)


# --- reading what was typed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "shape", "kept"),
    [
        ("secret\n", "", "secret"),
        ("secret\r\n", "", "secret"),
        (" a secret ", "", " a secret "),
        ("abcd efgh ijkl mnop", "google16", "abcdefghijklmnop"),
        ("\u00a0abcd\u00a0efgh  ijkl mnop \n", "google16", "abcdefghijklmnop"),
        ("abcdefghijklmnop", "yahoo16", "abcdefghijklmnop"),
        ("abcd-efgh-ijkl-mnop", "apple16", "abcd-efgh-ijkl-mnop"),
    ],
)
def test_only_a_trailing_newline_and_the_blanks_of_groups_are_dropped(typed, shape, kept):
    assert read_secret(typed, shape, anyway=False).reveal() == kept


@given(
    typed=st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffd"), min_size=1, max_size=256)
)
def test_an_ordinary_password_arrives_as_it_was_typed(typed):
    read = read_secret(typed, "", anyway=False)
    assert read == "empty" if not typed.strip() else read.reveal() == typed


@given(typed=st.text(max_size=300), shape=st.sampled_from(["", *SHAPES]), anyway=st.booleans())
def test_whatever_is_typed_is_a_secret_within_bounds_or_a_problem(typed, shape, anyway):
    read = read_secret(typed, shape, anyway=anyway)
    if isinstance(read, Secret):
        assert 1 <= len(read.reveal()) <= 256
        assert "\0" not in read.reveal()
    else:
        assert read in {"empty", "too_long", "unreadable", "shape"}


# --- when we fail ---------------------------------------------------------------------------------------------------


class BrokenLinks(MemoryLinks):
    def submit(self, clear, secret, source):
        raise RuntimeError("the database went away")


def test_a_failure_of_ours_is_one_calm_page_and_logs_neither_link_nor_password(caplog):
    links = BrokenLinks()
    client = make_app(links).test_client()
    token = links.add(view())
    answer = submit(client, token)
    assert answer.status_code == 500
    assert sentence("page.trouble.title", "en") in words(answer)
    assert "database" not in answer.text
    assert "the database went away" in caplog.text
    assert token not in caplog.text
    assert SECRET not in caplog.text


# --- headers --------------------------------------------------------------------------------------------------------


def every_answer(client, links):
    """One answer of every route, and of every kind of error."""
    token = links.add(google())
    taken = submit(client, token, "abcdefghijklmnop")
    filled = {"token": token, "way": "x", "filename": "page.css"}
    for rule in client.application.url_map.iter_rules():
        adapter = client.application.url_map.bind("localhost")
        address = adapter.build(rule.endpoint, {name: filled[name] for name in rule.arguments})
        yield from (client.open(address, method=method) for method in sorted(rule.methods))
    yield taken
    yield client.get(taken.location)
    yield client.get("/nothing-here")
    yield client.delete(f"/s/{token}")
    yield client.get("/s/static/none.css")
    yield submit(client, links.add(google()), "")


def test_every_answer_of_every_route_carries_the_headers(client, links):
    seen = set()
    for answer in every_answer(client, links):
        seen.add(answer.status_code)
        may_be_kept = answer.mimetype == "text/css"
        expected = headers.HEADERS | ({"Cache-Control": "no-cache"} if may_be_kept else {})
        assert expected.items() <= dict(answer.headers).items(), answer.request
        assert "Strict-Transport-Security" not in answer.headers
        answer.close()
    assert seen == {200, 303, 404, 405, 410, 422}


def test_the_policy_lets_nothing_in_from_elsewhere():
    policy = dict(part.split(" ", 1) for part in headers.CONTENT_POLICY.split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "img-src", "form-action")} == {"'self'"}


def test_behind_https_the_browser_is_told_to_stay_there(links):
    answer = make_app(links, https=True).test_client().get("/s/unknown")
    assert answer.headers["Strict-Transport-Security"] == headers.HSTS


def test_a_failing_view_answers_with_the_headers_too():
    links = BrokenLinks()
    answer = submit(make_app(links).test_client(), links.add(view()))
    assert headers.HEADERS.items() <= dict(answer.headers).items()


def test_the_pages_load_nothing_from_elsewhere_and_hold_no_script_or_style_of_their_own(client, links):
    for page in (client.get(f"/s/{links.add(google())}"), client.get("/s/unknown")):
        sources = re.findall(r'(?:src|<link[^>]*href)="([^"]+)"', page.text)
        assert sources
        assert all(one.startswith("/s/static/") for one in sources)
        assert not re.search(r"<style|<script>|\son\w+=|\sstyle=", page.text)


# --- texts ----------------------------------------------------------------------------------------------------------


def page_texts(language):
    fragment = TEXTS / f"page.{language}.toml"
    if not fragment.exists():
        return {name: text for name, text in speech.texts(language).items() if name.startswith("page.")}
    return dict(speech._flatten(tomllib.loads(fragment.read_text(encoding="utf-8")), ""))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_names_with_the_same_values(language):
    ours, english = page_texts(language), page_texts("en")
    assert ours.keys() == english.keys()
    for name, text in ours.items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", english[name])), name


def test_every_family_of_steps_is_in_the_texts_and_no_other():
    written = {name for name in page_texts("en") if name.startswith("page.steps.")}
    assert written == {f"page.steps.{family}.{n}" for family, count in STEPS.items() for n in range(1, count + 1)}


def test_every_shape_has_a_hint_and_a_problem():
    for shape in SHAPES:
        assert {f"page.form.hint_{shape}", f"page.problem.shape_{shape}"} <= page_texts("en").keys()


@pytest.mark.parametrize(
    ("provider", "family"),
    [("gmail", "google"), ("icloud", "apple"), ("zoho_eu", "zoho"), ("", "other"), ("naver", "other")],
)
def test_the_steps_are_those_of_the_providers_family(provider, family):
    assert steps_for(provider)[0] == f"page.steps.{family}.1"
    assert len(steps_for(provider)) == STEPS[family]


def test_the_operator_stands_on_every_page(client, links):
    assert OPERATOR in words(client.get(f"/s/{links.add(view())}"))
    assert OPERATOR in words(client.get("/s/unknown"))
