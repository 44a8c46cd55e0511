"""What is said to a question: the article, two to choose from, or honestly that it is not in the guide."""

from dataclasses import dataclass, replace

from flows import guide
from flows.facts import Facts, Question
from flows.flow import GO
from flows.reading import plain
from flows.speech import has
from flows.words import Code, Effect, NoteQuestion, NotHelpful, Option, Say, SetLanguage, Text, Value, Values

READ = (
    "read:"  # an option that shows an article: "read:cost", its steps: "read:steps.cost", or that it was the wrong one
)
NOT_IT = "not"
STEPS = "steps."
PERSON = Option(f"{GO}person", "button.person")
LEAST_WORDS = 4  # of a message that is language rather than an answer, even without a question mark
LABELS = (
    "settings", "integrations", "integrate", "edit_profile", "own_smtp", "smtp_email", "smtp_password", "test_smtp",
    "save", "host", "port", "ssl",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reply:
    """What is said and noted, what is offered besides the pending question, and the topic to be remembered.

    `briefly`: where the menu is the pending question, it need not be shown again.
    """

    effects: tuple[Effect, ...]
    offer: tuple[Option, ...] = ()
    topic: str = ""
    briefly: bool = True


def is_one(text: str) -> bool:
    """Whether a message is worded as a question or a sentence, rather than as an answer."""
    return asks(text) or len(text.split()) >= LEAST_WORDS


def is_a_phrase(text: str) -> bool:
    """Whether it is two words or more, of letters only: "gmail smtp". One word alone may be an answer, or a secret."""
    words = text.split()
    return len(words) > 1 and all(word.isalpha() for word in words)


# What a question begins with where its mark is left away, as on a phone it mostly is.
_BEGINNINGS = (
    "what ", "whats ", "what's ", "how ", "why ", "where ", "who ", "which ", "when ", "can i ", "do i ", "does ",
    "is it ", "o que ", "que e ", "como ", "por que ", "porque ", "pq ", "onde ", "quem ", "qual ", "quando ", "posso ",
    "preciso ", "que es ", "donde ", "quien ", "cual ", "cuando ", "puedo ", "necesito ", "tengo que ",
)  # fmt: skip


def asks(text: str) -> bool:
    """Whether it has the mark of a question, or begins as one and goes on: "what is smtp"."""
    begins = plain(text).startswith(_BEGINNINGS) and len(text.split()) >= LEAST_WORDS - 1
    return has_its_mark(text) or begins


def has_its_mark(text: str) -> bool:
    """Whether it ends, or in Spanish begins, as a question does."""
    return text.strip().endswith("?") or text.strip().startswith("¿")


# What points at the question just asked, and says nothing by itself.
_POINTING = frozenset({
    "what is that", "what is this", "what is it", "whats that", "whats this", "what's that", "what's this", "what",
    "what does that mean", "what does this mean", "i don't understand", "i dont understand", "huh",
    "o que e isso", "o que e isto", "que e isso", "oque e isso", "o que significa isso", "como assim", "nao entendi",
    "nao entendo", "que es eso", "que es esto", "que significa eso", "que significa esto", "no entiendo", "no entendi",
})  # fmt: skip


def points(text: str) -> bool:
    """Whether a message only points at what was asked: "what is that?"."""
    return plain(text).rstrip("? ") in _POINTING


def is_asked(text: str, facts: Facts) -> bool:
    """The guard of states that take any words: whether these are surely a question that the guide answers.

    Who names a provider there means an answer: "is it GoDaddy?".
    """
    asked = facts.question
    sure = asked is not None and asked.clear and bool(asked.topics) and not asked.provider
    return sure and text.strip().endswith("?")


def reply(text: str, facts: Facts, *, here: str, resting: bool, keep: bool) -> Reply | None:
    """What is said to a message that no flow took; None where it is rather a failed answer to what was asked.

    `here`: the flow that goes on afterwards. `resting`: nothing particular was asked. `keep`: the words may be noted.
    """
    asked = facts.question
    language = is_one(text) or is_a_phrase(text)
    if asked is None or not (language or resting) or (points(text) and not resting):
        return None
    words = text if keep and language else ""  # one word may be anything, a password, too
    if not facts.agency and asked.topics[:1] == (START,) and not has_its_mark(text):
        # Who wants to begin and belongs to no agency reads behind this what comes first.
        return _in_their_language(facts, Reply((NoteQuestion(words, START),), topic=START, briefly=False))
    if asked.clear and asked.topics:
        return _in_their_language(facts, answered(asked, words, facts, here))
    if not (asks(text) or (resting and (language or asked.clear or asked.topics))):
        return None  # the flow knows better why this was no answer to what it asked
    if asked.kind in {guide.GREETING, guide.THANKS}:
        said = Reply((Say(f"guide.{asked.kind}"),), briefly=asked.kind == guide.THANKS)
        return _in_their_language(facts, said) if resting else None
    if len(asked.topics) > 1:
        which = (NoteQuestion(words, ""), Say("guide.which"))
        return _in_their_language(facts, Reply(which, _to_choose(asked.topics)))
    if asked.topics:
        return _in_their_language(facts, answered(asked, words, facts, here))
    return _in_their_language(facts, _not_answered(asked, words))


def wants_a_person(facts: Facts) -> bool:
    """Whether a message surely asks for a person, in whatever words."""
    return facts.question is not None and facts.question.clear and facts.question.kind == guide.PERSON


def _not_answered(asked: Question, words: str) -> Reply:
    kind = asked.kind if asked.clear and asked.kind in guide.OUT_OF_SCOPE else "unknown"
    return Reply((NoteQuestion(words, ""), Say(f"guide.{kind}")), (PERSON,))


def _in_their_language(facts: Facts, said: Reply) -> Reply:
    """What is surely written in another language of ours turns the conversation to it."""
    return replace(said, effects=(*their_language(facts), *said.effects))


def their_language(facts: Facts) -> tuple[SetLanguage, ...]:
    """The language that the person surely writes, where it is another one than the conversation's."""
    written = facts.question.language if facts.question else None
    return (SetLanguage(written),) if written is not None and written != facts.language else ()


def answered(asked: Question, words: str, facts: Facts, here: str) -> Reply:
    """The answer to a question that has a topic; `words`: what may be noted of it."""
    topic = asked.topics[0]
    shown = shown_article(topic, facts, here)
    named = (_server(asked),) if topic in NAMED and asked.server is not None else ()
    more = (Say("guide.also"),) if asked.also else ()
    also = tuple(Option(f"{READ}{one}", f"article.button.{one}") for one in asked.also)
    return Reply((NoteQuestion(words, topic), *named, *shown.effects, *more), (*also, *shown.offer), topic)


START = "where_to_start"
NAMED = frozenset({"other_provider_settings", "find_smtp_settings", "which_port_ssl"})


def _server(asked: Question) -> Say:
    server = asked.server
    if server is None:
        raise LookupError("nothing is known of that provider's server")
    values: dict[str, Value] = {"name": asked.provider, "server": Code(server.host), "number": server.port}
    return Say("guide.server", {**values, "host": Text("ally.host"), "port": Text("ally.port")})


def shown_article(topic: str, facts: Facts, here: str) -> Reply:
    """An article's short answer, with what can be done next."""
    known = guide.article(topic)
    steps = (Option(f"{READ}{STEPS}{topic}", "guide.button.steps"),) if known.steps else ()
    wrong = Option(f"{READ}{NOT_IT}", "guide.button.not")
    ours = f"guide.door.{topic}"  # what is otherwise where Ally can send through us
    otherwise = (Say(ours, _values(facts)),) if facts.house.door and has(ours) else ()
    return Reply(
        (Say(f"article.{topic}", _values(facts)), *otherwise),
        (*steps, *_action(known.action, facts, here), wrong),
        topic,
    )


def read(target: str, topic: str, facts: Facts, here: str) -> Reply | None:
    """What a button leads to (behind `READ`): an article, its steps, or another try after `topic` was the wrong one."""
    if target == NOT_IT:
        return _wrong(topic)
    name = target.removeprefix(STEPS)
    if name not in guide.articles(facts.language):
        return None
    known = guide.article(name)
    if target == name or not known.steps:
        return shown_article(name, facts, here)
    said = Say(f"article.steps.{name}", _values(facts)), Say("guide.checked", {"day": known.checked})
    return Reply(said, _action(known.action, facts, here), name)


def _wrong(topic: str) -> Reply:
    related = guide.article(topic).related[:2] if topic else ()
    return Reply((NotHelpful(), Say("guide.sorry")), (*_to_choose(related), PERSON))


def _to_choose(topics: tuple[str, ...]) -> tuple[Option, ...]:
    return tuple(Option(f"{READ}{topic}", f"article.button.{topic}") for topic in topics)


def _action(action: str, facts: Facts, here: str) -> tuple[Option, ...]:
    """The button that leads from words to deeds, where this person can do them now, and is not just doing them."""
    if action == "person":
        return (PERSON,)
    mine = facts.mailbox is not None
    target, label, possible = {
        "setup": ("mailbox.manage", "menu.button.mailbox", True) if mine else ("mailbox", "menu.button.setup", True),
        "manage": ("mailbox.manage", "menu.button.mailbox", mine),
        "card": ("card", "menu.button.card", mine),
        "integrate": ("integrate", "menu.button.integrate", facts.role == "admin"),
    }.get(action, ("", "", False))
    usable = possible and bool(facts.agency) and target.partition(".")[0] != here
    return (Option(f"{GO}{target}", label),) if usable else ()


def _values(facts: Facts) -> Values:
    house = facts.house
    return {
        **{name: Text(f"ally.{name}") for name in LABELS},
        "days": house.retention_days,
        "privacy_url": house.privacy_url,
        "operator": house.operator,
        "per_hour": house.mails_per_hour,
        "per_day": house.mails_per_day,
        "door": Code(house.door),
        "door_port": house.door_port,
    }
