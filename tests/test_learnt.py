"""What is learnt from the guide, and kept beside the code until either changes."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from bot import learnt
from bot.learnt import Judge, Learnt, Reader, classifier, folded, letters, phrasings, pieces, words
from tests.bench.guide import held_out

ODD = [
    "",
    " ",
    "?!",
    "x",
    "a bc def",
    "\u4f60\u597d",
    "senha " * 90,
    "two\n\nlines\tand\u00a0more",
    "e-mail: ana@sol.test",
]


@pytest.fixture(scope="module")
def anew():
    return Learnt.anew()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty place to keep it in, for a process that has learnt nothing yet."""
    monkeypatch.setattr(learnt, "PLACE", tmp_path / "cache")
    monkeypatch.setattr(learnt, "_learnt", cache(learnt._learnt.__wrapped__))
    return tmp_path / "cache"


@pytest.fixture
def learning(anew, monkeypatch):
    """How often it was learnt, which takes no time here."""
    times = []
    monkeypatch.setattr(Learnt, "anew", classmethod(lambda _: times.append(1) or anew))
    return times


def another_process(monkeypatch):
    monkeypatch.setattr(learnt, "_learnt", cache(learnt._learnt.__wrapped__))


def asked():
    return [row["text"] for row in held_out()[::5]] + ODD


# --- the same as scikit-learn's ---------------------------------------------------------------------------------------


def test_the_pieces_are_those_that_scikit_learn_finds():
    theirs = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)).build_analyzer()
    pairs = TfidfVectorizer(analyzer="word", ngram_range=(1, 2), token_pattern=r"\w+").build_analyzer()
    for text in map(folded, asked()):
        assert sorted(letters(text)) == sorted(theirs(text)), text
        assert words(text) == pairs(text), text


def test_one_text_is_judged_as_scikit_learn_judges_it():
    rows = list(phrasings())[::7]
    made = pieces()
    fitted = classifier().fit(made.fit_transform([folded(text) for text, _, _ in rows]), [what for _, _, what in rows])
    reader, judge = Reader.of(made), Judge.of(fitted)
    texts = [folded(text) for text in asked()]
    assert judge.names == list(fitted.classes_)
    assert len(texts) > 200
    for text, expected in zip(texts, fitted.decision_function(made.transform(texts)), strict=True):
        assert judge.distances(reader.read(text)) == pytest.approx(list(expected), abs=1e-9), text


# --- kept -------------------------------------------------------------------------------------------------------------


def test_what_was_kept_answers_as_what_was_learnt(anew, tmp_path):
    anew.keep(tmp_path / "kept.npz")
    kept = Learnt.kept(tmp_path / "kept.npz")
    for text in asked():
        assert kept.whats(text) == anew.whats(text)
        assert kept.languages(text) == anew.languages(text)


def test_it_is_learnt_once_and_read_by_every_process_after_that(place, learning, monkeypatch):
    assert learnt.learnt() is learnt.learnt()
    another_process(monkeypatch)
    assert learnt.learnt().whats("gmail") == Learnt.anew().whats("gmail")
    assert learning == [1, 1]  # the second time here, to compare
    assert len(list(place.iterdir())) == 1


def test_all_threads_wait_for_the_one_that_learns(place, learning):
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: id(learnt.learnt()), range(16)))
    assert learning == [1]
    assert len(found) == 1


@pytest.mark.parametrize("change", ["guide", "library"])
def test_after_a_change_it_is_learnt_anew_and_the_older_one_goes(place, learning, monkeypatch, change):
    learnt.learnt()
    (before,) = place.iterdir()
    another_process(monkeypatch)
    if change == "guide":
        rows = [*phrasings(), ("something new", "en", "cost")]
        monkeypatch.setattr(learnt, "phrasings", lambda: iter(rows))
    else:
        monkeypatch.setattr(learnt, "version", lambda _: "99.0")
    learnt.learnt()
    (after,) = place.iterdir()
    assert learning == [1, 1]
    assert after != before


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"something else"])
def test_what_cannot_be_read_is_learnt_anew_and_mended(place, learning, monkeypatch, content):
    learnt.learnt()
    (file,) = place.iterdir()
    file.write_bytes(content)
    another_process(monkeypatch)
    learnt.learnt()
    assert learning == [1, 1]
    assert Learnt.kept(file).whats("gmail")


def test_a_file_that_lacks_something_is_learnt_anew(place, learning, monkeypatch):
    import numpy as np

    learnt.learnt()
    (file,) = place.iterdir()
    np.savez(file, letters_known=np.zeros(3, dtype=np.uint8))
    another_process(monkeypatch)
    learnt.learnt()
    assert learning == [1, 1]


def test_where_nothing_can_be_written_it_answers_all_the_same(place, learning):
    place.write_text("a file, and no folder")
    assert learnt.learnt().whats("gmail")
    assert place.read_text() == "a file, and no folder"


def test_a_write_that_fails_leaves_nothing_behind(anew, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.savez", full)
    with pytest.raises(OSError, match="No space"):
        anew.keep(tmp_path / "kept.npz")
    assert list(tmp_path.iterdir()) == []
