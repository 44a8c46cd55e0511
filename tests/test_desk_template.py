"""Somebody's 24 hours on WhatsApp are over: a template can ask them to answer, once; where none can, staff read why."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from bot.channels import Identity
from bot.cli.twilio import templates as made
from bot.playground.twilio import TwilioStandIn
from bot.store import promises, tables
from bot.templates import TEMPLATES, spec
from flows import reading
from flows.speech import texts
from flows.words import LANGUAGES
from tests.botkit import run_sql
from tests.deskkit import GREETING, RITA, SAM, DeskKit
from tests.slackkit import TEAM

NUMBER = "+34600000001"
EN = texts("en")
BELL = "Hello! This is the support team of Ally."
TAP = "news.template:go:person"


class RingKit(DeskKit):
    """A desk whose person is on WhatsApp, at the stand-in."""

    def __init__(self, url, home, **settings):
        self.twilio = TwilioStandIn(now=self._now).start()
        self.twilio.statuses = ("sent",)
        usual = {
            "TWILIO_ACCOUNT_SID": self.twilio.account_sid, "TWILIO_AUTH_TOKEN": self.twilio.auth_token,
            "TWILIO_WHATSAPP_FROM": "+15550100000", "TWILIO_API_URL": self.twilio.url, "TEMPLATES": "on",
        }  # fmt: skip
        try:
            super().__init__(url, home, **{**usual, **settings})
        except BaseException:
            self.twilio.stop()
            raise

    def __exit__(self, *error):
        super().__exit__(*error)
        self.twilio.stop()

    def they_write(self, text, *, button=None, wait=True):
        """The person writes, or taps."""
        with self.twilio._account.changed:
            self.twilio._account.person(NUMBER).last_wrote = self.clock.now()
        self.say(text, NUMBER, identity=Identity("whatsapp", NUMBER), button=button)
        if wait:
            self.settle()

    def a_case(self, *, language="en", taken=True):
        """A member of an agency wished for a person, who answered; and nothing has been written for a day since."""
        self.they_write(f"My invitation code is {self.invite(language=language)}")
        self.they_write({"en": "person", "pt": "pessoa", "es": "persona"}[language])
        if taken:
            self.writes("!Hello")
            self.settle()
        self.soon(hours=25)

    def phone(self):
        """What they read."""
        return [one.body for one in self.twilio.phone(NUMBER) if not one.mine]

    def bells(self, bell=BELL):
        """The templates that reached them."""
        return [one for one in self.twilio.phone(NUMBER) if not one.mine and one.body.startswith(bell)]

    @property
    def sent(self):
        """How many were counted."""
        return sum(one.sent for one in self.rows(tables.template_month))

    @property
    def line(self):
        """The newest line of staff's."""
        return self.lines()[-1]


@pytest.fixture
def on(database_url, tmp_path):
    """Makes a kit: `on(TEMPLATES="off")`."""
    kits = []

    def make(*, approve=True, make=True, **settings):
        kit = RingKit(database_url, tmp_path, **settings)
        kits.append(kit)
        if make:
            made(kit.parts)
        if approve:
            kit.twilio.review()
        return kit

    yield make
    for kit in kits:
        kit.__exit__(None, None, None)


def labels(bubble):
    return [label for _, _, label in bubble.buttons]


def notes(kit):
    """What the bot wrote below the root, newest last."""
    return [one for one in kit.slack.thread(TEAM, kit.root().channel, kit.root().ts)[1:] if not one.mine]


# --- the offer --------------------------------------------------------------------------------------------------------


def test_the_root_offers_a_template_as_soon_as_the_24_hours_are_over_and_not_before(on):
    kit = on()
    kit.they_write(f"My invitation code is {kit.invite()}")
    kit.they_write("person")
    assert "Send template" not in labels(kit.root())
    kit.soon(hours=23, minutes=50)
    assert "24 hours on WhatsApp end at" in kit.told()
    assert "Send template" not in labels(kit.root())
    kit.soon(minutes=15)
    assert "Send template" in labels(kit.root())
    assert "WhatsApp's 24 hours are over. “Send template” asks them to answer" in kit.root().text


def test_a_line_after_them_is_refused_with_a_button_below_the_note(on):
    kit = on()
    kit.a_case()
    kit.writes("!Did it work?")
    kit.settle()
    note = notes(kit)[-1]
    assert "✗ “Did it work?” did *not* reach them: their 24 hours on WhatsApp are over." in note.text
    assert "send it again yourself" in note.text
    assert labels(note) == ["Send template"]


def test_the_window_of_words_and_a_new_link_say_what_can_be_done_too(on):
    kit = on()
    kit.a_case()
    kit.opens("Send")
    assert "“Send template” asks them to answer" in kit.fills({"text": "Hello"})["text"]
    kit.does("New one-time link")
    assert labels(notes(kit)[-1]) == ["Send template"]


def test_in_slack_and_elsewhere_there_are_no_24_hours_of_whatsapp_and_no_template(on):
    kit = on()
    kit.calls()
    kit.soon(hours=25)
    assert "Send template" not in labels(kit.root())


# --- sending ----------------------------------------------------------------------------------------------------------


def test_a_template_asks_them_to_answer_by_the_way_of_a_line_of_staff_s(on):
    kit = on()
    kit.a_case()
    kit.taps("Send template", wait=False)
    kit.work()
    assert "To be sent by <@U0SAM> in five seconds:" in kit.told()
    assert kit.bells() == []
    kit.settle()
    (bell,) = kit.bells()
    assert bell.body.startswith(EN["template.person_asks"].partition("{about}")[0].format(operator="Ally"))
    assert "case 101" in bell.body
    assert bell.buttons == ((TAP, EN["news.button.go_on"]),)
    assert f"Said by <@{SAM}>" in kit.told()
    assert (kit.line.tool, kit.line.state) == ("template", "sent")
    assert kit.marks(kit.line.ts) == ["outbox_tray"]
    assert kit.sent == 1
    assert (SAM, "case_template", "101") in [(row.actor, row.action, row.subject) for row in kit.rows(tables.audit)]
    assert BELL in "".join(kit.transcript(NUMBER))


def test_it_is_about_the_address_at_hand(on):
    kit = on()
    kit.they_write(f"My invitation code is {kit.invite()}")
    kit.they_write("ana@agency.test")
    kit.they_write("person")
    kit.writes("!Hello")
    kit.soon(hours=25)
    kit.does("Send template")
    assert "ana@agency.test" in kit.bells()[0].body


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_speaks_their_language_and_the_thread_shows_it_in_the_team_s_too(on, language):
    kit = on()
    kit.a_case(language=language)
    kit.does("Send template")
    begin = texts(language)["template.person_asks"].partition("{")[0]
    assert len(kit.bells(begin)) == 1
    assert ("In your language:" in kit.told()) == (language != "en")


def test_how_far_it_has_come_is_marked_below_it(on):
    kit = on()
    kit.a_case()
    kit.does("Send template")
    for rank, (status, mark) in enumerate((("delivered", "white_check_mark"), ("read", "eyes")), start=3):
        kit.status(kit.line, status, rank)
        kit.settle()
        assert kit.marks(kit.line.ts) == [mark]


def test_it_can_be_taken_back_for_five_seconds_and_costs_nothing_then(on):
    kit = on()
    kit.a_case()
    kit.taps("Send template", wait=False)
    kit.work()
    kit.does("Take back")
    assert kit.bells() == []
    assert kit.sent == 0
    assert "Send template" in labels(kit.root())


def test_who_sends_it_has_the_case_if_nobody_has(on):
    kit = on()
    kit.a_case(taken=False)
    assert kit.case().owner == ""
    before = kit.phone()
    kit.does("Send template")
    assert kit.case().owner == SAM
    assert len(kit.bells()) == 1
    assert not any(one.startswith(GREETING) for one in kit.phone()[len(before) :])


def test_who_sends_it_takes_the_case_from_nobody(on):
    kit = on()
    kit.a_case()
    kit.does("Send template", who=RITA)
    assert kit.case().owner == SAM
    assert len(kit.bells()) == 1


def test_a_case_given_back_within_the_five_seconds_sends_nothing_and_costs_nothing(on):
    kit = on()
    kit.a_case()
    kit.taps("Send template", wait=False)
    kit.taps("Back to the queue", wait=False)
    kit.settle()
    assert kit.bells() == []
    assert kit.sent == 0
    assert kit.line.state == "failed"


def test_a_template_is_no_answer_for_the_metrics_but_now_we_wait_for_them(on):
    kit = on()
    kit.a_case(taken=False)
    kit.does("Send template")
    assert kit.case().answered_at is None
    assert kit.case().waits_since is None


def test_lines_of_staff_s_and_a_template_leave_in_the_order_in_which_they_were_wanted(on):
    kit = on()
    kit.a_case()
    kit.taps("Send template", wait=False)
    kit.clock.move(seconds=2)
    kit.writes("!and another thing", wait=False)
    kit.settle()
    assert len(kit.bells()) == 1
    first, second = (one for one in kit.lines() if one.text != "Hello")
    assert (first.state, second.state, second.why) == ("sent", "failed", "window")


# --- once -------------------------------------------------------------------------------------------------------------


def test_there_is_one_until_they_answer(on):
    kit = on()
    kit.a_case()
    kit.writes("!Did it work?")
    kit.settle()
    note = notes(kit)[-1]
    kit.does("Send template")
    assert "A template has asked them to answer." in kit.root().text
    assert "Send template" not in labels(kit.root())
    assert kit.slack.tap(TEAM, RITA, "Send template", where=kit.root().channel, ts=note.ts).ok
    kit.settle()
    assert len(kit.bells()) == kit.sent == 1
    assert "There is only one until they do" in notes(kit)[-1].text
    kit.they_write("yes?")
    kit.soon(hours=25)
    kit.does("Send template")
    assert len(kit.bells()) == kit.sent == 2


def test_of_two_who_send_it_at_once_one_goes_out(on):
    kit = on()
    kit.a_case()
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda who: kit.taps("Send template", who=who, wait=False), (SAM, RITA)))
    kit.settle()
    assert len(kit.bells()) == kit.sent == 1
    assert kit.told().count("There is only one until they do") >= 1


def test_what_slack_brings_twice_sends_it_once(on):
    kit = on()
    kit.a_case()
    kit.taps("Send template", times=3)
    kit.settle()
    assert len(kit.bells()) == kit.sent == 1


def test_a_process_that_dies_while_it_sends_rings_and_counts_once(on):
    kit = on()
    kit.a_case()
    kit.taps("Send template", wait=False)
    kit.work()
    kit.clock.move(seconds=6)
    (dead,) = [one for one in kit.claim("speak") if one.kind == promises.SAY_LINE]
    kit.hands[promises.SAY_LINE](kit.parts.tools, dead)
    kit.die_later()
    kit.settle()
    assert len(kit.bells()) == kit.sent == 1
    assert kit.line.state == "sent"


# --- when there can be none -------------------------------------------------------------------------------------------


def none_stopped(kit):
    run_sql(kit.url, "update contact set stopped_at = created_at where channel = 'whatsapp'")


def none_made(kit):
    run_sql(kit.url, "delete from content")


def none_left(kit):
    run_sql(kit.url, "insert into template_month (month, sent) values ('2026-03', 100)")


@pytest.mark.parametrize(
    ("spoil", "why"), [(none_stopped, "unwanted"), (none_made, "missing"), (none_left, "limit")]
)  # fmt: skip
def test_where_none_can_be_sent_the_thread_says_why_and_what_else_there_is(on, spoil, why):
    kit = on()
    kit.a_case()
    spoil(kit)
    kit.does("Send template")  # a screen that was not brought up to date
    assert kit.bells() == []
    assert EN[f"desk.offer.{why}"] in notes(kit)[-1].text
    assert EN[f"desk.offer.{why}"] in kit.root().text
    assert "Send template" not in labels(kit.root())


@pytest.mark.parametrize("spoil", [none_stopped, none_made, none_left])
def test_what_changes_within_the_five_seconds_counts(on, spoil):
    kit = on()
    kit.a_case()
    kit.taps("Send template", wait=False)
    spoil(kit)
    counted = kit.sent
    kit.settle()
    assert kit.bells() == []
    assert kit.sent == counted
    assert "did *not* reach them" in kit.told()


def test_where_templates_are_off_the_refusal_says_so_and_names_the_other_ways(on):
    kit = on(TEMPLATES="off")
    kit.a_case()
    kit.writes("!Did it work?")
    kit.settle()
    assert "switched off here (TEMPLATES=off). Write them an e-mail or call" in notes(kit)[-1].text
    assert labels(notes(kit)[-1]) == []
    assert "Send template" not in labels(kit.root())


def test_after_the_last_one_of_a_month_there_is_none_until_the_next_one(on):
    kit = on(TEMPLATE_LIMIT="1")
    kit.a_case()
    kit.does("Send template")
    kit.they_write("yes")
    kit.soon(hours=25)
    assert EN["desk.offer.limit"] in kit.root().text
    kit.clock.move(days=30)
    kit.they_write("are you there?")
    kit.soon(hours=25)
    kit.does("Send template")
    assert len(kit.bells()) == kit.sent == 2


def test_somebody_who_is_not_of_the_team_sends_none(on):
    kit = on()
    kit.slack.user(TEAM, "U0GUEST", "guest", is_restricted=True)
    kit.a_case()
    kit.slack.join(TEAM, kit.root().channel, "U0GUEST")
    kit.does("Send template", who="U0GUEST")
    assert kit.bells() == []
    assert kit.sent == 0
    assert "you are not one of the team" in kit.told()


def test_somebody_who_has_just_written_needs_none(on):
    kit = on()
    kit.a_case()
    kit.taps("Send template", wait=False)
    kit.they_write("here I am")
    assert kit.bells() == []
    assert kit.sent == 0
    assert "no template is needed" in kit.told()


# --- what the provider says -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words"),
    [("63016", "not approved, or paused"), ("63049", "took the template for advertising"), ("63014", "blocked us"),
     ("63024", "nobody on WhatsApp"), ("30008", "refused it (30008)")],
)  # fmt: skip
def test_one_that_did_not_arrive_is_told_in_words_and_another_may_be_sent(on, code, words):
    kit = on()
    kit.a_case()
    kit.does("Send template")
    kit.status(kit.line, "undelivered", 5, code)
    kit.settle()
    assert words in notes(kit)[-1].text
    assert kit.marks(kit.line.ts) == ["x"]
    assert labels(notes(kit)[-1]) == []  # no template for a template
    assert "Send template" in labels(kit.root())


@pytest.mark.parametrize("code", [63016, 63013, 21655])
def test_one_that_is_refused_at_once_counts_for_nothing(on, code):
    kit = on()
    kit.a_case()
    kit.twilio.fail_next(400, code, path="Messages.json")
    kit.does("Send template")
    assert kit.line.state == "failed"
    assert kit.sent == 0
    assert kit.bells() == []
    kit.does("Send template")
    assert len(kit.bells()) == kit.sent == 1


def test_the_provider_s_clock_says_that_the_24_hours_are_over_at_once(on):
    kit = on()
    kit.they_write(f"My invitation code is {kit.invite()}")
    kit.they_write("person")
    kit.writes("!Hello")
    kit.soon(hours=23)
    kit.twilio.fail_next(400, 63016, path="Messages.json")
    kit.writes("!Are you there?")
    kit.settle()
    assert "their 24 hours on WhatsApp are over" in notes(kit)[-1].text
    assert labels(notes(kit)[-1]) == ["Send template"]
    kit.does("Send template")
    assert len(kit.bells()) == 1


def test_the_provider_s_clock_says_so_later_while_the_line_is_under_way(on):
    kit = on()
    kit.they_write(f"My invitation code is {kit.invite()}")
    kit.they_write("person")
    kit.soon(hours=23)
    kit.writes("!Are you there?")
    kit.settle()
    kit.status(kit.line, "undelivered", 5, "63016")
    kit.settle()
    assert labels(notes(kit)[-1]) == ["Send template"]
    assert "Send template" in labels(kit.root())


def test_a_refusal_that_comes_after_they_have_written_closes_nothing(on):
    kit = on()
    kit.they_write(f"My invitation code is {kit.invite()}")
    kit.they_write("person")
    kit.soon(hours=23)
    kit.writes("!Are you there?")
    kit.settle()
    line = kit.line
    kit.they_write("yes!")
    kit.status(line, "undelivered", 5, "63016")
    kit.settle()
    assert "They have written since: send it again" in kit.told()
    assert "Send template" not in labels(kit.root())
    kit.writes("!Good. Did it work?")
    kit.settle()
    assert kit.phone()[-1] == "Good. Did it work?"


# --- they answer ------------------------------------------------------------------------------------------------------


def test_their_answer_opens_the_24_hours_mentions_the_owner_and_names_what_was_not_said(on):
    kit = on()
    kit.a_case()
    kit.writes("!Did it work?")
    kit.settle()
    kit.does("Send template")
    kit.they_write("hi there")
    told = kit.told()
    assert f"• <@{SAM}>: “Did it work?”" in told
    assert "can send it again" in told
    assert f"<@{SAM}>\n" in told
    assert "→ hi there" in told
    assert "WhatsApp's 24 hours end" in kit.root().text
    kit.writes("!Did it work?")
    kit.settle()
    assert kit.phone()[-1] == "Did it work?"
    kit.they_write("yes")
    assert kit.told().count("This was not said before") == 1


def test_nothing_is_said_again_by_itself(on):
    kit = on()
    kit.a_case()
    kit.writes("!Did it work?")
    kit.settle()
    kit.they_write("hi there")
    kit.soon(minutes=5)
    assert "Did it work?" not in kit.phone()


def test_the_tap_on_its_button_counts_as_their_having_written(on):
    kit = on()
    kit.a_case()
    kit.does("Send template")
    before = kit.phone()
    kit.they_write(EN["news.button.go_on"], button=TAP)
    assert kit.held(NUMBER).window_until == kit.clock.now() - timedelta(seconds=12) + timedelta(hours=24)
    assert "→ Let's go on" in kit.told()
    assert kit.case().waits_since is not None
    assert kit.phone() == before  # the case is a person's: the bot keeps quiet
    kit.writes("!Good to hear from you.")
    kit.settle()
    assert kit.phone()[-1] == "Good to hear from you."


def test_a_tap_after_everybody_let_go_of_the_case_calls_a_person(on):
    kit = on()
    kit.a_case()
    kit.does("Send template")
    kit.does("Close")
    kit.they_write(EN["news.button.go_on"], button=TAP)
    assert kit.case().number == 102
    assert any("I've called a person for you" in one for one in kit.phone())


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_stands_on_its_button_is_no_command(language):
    assert reading.command(texts(language)["news.button.go_on"]) is None
    assert spec(TEMPLATES["person_asks"], language).types["twilio/quick-reply"]["actions"][0]["id"] == TAP


def test_a_case_that_staff_open_after_the_24_hours_begins_with_a_template(on):
    kit = on()
    kit.they_write(f"My invitation code is {kit.invite()}")
    kit.they_write("menu")
    kit.soon(hours=50)
    kit.home(SAM)
    kit.slack.tap(TEAM, SAM, EN["desk.button.open"], where="home")
    kit.slack.wait_for(lambda: kit.slack.modal(TEAM, SAM))
    kit.work()
    assert kit.fills({"who": NUMBER}) == {}
    kit.settle()
    assert "Send template" in labels(kit.root())
    kit.does("Send template")
    assert len(kit.bells()) == 1
    kit.they_write("hello?")
    assert kit.thread()[-1].startswith(f"<@{SAM}>")
