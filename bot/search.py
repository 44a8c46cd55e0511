"""Finds the article for a question: a linear classifier over pieces of words, learnt from the guide's own phrasings.

Pieces of two to four letters read through slips of the pen, missing accents and mixed languages; whole words and pairs
of them tell topics apart. Compared with other methods in `tests/bench/guide.py`; the reasons stand in docs/guide.md.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from bot.learnt import folded, learnt
from flows import guide
from flows.facts import Question
from flows.words import LANGUAGES, Language

MAX_TEXT = 600  # characters of a message that are looked at
MAX_PARTS = 6  # sentences of a message that are looked at one by one
MAX_ALSO = 2  # further questions of one message that are offered
LEAST_LETTERS = 2  # of a question ("2fa")
FOLLOW_UP = 6  # words: "and what about for hotmail"
CAUTION = 1.3  # weight of what is not in the guide: to answer what was not asked is worse than to offer a person
CLEAR = 0.45  # share from which a topic is surely meant
LIKELY = 0.25  # share below which nothing was recognised
CLEAR_PART = 0.7  # share from which a sentence of a longer message counts as a question of its own
SURE = 0.8  # share from which a message's language is sure
LEAST_WORDS = 3  # of a message whose language is judged

_SENTENCE = re.compile(r"(?<=[?!.;])\s+|\n+")
_WORD = re.compile(r"\w+")
_AROUND = ".,;:!?¿¡()\"'…"  # punctuation that touches a word
# What surrounds the provider's name when a question is asked again for another one.
_FILLERS = frozenset(
    """a about also and as com como con da de del do e el em en es for how i if in it its la lo me na no o of on os ou
    para pra pro que se si tambem tambien the then to use uso what with y you""".split()  # noqa: SIM905 - a list of words reads as one
)


@dataclass(frozen=True, slots=True)
class Ranked:
    """Topics and kinds with their shares, the likeliest first; what is out of scope is one of them, "".

    `kind`: the likeliest topic or kind, with what is out of scope told apart.
    """

    shares: tuple[tuple[str, float], ...]
    kind: str

    @property
    def best(self) -> tuple[str, float]:
        """The likeliest and its share."""
        return self.shares[0]

    @property
    def topics(self) -> tuple[tuple[str, float], ...]:
        """The topics alone."""
        return tuple(one for one in self.shares if one[0] not in _NO_TOPICS)


_NO_TOPICS = frozenset({"", guide.GREETING, guide.THANKS, guide.PERSON})


class Search:
    """Finds articles. What it learns is learnt on first use, or by `warm`; safe to share between threads."""

    def __init__(self, family: Callable[[str], str | None] = lambda _text: None) -> None:
        """`family`: the family of the one provider that a text names, None where it names none or several."""
        self._family = family

    def warm(self) -> None:
        """Learn now what would else be learnt with the first question."""
        learnt()

    def find(self, text: str, previous: str = "") -> Question:
        """What a message asks. `previous`: the topic that was answered last, for "and for Outlook?"."""
        bare = text[:MAX_TEXT].strip()
        if sum(map(str.isalpha, bare)) < LEAST_LETTERS:
            return Question()
        if again := self._asked_again(bare, previous):
            return Question((again,), clear=True, score=1.0)
        ranked = self.rank(bare)
        language = self._language(bare)
        several = self._several(bare)
        if len(several) > 1:
            return Question(several[:1], several[1 : 1 + MAX_ALSO], clear=True, score=ranked.best[1], language=language)
        name, share = ranked.best
        if name in _NO_TOPICS:
            kind = ranked.kind if share >= LIKELY else ""
            return Question((), clear=share >= CLEAR, score=share, language=language, kind=kind)
        if share < LIKELY:
            return Question((), score=share, language=language)
        name = self._of_the_named(bare, name)
        second = tuple(topic for topic, other in ranked.topics[1:2] if share < CLEAR and other >= LIKELY / 2)
        return Question((name, *second), clear=share >= CLEAR, score=share, language=language)

    def rank(self, text: str) -> Ranked:
        """All topics and kinds by their shares."""
        known = learnt().whats(text)
        outside = {name: share for name, share in known.items() if name in guide.OUT_OF_SCOPE}
        together = {name: share for name, share in known.items() if name not in outside}
        together[""] = CAUTION * sum(outside.values())
        whole = sum(together.values())
        ordered = sorted(((name, share / whole) for name, share in together.items()), key=lambda one: -one[1])
        return Ranked(tuple(ordered), ordered[0][0] or max(outside, key=lambda name: outside[name]))

    def _asked_again(self, text: str, previous: str) -> str:
        """The topic of a message that only names another provider."""
        words = _WORD.findall(folded(text))
        if not words or len(words) > FOLLOW_UP or not previous:
            return ""
        family = self._family(text)
        if family is None:
            return ""
        named = [word for word in words if word not in _FILLERS and self._family(word) is None]
        return "" if named else guide.same_of(previous, family)

    def _of_the_named(self, text: str, topic: str) -> str:
        """The topic about the provider that is named, even with a slip of the pen, where there is one for each."""
        if not any(topic in family.values() for family in guide.FAMILIES):
            return topic
        named = self._family(text)
        return guide.same_of(topic, named) if named is not None else topic

    def _several(self, text: str) -> tuple[str, ...]:
        """The topics of a message's sentences, in their order, where each is clear."""
        parts = [part for part in _SENTENCE.split(text) if len(_WORD.findall(part)) > 1][:MAX_PARTS]
        if len(parts) < 2:  # noqa: PLR2004 - one sentence is the whole
            return ()
        ranked = [self.rank(part) for part in parts]
        clear = [one.best[0] for one in ranked if one.best[1] >= CLEAR_PART and one.best[0] not in _NO_TOPICS]
        return tuple(dict.fromkeys(clear))

    def _language(self, text: str) -> Language | None:
        # An address, a host or a code is of no language, and its parts are not words.
        words = [word for word in text.split() if word.strip(_AROUND).isalpha()]
        if len(words) < LEAST_WORDS:
            return None
        language, share = _likeliest(" ".join(words))
        return language if share >= SURE else None

    def language_of(self, text: str) -> Language:
        """The likeliest language of a text, sure or not."""
        return _likeliest(text)[0]


def _likeliest(text: str) -> tuple[Language, float]:
    shares = learnt().languages(text)
    language = max(LANGUAGES, key=lambda one: shares[one])
    return language, shares[language]
