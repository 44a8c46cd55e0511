"""What was known of somebody when their case was opened, so that nobody asks them again: first in the thread.

Their answers, the last live test with the mail server's own words, and which articles they were shown. No state of a
talk holds a secret, and the server's words were redacted when they were noted.
"""

from collections.abc import Iterator

from bot.channels.slack.style import SlackStyle
from bot.desk_facts import has_failed, last_error
from bot.desk_menu import talk_of
from bot.store import cases, promises, questions
from bot.store.engine import Connection, Row
from flows import guide
from flows.conversation import given
from flows.speech import sentence
from flows.words import Language

MOST_ARTICLES = 8
TESTS = ("TestLogin", promises.DESK_TEST, promises.RETEST)
_STYLE = SlackStyle()


def packet_text(db: Connection, row: Row, spoken: Language) -> str:
    """The packet of a case (`cases.about`), in the team's language; empty: nothing was known."""
    return "\n".join(_lines(db, row, spoken))


def _lines(db: Connection, row: Row, spoken: Language) -> Iterator[str]:
    answers = given(talk_of(row))
    if answers:
        shown = (f"{sentence(f'desk.given.{name}', spoken)} {_STYLE.code(value)}" for name, value in answers.items())
        yield sentence("desk.packet.given", spoken, answers=", ".join(shown))
    tested = promises.last_outcome(db, row.conversation_id, TESTS)
    if tested is not None and has_failed(tested.outcome):
        yield sentence("desk.packet.test", spoken)
        yield last_error(tested.outcome, spoken)
    topics = questions.answered_with(db, row.conversation_id, cases.ended_before(db, row), MOST_ARTICLES)
    titles = [guide.articles(spoken)[one].title for one in topics if one in guide.articles(spoken)]
    if titles:
        yield sentence("desk.packet.articles", spoken, titles=", ".join(titles))
