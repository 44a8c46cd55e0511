import html
import re

import pytest

from bot.channels.slack.render import Frame, render, window
from bot.channels.slack.style import SlackStyle
from bot.playground import blocks_page
from bot.playground.blocks_page import Undrawn, home, message, modal, mrkdwn, page
from flows.speech import Button, Entry, Message

FRAME = Frame("E-mail in Ally", "Next", "Close")
PLAIN = {"type": "plain_text", "text": "A & B"}


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("*1* of *3* can send", "<b>1</b> of <b>3</b> can send"),
        ("_a_ and ~b~", "<i>a</i> and <s>b</s>"),
        ("*bold with `code`*, more", "<b>bold with <code>code</code></b>, more"),
        ("`*no bold*`", "<code>*no bold*</code>"),
        ("wrong_credentials_here, 2*3*4, a~b", "wrong_credentials_here, 2*3*4, a~b"),
        ("* no bold * and **", "* no bold * and **"),
        ("*two\nlines*", "*two<br>lines*"),
        ("&lt;b&gt; &amp;amp;", "&lt;b&gt; &amp;amp;"),
        ("<b>", '<a href="b" rel="noreferrer">b</a>'),
        ("<https://a.test/?x=1&amp;y|here>", '<a href="https://a.test/?x=1&amp;y" rel="noreferrer">here</a>'),
        ("<mailto:a@b.test>", '<a href="mailto:a@b.test" rel="noreferrer">a@b.test</a>'),
        ("(https://a.test/x).", '(<a href="https://a.test/x" rel="noreferrer">https://a.test/x</a>).'),
        ("<!here> <@U1>", '<span class="sl-mention">!here</span> <span class="sl-mention">@U1</span>'),
        ("a\n> b\n&gt; c\nd", "a<blockquote>b<br>c</blockquote>d"),
        ("one\n\ntwo\nthree", 'one<span class="sl-gap"></span>two<br>three'),
        ("```a\n*b*```", "<pre>a<br>*b*</pre>"),
    ],
)
def test_slacks_marks_are_drawn(text, drawn):
    assert mrkdwn(text) == drawn


@pytest.mark.parametrize("said", ["*x* _y_ ~z~", "<!channel>", "<https://a.test|b>", "`x`", "> quoted", "&lt;b&gt;"])
def test_what_a_person_wrote_is_drawn_as_it_was_written(said):
    """The style makes their signs harmless: nothing is bold, a mention or a link under another name."""
    drawn = re.sub(r'<a href="https://a.test" rel="noreferrer">(https://a.test)</a>', r"\1", _drawn_of(said))
    assert re.findall("<[^>]*>", drawn) == []
    assert html.unescape(drawn).replace("\u200a", "").replace("\u02cb", "`") == "Ana: " + said


def _drawn_of(said):
    return mrkdwn("Ana: " + SlackStyle().plain(said))


def test_a_message_is_drawn_with_its_buttons():
    shown = render(Message("Shall I?\n\nSay so.", (Button("a:yes", "Yes <all>"), Button("a:no", "No")), "en"))
    drawn = message({"text": shown.text, "blocks": shown.blocks}, "en", sender="A & B")
    assert "Shall I?" in drawn
    assert "<b>A &amp; B</b>" in drawn
    assert (
        '<button type="button" class="sl-button" data-action="a:yes" data-value="a:yes">Yes &lt;all&gt;</but' in drawn
    )


def test_a_note_for_one_person_says_so():
    drawn = message({"text": "*/ally* opens"}, "pt", private=True)
    assert "Visível só para você" in drawn
    assert "<b>/ally</b> opens" in drawn


def test_a_window_has_labelled_fields_errors_and_two_buttons():
    asked = Message("Which?", (), "es", "mailbox.address", (Entry("address", "Correo", "a@b"),))
    drawn = modal(window(asked, FRAME), "es", errors={"address": "Falta <algo>."})
    assert '<label class="sl-input"><span class="sl-label">Correo</span><input type="text"' in drawn
    assert 'value="a@b" maxlength="320" aria-invalid="true"' in drawn
    assert "Falta &lt;algo&gt;." in drawn
    assert 'data-callback="mailbox.address"' in drawn
    assert '<button type="button" class="sl-button" data-close>Close</button>' in drawn
    assert '<button type="submit" class="sl-button sl-primary">Next</button>' in drawn


def test_without_fields_a_window_has_nothing_to_submit():
    assert "submit" not in modal(window(Message("One moment", (), "en", "slack.waiting"), FRAME), "en")


def test_people_are_picked_from_a_menu_of_which_none_is_needed():
    asked = Message("Whom?", (), "en", "invite.whom", (Entry("people", "People", kind="people"),))
    drawn = modal(window(asked, FRAME), "en", choices={"multi_users_select": (("U1", "Ana"),)})
    assert "<legend>" in drawn
    assert "(optional)" in drawn
    assert '<label><input type="checkbox" name="people" value="U1"> Ana</label>' in drawn


def test_a_field_may_be_long_and_have_a_hint():
    element = {"type": "plain_text_input", "action_id": "value", "multiline": True, "placeholder": PLAIN}
    field = {"type": "input", "block_id": "x", "label": PLAIN, "element": element, "hint": PLAIN, "optional": True}
    drawn = modal({"type": "modal", "title": PLAIN, "blocks": [field]}, "en")
    assert '<textarea name="x" placeholder="A &amp; B"></textarea>' in drawn
    assert '<span class="sl-hint">A &amp; B</span>' in drawn


def test_a_home_is_drawn_with_headings_menus_and_small_print():
    menu = {"type": "overflow", "action_id": "m", "options": [{"text": PLAIN, "value": "go"}]}
    blocks = [
        {"type": "header", "text": PLAIN},
        {"type": "divider"},
        {"type": "section", "text": {"type": "mrkdwn", "text": "*Ana*"}, "accessory": menu},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "small"}, PLAIN]},
    ]
    drawn = home({"type": "home", "blocks": blocks}, "en")
    assert '<h3 class="sl-header">A &amp; B</h3><hr class="sl-divider">' in drawn
    assert '<summary aria-label="More actions" data-action="m">' in drawn
    assert '<button type="button" class="sl-option" data-action="m" data-value="go">A &amp; B</button>' in drawn
    assert "<span>small</span><span>A &amp; B</span>" in drawn


def _with(block, kind="home"):
    return {"type": kind, "blocks": [block], **({"title": PLAIN} if kind == "modal" else {})}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "video"},
        {"type": "input", "block_id": "x", "label": PLAIN, "element": {"type": "plain_text_input"}},
        {"type": "section", "fields": [PLAIN]},
        {"type": "section", "text": PLAIN, "accessory": {"type": "datepicker"}},
        {"type": "header", "text": {"type": "mrkdwn", "text": "x"}},
        {"type": "actions", "elements": [{"type": "button", "text": PLAIN, "confirm": {}}]},
    ],
)
def test_what_is_not_drawn_is_an_error_and_never_left_out(block):
    with pytest.raises(Undrawn):
        home(_with(block), "en")


def test_a_field_that_is_not_drawn_is_an_error():
    block = {"type": "input", "label": PLAIN, "element": {"type": "datepicker"}}
    with pytest.raises(Undrawn, match="datepicker"):
        modal(_with(block, "modal"), "en")
    with pytest.raises(Undrawn, match="external_id"):
        modal({**_with({"type": "divider"}, "modal"), "external_id": "x"}, "en")


def test_a_page_is_complete_in_itself_and_its_style_touches_nothing_else():
    made = page("<p>x</p>", title="A & B", language="pt")
    assert made.startswith('<!doctype html><html lang="pt">')
    assert "A &amp; B" in made
    assert "<script" not in made
    rules = [line for line in blocks_page.CSS.read_text(encoding="utf-8").splitlines() if "{" in line]
    assert all(line.lstrip().startswith((".sl", "@media")) for line in rules)
