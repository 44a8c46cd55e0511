"""Rows of the guide: how often the right article is found, by ours and by other methods; how fast, how large."""

from __future__ import annotations

import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import ComplementNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from bot.learnt import Learnt, classifier, folded, phrasings, pieces
from bot.search import Search
from flows import guide
from tests.bench.figures import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HELD_OUT = tuple(
    Path(__file__).parents[1] / "data" / name for name in ("guide_questions.jsonl", "guide_held_out.jsonl")
)
FOLDS = 5
RIGHT, RIGHT_OF_THREE, RIGHTLY_NOT_ANSWERED = 95.0, 99.0, 95.0  # percent, at least
LANGUAGES_APART = 2.0  # points, at most
ANSWER_MS, LEARNING_S, READING_S = 5.0, 2.0, 0.5
ROUTED = {guide.GREETING: "greeting", guide.THANKS: "greeting", guide.PERSON: "talk_to_human"}
OUTSIDE = "out_of_scope"
METHODS: dict[str, Callable[[], Any]] = {
    "linear SVM on pieces of words and words (ours)": lambda: make_pipeline(pieces(), classifier()),
    "linear SVM on words alone": lambda: make_pipeline(_words(), classifier()),
    "logistic regression on the same pieces": lambda: make_pipeline(
        pieces(), SGDClassifier(loss="log_loss", alpha=1e-5, random_state=1)
    ),
    "complement naive Bayes on the same pieces": lambda: make_pipeline(pieces(), ComplementNB(alpha=0.1)),
    "the nearest phrasing (cosine) on the same pieces": lambda: make_pipeline(
        pieces(), KNeighborsClassifier(1, metric="cosine")
    ),
}


def rows(*, methods: bool) -> list[Row]:
    """All figures of the guide; `methods`: also of what was not chosen, which takes half a minute."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:  # this process may know it all already
        learning = fresh.submit(_learning).result()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        reading, memory = fresh.submit(_reading).result()
    search = _learnt()
    return [
        *(_compared() if methods else ()),
        *_found(search),
        Row("guide: learning", "s", [learning], (), LEARNING_S),
        Row("guide: reading what was learnt", "s", [reading], (), READING_S),
        Row("guide: memory of what was learnt", "MB", [memory], ()),
    ]


def held_out() -> list[dict[str, Any]]:
    """Questions written by people who had not seen the guide, with the topics that count as right."""
    return [json.loads(line) for file in HELD_OUT for line in file.read_text(encoding="utf-8").splitlines()]


def _learning() -> float:
    """Seconds that learning takes a process that has not learnt yet."""
    return _timed(Learnt.anew)[1]


def _reading() -> tuple[float, float]:
    """Seconds and MB that it costs a process to read what another one has learnt."""
    before = psutil.Process().memory_info().rss
    _, seconds = _timed(_learnt)
    return seconds, (psutil.Process().memory_info().rss - before) / 1e6


def _learnt() -> Search:
    search = Search()
    search.warm()
    return search


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    done = work()
    return done, time.perf_counter() - started


def _words() -> TfidfVectorizer:
    return TfidfVectorizer(analyzer="word", ngram_range=(1, 2), token_pattern=r"\w+", sublinear_tf=True)


def _compared() -> list[Row]:
    """Each method over our own phrasings, cross-validated, and over questions of people who had not seen them."""
    learnt = list(phrasings())
    words, whats = [folded(text) for text, _, _ in learnt], [_topic(what) for _, _, what in learnt]
    asked = held_out()
    made = []
    for name, method in METHODS.items():
        folds = [
            100
            * _share(method().fit(_at(words, learn), _at(whats, learn)).predict(_at(words, check)), _at(whats, check))
            for learn, check in StratifiedKFold(FOLDS, shuffle=True, random_state=1).split(words, whats)
        ]
        unseen = method().fit(words, whats).predict([folded(row["text"]) for row in asked])
        right = [found in row["accept"] for found, row in zip(unseen, asked, strict=True)]
        made += [
            Row(f"guide: cross-validated, {name}", "%", folds, ()),
            Row(f"guide: unseen questions, {name}", "%", [100 * sum(right) / len(right)], ()),
        ]
    return made


def _topic(what: str) -> str:
    return OUTSIDE if what in guide.OUT_OF_SCOPE else ROUTED.get(what, what)


def _at(values: Sequence[str], places: Sequence[int]) -> list[str]:
    return [values[place] for place in places]


def _share(found: Sequence[str], right: Sequence[str]) -> float:
    return sum(one == other for one, other in zip(found, right, strict=True)) / len(right)


def _found(search: Search) -> list[Row]:
    asked = held_out()
    inside = [row for row in asked if row["topic"] not in {OUTSIDE, *ROUTED.values()}]
    outside = [row for row in asked if row["topic"] == OUTSIDE]
    by_language = [
        _percent(_is_right(search, row) for row in inside if row["lang"] == language)
        for language in sorted({row["lang"] for row in inside})
    ]
    took = [1000 * _timed(lambda text=row["text"]: search.find(text))[1] for row in asked]
    return [
        Row(
            "guide: right topic first", "%", [_percent(_is_right(search, row) for row in inside)], (),
            RIGHT, at_least=True,
        ),
        Row(
            "guide: right topic among three", "%", [_percent(_is_among_three(search, row) for row in inside)], (),
            RIGHT_OF_THREE, at_least=True,
        ),
        Row(
            "guide: rightly not answered", "%", [_percent(not search.find(row["text"]).topics for row in outside)], (),
            RIGHTLY_NOT_ANSWERED, at_least=True,
        ),
        Row("guide: best language less worst", "points", [max(by_language) - min(by_language)], (), LANGUAGES_APART),
        Row("guide: an answer", "ms", [median(took)], (), ANSWER_MS),
    ]  # fmt: skip


def _percent(right: Any) -> float:
    counted = list(right)
    return 100 * sum(counted) / len(counted)


def _is_right(search: Search, row: dict[str, Any]) -> bool:
    topics = search.find(row["text"]).topics
    return bool(topics) and topics[0] in row["accept"]


def _is_among_three(search: Search, row: dict[str, Any]) -> bool:
    return any(name in row["accept"] for name, _ in search.rank(row["text"]).shares[:3])
