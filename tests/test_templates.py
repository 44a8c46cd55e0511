"""The four templates: made, approved, counted, and sent only where nothing else can be said."""

import re
import threading
from datetime import UTC, datetime

import pytest
import requests
from click.testing import CliRunner

import bot.__main__
import bot.watch
from bot.channels import Identity, Refused
from bot.channels.whatsapp import Twilio
from bot.cli.shared import CannotBe
from bot.cli.twilio import templates as made
from bot.playground.twilio import TwilioStandIn
from bot.store import mailboxes, people, tables, watches
from bot.store.promises import TEMPLATE, WARN
from bot.templates import TEMPLATES, key, name_at_whatsapp, spec
from bot.vault import new_key
from flows.speech import texts
from flows.words import LANGUAGES, AdminNeeded, MailboxBroke
from tests.botkit import ADDRESS, Kit, run_sql

EN = texts("en")
TENANT = "smtp_auth_disabled_tenant_or_mailbox"
NUMBER = "+34600000001"
IDENTITY = Identity("whatsapp", NUMBER)


class WhatsAppKit(Kit):
    """A kit whose people are on WhatsApp, at the stand-in."""

    def __init__(self, url, home, **settings):
        self.twilio = TwilioStandIn(now=self._now).start()
        self.twilio.statuses = ("sent",)
        usual = {
            "TWILIO_ACCOUNT_SID": self.twilio.account_sid, "TWILIO_AUTH_TOKEN": self.twilio.auth_token,
            "TWILIO_WHATSAPP_FROM": "+15550100000", "TWILIO_API_URL": self.twilio.url,
            "PUBLIC_URL": "http://127.0.0.1:1", "SECRET_KEYS": new_key(), "SUPPORT_CONTACT": "help@agency.test",
            "PRIVACY_URL": "https://agency.test/privacy", "TEMPLATES": "on",
        }  # fmt: skip
        super().__init__(url, home, **{**usual, **settings})

    def __exit__(self, *error):
        super().__exit__(*error)
        self.twilio.stop()

    def _now(self):
        """The clock is made after Twilio."""
        return self.clock.now()

    def writes(self, text, number=NUMBER):
        """Somebody writes on WhatsApp; all that follows is done."""
        with self.twilio._account.changed:
            self.twilio._account.person(number).last_wrote = self.clock.now()
        self.say(text, number, identity=Identity("whatsapp", number))
        self.work()

    def phone(self, number=NUMBER):
        return [one for one in self.twilio.phone(number) if not one.mine]

    def member_on_whatsapp(self, number=NUMBER, **invited):
        """A member with a mailbox, who wrote a day and more ago."""
        self.writes(f"My invitation code is {self.invite(**invited)}", number)
        now = self.clock.now()
        with self.engine.begin() as db:
            contact = people.find_contact(db, number)[0]
            values = {"address": ADDRESS, "user_name": ADDRESS, "host": "localhost", "port": 465, "security": "tls",
                      "secret_id": None, "state": "works", "since": now}  # fmt: skip
            mailboxes.save(db, contact.member_id, values)
        self.clock.move(days=1, hours=2)
        return contact.member_id

    def breaks(self, member_id):
        """Their mailbox broke: they are to be told."""
        with self.engine.begin() as db:
            row, now = mailboxes.of_member(db, member_id), self.clock.now()
            run = mailboxes.settle(db, row.id, row.version, "broken", "wrong_credentials", "user", now, of=row.state)
            assert run
            event = MailboxBroke(row.address, "wrong_credentials", worked=True)
            bot.watch._warn_of(db, row, event, row.version + 1, now)
        self.work()

    def mended(self):
        """All mailboxes work again."""
        run_sql(self.url, "update mailbox set state = 'works', version = version + 1")

    @property
    def sent(self):
        return sum(one.sent for one in self.rows(tables.template_month))

    @property
    def orders(self):
        """The requests with which templates were sent."""
        return [one.fields for one in self.twilio.requests if "ContentSid" in one.fields and "Messages" in one.path
                and one.fields["ContentSid"] in self.twilio.approvals]  # fmt: skip


@pytest.fixture
def on(database_url, tmp_path):
    """Makes a kit: `on(TEMPLATE_LIMIT="3")`."""
    kits = []

    def make(*, approve=True, **settings):
        kit = WhatsAppKit(database_url, tmp_path, **settings)
        kits.append(kit)
        made(kit.parts)
        if approve:
            kit.twilio.review()
        return kit

    yield make
    for kit in kits:
        kit.__exit__(None, None, None)


def people_of(kit, number):
    """The member whom somebody acts for."""
    with kit.engine.begin() as db:
        return people.find_contact(db, number)[0].member_id


def rung(kit, number=NUMBER):
    """The templates that reached somebody."""
    bells = [words.split("{")[0] for words in (EN[one.text] for one in TEMPLATES.values())]
    return [one for one in kit.phone(number) if any(one.body.startswith(bell) for bell in bells)]


# --- what they are ----------------------------------------------------------------------------------------------------


def test_there_are_exactly_four_in_three_languages():
    assert sorted(TEMPLATES) == ["admin_needed", "mailbox_broken", "mailbox_waits", "person_asks"]
    specs = [spec(one, language) for one in TEMPLATES.values() for language in LANGUAGES]
    assert len({key(one) for one in specs}) == len({name_at_whatsapp(one) for one in specs}) == 12
    assert all(len(key(one)) <= 64 for one in specs)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_keeps_the_rules_of_whatsapp(name, language):
    made_ = spec(TEMPLATES[name], language)
    ((kind, shape),) = made_.types.items()
    assert kind == "twilio/quick-reply"
    assert not re.match(r"\{\{|.*\}\}$", shape["body"], re.DOTALL)
    assert not re.search(r"\}\}\W*\{\{", shape["body"])
    assert sorted(re.findall(r"\{\{(\w)\}\}", shape["body"])) == ["1", "2"] == sorted(made_.variables)
    assert len(shape["body"]) + 60 + 320 <= 1024
    (button,) = shape["actions"]
    assert 0 < len(button["title"]) <= 20
    assert "{" not in button["title"]


def test_other_words_are_another_template():
    one = spec(TEMPLATES["admin_needed"], "en")
    other = type(one)(one.name, one.language, {"twilio/text": {"body": "Hello"}}, {})
    assert key(one) != key(other)
    assert name_at_whatsapp(one) != name_at_whatsapp(other)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_makes_submits_and_lists_them(on):
    kit = on(approve=False)
    assert len(kit.twilio.contents) == len(kit.twilio.approvals) == 12
    names = {one["friendly_name"] for one in kit.twilio.contents.values()}
    assert names == {"ally_mailbox_broken", "ally_mailbox_waits", "ally_admin_needed", "ally_person_asks"}
    assert {one["category"] for one in kit.twilio.approvals.values()} == {"UTILITY"}
    assert {row["state"] for row in made(kit.parts)} == {"received"}
    kit.twilio.review("rejected", name="ally_admin", reason="too vague")
    rows = made(kit.parts)
    assert {row["reason"] for row in rows if row["template"] == "ally_admin_needed"} == {"too vague"}
    assert {row["state"] for row in rows} == {"received", "rejected"}


def test_the_command_done_again_makes_nothing_twice(on):
    kit = on()
    rows = made(kit.parts)
    assert {row["state"] for row in rows} == {"approved"}
    assert {row["sid"] for row in rows} == set(kit.twilio.contents)
    assert len(kit.twilio.contents) == 12


def test_a_template_that_was_lost_at_twilio_is_made_anew(on):
    kit = on()
    lost = set(kit.twilio.contents)
    kit.twilio.forget_contents()
    assert {row["state"] for row in made(kit.parts)} == {"received"}
    assert not lost & set(kit.twilio.contents)


def test_the_command_works_before_templates_are_switched_on(on):
    kit = on(approve=False, TEMPLATES="off")
    assert kit.parts.tools.templates is None
    assert len(kit.twilio.approvals) == 12


def test_without_a_twilio_account_there_are_no_templates(kit):
    with pytest.raises(CannotBe, match="TWILIO_ACCOUNT_SID"):
        made(kit.parts)


def test_what_twilio_refuses_is_one_plain_sentence(on):
    kit = on()
    kit.twilio.fail_next(401, 20003)
    with pytest.raises(CannotBe, match="20003"):
        made(kit.parts)


def test_the_command_line_knows_it():
    answer = CliRunner().invoke(bot.__main__.main, ["templates", "--help"])
    assert answer.exit_code == 0
    assert "--json" in answer.output


# --- sending ----------------------------------------------------------------------------------------------------------


def test_who_did_not_write_for_a_day_is_rung_by_a_template_once_and_told_when_they_answer(on):
    kit = on()
    member = kit.member_on_whatsapp()
    kit.breaks(member)
    (bell,) = rung(kit)
    assert ADDRESS in bell.body
    assert bell.buttons == (("news.template:go:mailbox.password", EN["news.button.look"]),)
    (order,) = kit.orders
    assert "Body" not in order
    for _ in range(6):
        kit.clock.move(minutes=31)
        kit.work()
    assert len(rung(kit)) == 1
    assert kit.sent == 1
    kit.writes("hi")
    assert any(EN["news.watch_erased"] in one.body for one in kit.phone())
    assert kit.promised(WARN) == []


def test_its_button_leads_to_what_has_to_be_done_even_days_later(on):
    kit = on()
    kit.breaks(kit.member_on_whatsapp())
    kit.clock.move(days=9)
    with kit.twilio._account.changed:
        kit.twilio._account.person(NUMBER).last_wrote = kit.clock.now()
    kit.say("(tap)", NUMBER, identity=IDENTITY, button="news.template:go:mailbox.password")
    kit.work()
    assert "/s/" in kit.phone()[-1].body


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_speaks_the_persons_language(on, language):
    kit = on()
    member = kit.member_on_whatsapp(language=language)
    kit.breaks(member)
    begin = texts(language)["template.mailbox_broken"].split("{")[0]
    assert kit.phone()[-1].body.startswith(begin)
    assert kit.transcript(NUMBER)[-1].startswith(begin)


def test_the_transcript_shows_it_and_a_callback_tells_what_became_of_it(on):
    kit = on()
    kit.breaks(kit.member_on_whatsapp())
    line = kit.rows(tables.message)[-1]
    (promise,) = kit.promised(TEMPLATE, "done")
    assert (line.promise_id, line.provider_id) == (promise.id, promise.provider_id)
    assert promise.payload == {}


def test_nothing_is_sent_where_templates_are_off(on):
    kit = on(TEMPLATES="off")
    kit.breaks(kit.member_on_whatsapp())
    assert rung(kit) == []
    kit.writes("hi")
    assert any(EN["news.watch_erased"] in one.body for one in kit.phone())


def test_a_window_that_is_open_needs_no_template(on):
    kit = on()
    member = kit.member_on_whatsapp()
    kit.writes("menu")
    kit.breaks(member)
    assert rung(kit) == []
    assert kit.sent == 0
    assert any(EN["news.watch_erased"] in one.body for one in kit.phone())


def test_a_template_is_sent_by_day_only(on):
    kit = on()
    member = kit.member_on_whatsapp()
    kit.clock.time = datetime(2026, 3, 6, 23, tzinfo=UTC)  # Friday evening
    kit.breaks(member)
    kit.clock.time = datetime(2026, 3, 8, 15, tzinfo=UTC)
    kit.work()
    assert rung(kit) == []
    kit.clock.time = datetime(2026, 3, 9, 12, tzinfo=UTC)
    kit.work()
    assert len(rung(kit)) == 1


@pytest.mark.parametrize("status", ["received", "rejected", "paused"])
def test_a_template_that_is_not_approved_reaches_nobody_and_the_news_waits(on, status):
    kit = on(approve=False)
    kit.twilio.review(status)
    kit.breaks(kit.member_on_whatsapp())
    kit.twilio.wait_until(lambda: 63016 in {one["error_code"] for one in kit.twilio.records.values()})
    assert kit.rows(tables.dead_letter) == []
    kit.writes("hi")
    assert any(EN["news.watch_erased"] in one.body for one in kit.phone())


@pytest.mark.parametrize("code", [63016, 63013, 21655])
def test_a_template_that_twilio_refuses_at_once_counts_for_nothing_and_the_news_waits(on, code):
    kit = on()
    member = kit.member_on_whatsapp()
    kit.twilio.fail_next(400, code, path="Messages.json")
    kit.breaks(member)
    assert kit.promised(TEMPLATE, "failed")
    assert kit.sent == 0
    assert kit.rows(tables.dead_letter) == []
    kit.writes("hi")
    assert any(EN["news.watch_erased"] in one.body for one in kit.phone())


def test_a_template_that_was_never_made_is_not_sent(on):
    kit = on()
    run_sql(kit.url, "delete from content")
    kit.breaks(kit.member_on_whatsapp())
    assert kit.promised(TEMPLATE, "todo", "done", "failed") == []
    assert kit.sent == 0
    assert kit.promised(WARN)


def test_a_template_whose_answer_was_lost_is_looked_for_and_not_sent_twice(on):
    kit = on()
    member = kit.member_on_whatsapp()
    kit.twilio.drop_after_reading(path="Messages.json")
    kit.breaks(member)
    kit.clock.move(minutes=2)
    kit.work()
    assert len(rung(kit)) == 1
    assert kit.promised(TEMPLATE, "done")[0].outcome == "found at the provider"


def test_a_process_that_died_while_it_sent_a_template_does_not_ring_twice(on):
    kit = on()
    member = kit.member_on_whatsapp()
    with kit.engine.begin() as db:
        row, now = mailboxes.of_member(db, member), kit.clock.now()
        bot.watch._warn_of(db, row, MailboxBroke(ADDRESS, "wrong_credentials", worked=True), row.version, now)
    kit.worker._keep(next(one for one in kit.claim("work") if one.kind == WARN))
    (dead,) = kit.claim("speak")
    kit.hands[TEMPLATE](kit.parts.tools, dead)
    kit.clock.move(minutes=3)
    kit.worker._sweep(kit.clock.now())
    kit.work()
    assert len(rung(kit)) == 1
    assert kit.sent == 1


def test_whoever_wants_no_messages_gets_no_template(on):
    kit = on()
    member = kit.member_on_whatsapp()
    run_sql(kit.url, "update contact set stopped_at = created_at")
    kit.breaks(member)
    assert rung(kit) == []
    assert kit.sent == 0


def test_nothing_is_rung_while_a_person_has_taken_over(on):
    kit = on()
    member = kit.member_on_whatsapp()
    run_sql(kit.url, "update conversation set owner = 'person'")
    kit.breaks(member)
    assert rung(kit) == []
    assert kit.sent == 0


# --- how many ---------------------------------------------------------------------------------------------------------


def test_so_many_in_a_month_are_sent_and_no_more(on):
    kit = on(TEMPLATE_LIMIT="2")
    numbers = ["+34600000001", "+34600000002", "+34600000003"]
    for number in numbers:
        kit.breaks(kit.member_on_whatsapp(number))
    assert [len(rung(kit, number)) for number in numbers] == [1, 1, 0]
    assert kit.sent == 2
    kit.clock.time = datetime(2026, 4, 1, 13, tzinfo=UTC)
    kit.mended()
    kit.breaks(people_of(kit, numbers[2]))
    assert len(rung(kit, numbers[2])) == 1
    assert {one.month: one.sent for one in kit.rows(tables.template_month)} == {"2026-03": 2, "2026-04": 1}


def test_a_limit_of_none_sends_none(on):
    kit = on(TEMPLATE_LIMIT="0")
    kit.breaks(kit.member_on_whatsapp())
    assert rung(kit) == []
    assert kit.rows(tables.template_month) == []


def test_of_two_at_once_only_one_gets_the_last_one_of_the_month(kit):
    gate, counted = threading.Barrier(4), []

    def count():
        with kit.engine.begin() as db:
            gate.wait()
            counted.append(watches.count_template(db, kit.clock.now(), 2))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counted) == [False, False, True, True]
    assert [one.sent for one in kit.rows(tables.template_month)] == [2]


def test_one_that_was_not_taken_is_given_back_to_its_month_and_never_below_nothing(kit):
    with kit.engine.begin() as db:
        watches.count_template(db, kit.clock.now(), 5)
        for _ in range(3):
            watches.uncount_template(db, kit.clock.now())
    assert [one.sent for one in kit.rows(tables.template_month)] == [0]


def test_at_most_one_a_week_is_sent_about_a_mailbox(on):
    kit = on()
    member = kit.member_on_whatsapp()
    kit.breaks(member)
    kit.clock.move(days=2)
    kit.mended()
    kit.breaks(member)
    assert len(rung(kit)) == 1
    kit.mended()
    kit.clock.move(days=6)
    kit.breaks(member)
    assert len(rung(kit)) == 2


def test_where_the_month_is_used_up_the_week_is_not(on):
    kit = on(TEMPLATE_LIMIT="0")
    kit.breaks(kit.member_on_whatsapp())
    assert kit.rows(tables.mailbox)[0].warned_at is None


# --- the admin --------------------------------------------------------------------------------------------------------


def test_an_admin_is_rung_once_and_reads_all_when_they_answer(on):
    kit = on()
    member = kit.member_on_whatsapp(role="admin")
    with kit.engine.begin() as db:
        row, now = mailboxes.of_member(db, member), kit.clock.now()
        mailboxes.settle(db, row.id, row.version, "waiting", TENANT, "agency_admin", now, of="works")
        about = bot.watch.About("admin_needed", ADDRESS, agency=kit.agency, cause=TENANT)
        bot.watch.warn(db, member, AdminNeeded("", ADDRESS, about.cause), about, now)
    kit.work()
    for _ in range(4):
        kit.clock.move(minutes=31)
        kit.work()
    (bell,) = rung(kit)
    assert bell.body.startswith(EN["template.admin_needed"].split("{")[0])
    kit.writes("hi")
    assert any(EN["news.watch_admin"].split("}")[1] in one.body for one in kit.phone())


# --- the stand-in -----------------------------------------------------------------------------------------------------


class Book(dict):
    def put(self, name, sid):
        self[name] = sid


@pytest.fixture
def client():
    with TwilioStandIn() as stand_in:
        stand_in.statuses = ("sent",)
        twilio = Twilio(stand_in.account_sid, stand_in.auth_token, stand_in.sender, Book(), api_url=stand_in.url)
        twilio.stand_in = stand_in
        yield twilio
        twilio.close()


def test_a_template_goes_out_beyond_the_window_once_it_is_approved_and_not_before(client):
    sid = client.make(spec(TEMPLATES["admin_needed"], "pt"))
    assert client.approval(sid) == ("unsubmitted", "")
    assert client.submit(sid, "ally_admin_needed_1") == ("received", "")
    callback = "https://bot.example.com/whatsapp/status?promise=7"
    values = {"1": "Ally", "2": "a_b@agency.test"}
    first = client.send_template(NUMBER, sid, values, callback, lambda: None).provider_id
    client.stand_in.wait_until(lambda: client.stand_in.records[first]["status"] in {"failed", "undelivered"})
    assert client.stand_in.records[first]["error_code"] == 63016
    client.stand_in.review("approved")
    assert client.approval(sid) == ("approved", "")
    second = client.send_template(NUMBER, sid, values, callback, lambda: None).provider_id
    client.stand_in.wait_until(lambda: client.stand_in.records[second]["status"] == "sent")
    client.stand_in.review("paused")
    third = client.send_template(NUMBER, sid, values, callback, lambda: None).provider_id
    client.stand_in.wait_until(lambda: client.stand_in.records[third]["error_code"] == 63016)


def test_a_resource_that_is_gone_has_no_approval(client):
    assert client.approval("HX" + "0" * 32) is None
    client.stand_in.fail_next(401, 20003)
    with pytest.raises(Exception, match="20003"):
        client.approval("HX" + "0" * 32)


@pytest.mark.parametrize(
    ("body", "variables", "name", "category"),
    [
        ("{{1}} hello", {"1": "x"}, "good", "UTILITY"),
        ("hello {{1}}", {"1": "x"}, "good", "UTILITY"),
        ("a {{1}} {{2}} b", {"1": "x", "2": "y"}, "good", "UTILITY"),
        ("a {{1}} b", {}, "good", "UTILITY"),
        ("a {{1}} b", {"1": "x"}, "Not Good", "UTILITY"),
        ("a {{1}} b", {"1": "x"}, "good", "FUN"),
    ],
    ids=["begins", "ends", "adjacent", "no sample", "name", "category"],
)
def test_the_stand_in_refuses_a_template_that_whatsapp_would(client, body, variables, name, category):
    wish = {"friendly_name": "x", "language": "en", "variables": variables, "types": {"twilio/text": {"body": body}}}
    stand_in = client.stand_in
    auth = (stand_in.account_sid, stand_in.auth_token)
    sid = requests.post(f"{stand_in.url}/content/v1/Content", json=wish, auth=auth, timeout=10).json()["sid"]
    url = f"{stand_in.url}/content/v1/Content/{sid}/ApprovalRequests/whatsapp"
    answer = requests.post(url, json={"name": name, "category": category}, auth=auth, timeout=10)
    assert answer.status_code == 400


def test_the_stand_in_takes_a_name_once_in_a_language(client):
    first, second = (client.make(spec(TEMPLATES["admin_needed"], language)) for language in ("en", "en"))
    client.submit(first, "ally_admin_needed")
    with pytest.raises(Refused):
        client.submit(second, "ally_admin_needed")
    with pytest.raises(Refused):
        client.submit(first, "ally_other")
    client.submit(client.make(spec(TEMPLATES["admin_needed"], "es")), "ally_admin_needed")
