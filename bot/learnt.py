"""What is learnt from the guide's own phrasings, and kept beside the code until either changes.

Learning takes seconds, and whoever writes meanwhile waits; reading what was learnt takes hundredths of one.
"""

import hashlib
import math
import os
import re
import tempfile
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import structlog

from flows import guide
from flows.words import LANGUAGES, Language

WARMTH = 0.25  # what turns distances into shares; the smaller, the bolder
# Where Python keeps what it makes of our code, too: who may write there may change the code anyway.
PLACE = Path(__file__).with_name("__pycache__")
_NAME = "guide-{}.npz"
_WORD = re.compile(r"\w+")
_log = structlog.get_logger(__name__)


def folded(text: str) -> str:
    """Text without case and accents."""
    apart = unicodedata.normalize("NFKD", text).casefold()
    return "".join(sign for sign in apart if not unicodedata.combining(sign))


def phrasings() -> Iterator[tuple[str, Language, str]]:
    """All that is learnt from: (words, language, topic or kind)."""
    for language in LANGUAGES:
        for one in guide.articles(language).values():
            yield from ((words, language, one.topic) for words in (*one.asks, one.title))
        for kind, rows in guide.unanswered(language).items():
            yield from ((words, language, kind) for words in rows)


def letters(text: str) -> list[str]:
    """Pieces of two to four letters of each word, with a blank before and behind it; a shorter word once."""
    found = []
    for word in text.split():
        padded = f" {word} "
        for length in (2, 3, 4):
            if length >= len(padded):
                found.append(padded)
                break
            found += [padded[begin : begin + length] for begin in range(len(padded) - length + 1)]
    return found


def words(text: str) -> list[str]:
    """Words, and pairs of words that follow one another."""
    single = _WORD.findall(text)
    return [*single, *(" ".join(pair) for pair in pairwise(single))]


def pieces() -> Any:
    """The features of folded texts: `letters` and `words`, weighed by rarity."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 - a second, seldom needed
    from sklearn.pipeline import make_union  # noqa: PLC0415

    return make_union(
        TfidfVectorizer(analyzer=letters, sublinear_tf=True, min_df=2),
        TfidfVectorizer(analyzer=words, sublinear_tf=True),
    )


def classifier() -> Any:
    """A linear classifier, one class against all others: https://www.csie.ntu.edu.tw/~cjlin/liblinear/."""
    from sklearn.svm import LinearSVC  # noqa: PLC0415 - see above

    # 0.03: learnt in five sixths of the time that 0.01 takes; the figures on held-out questions are the same.
    return LinearSVC(C=1.0, tol=0.03, random_state=0)  # the same answers on each machine and day


class Reader:
    """What fitted `pieces` find in one text: scikit-learn's own numbers, in a tenth of its time.

    Most of that goes into looking at what it is handed, which pays for many texts at once; each message is one.
    """

    def __init__(self, parts: Sequence[tuple[Sequence[str], Any]]) -> None:
        """`parts`: of `letters` and of `words` what is known, in the order of its columns, and how rare it is."""
        self.parts = parts
        self._columns = [{piece: column for column, piece in enumerate(known)} for known, _ in parts]

    @classmethod
    def of(cls, fitted: Any) -> "Reader":
        """That of fitted `pieces`."""
        return cls([(list(one.get_feature_names_out()), one.idf_) for _, one in fitted.transformer_list])

    def read(self, text: str) -> tuple[Any, Any]:
        """The columns that are not zero, and their values: 1 + log(count), weighed, each part of length 1."""
        import numpy as np  # noqa: PLC0415 - a tenth of a second that most commands need not wait

        columns, values, begin = [], [], 0
        for analyze, known, (_, rarity) in zip((letters, words), self._columns, self.parts, strict=True):
            counts = Counter(known[piece] for piece in analyze(text) if piece in known)
            found = np.fromiter(counts, dtype=np.intp, count=len(counts))
            weights = (1 + np.log(np.fromiter(counts.values(), dtype=float, count=len(counts)))) * rarity[found]
            columns.append(found + begin)
            values.append(weights / (np.linalg.norm(weights) or 1.0))
            begin += len(known)
        return np.concatenate(columns), np.concatenate(values)


class Judge:
    """A fitted classifier; its `names` in the order of its distances."""

    def __init__(self, names: Sequence[str], weights: Any, begin: Any) -> None:
        """`weights`: a row for each column of a `Reader`; `begin`: what each name starts from."""
        self.names, self.weights, self.begin = list(names), weights, begin

    @classmethod
    def of(cls, fitted: Any) -> "Judge":
        """That of a fitted `classifier`."""
        import numpy as np  # noqa: PLC0415 - see above

        return cls([str(name) for name in fitted.classes_], np.ascontiguousarray(fitted.coef_.T), fitted.intercept_)

    def shares(self, read: tuple[Any, Any]) -> dict[str, float]:
        """How much of 1 speaks for each name (softmax): the further on its side, the more."""
        distances = self.distances(read)
        furthest = max(distances)
        weights = [math.exp((one - furthest) / WARMTH) for one in distances]
        whole = sum(weights)
        return {name: weight / whole for name, weight in zip(self.names, weights, strict=True)}

    def distances(self, read: tuple[Any, Any]) -> list[float]:
        """How far a text lies on the side of each name."""
        columns, values = read
        found: list[float] = (values @ self.weights[columns] + self.begin).tolist()
        return found


class Learnt:
    """Two classifiers over the same pieces of words: what is asked, and in which language."""

    def __init__(self, reader: Reader, what: Judge, tongue: Judge) -> None:
        self._reader, self._what, self._tongue = reader, what, tongue

    @classmethod
    def anew(cls) -> "Learnt":
        """Learn it: some three seconds of a processor."""
        rows = list(phrasings())
        made = pieces()
        found = made.fit_transform([folded(text) for text, _, _ in rows])
        what, tongue = ([one[place] for one in rows] for place in (2, 1))
        return cls(Reader.of(made), Judge.of(classifier().fit(found, what)), Judge.of(classifier().fit(found, tongue)))

    @classmethod
    def kept(cls, path: Path) -> "Learnt":
        """What `keep` wrote. Raises OSError; what numpy.load raises where something else stands there."""
        import numpy as np  # noqa: PLC0415 - see above

        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            parts = [(_lines(file[f"{name}_known"]), file[f"{name}_rarity"]) for name in ("letters", "words")]
            judges = [
                Judge(_lines(file[f"{name}_names"]), file[f"{name}_weights"], file[f"{name}_begin"])
                for name in ("what", "tongue")
            ]
        return cls(Reader(parts), *judges)

    def keep(self, path: Path) -> None:
        """Write it there, whole or not at all, in place of all that was learnt from something else. Raises OSError."""
        import numpy as np  # noqa: PLC0415 - see above

        path.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=_NAME.format(""), delete=False) as file:
            try:
                np.savez(file, **self._arrays())
                file.close()
                Path(file.name).chmod(0o644)
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        for older in set(path.parent.glob(_NAME.format("*"))) - {path}:
            older.unlink(missing_ok=True)

    def _arrays(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, (known, rarity) in zip(("letters", "words"), self._reader.parts, strict=True):
            made |= {f"{name}_known": _bytes(known), f"{name}_rarity": rarity}
        for name, judge in (("what", self._what), ("tongue", self._tongue)):
            made |= {
                f"{name}_names": _bytes(judge.names),
                f"{name}_weights": judge.weights,
                f"{name}_begin": judge.begin,
            }
        return made

    def whats(self, text: str) -> dict[str, float]:
        """All topics and kinds of the guide, with their shares."""
        return self._what.shares(self._reader.read(folded(text)))

    def languages(self, text: str) -> dict[str, float]:
        """All languages, with their shares."""
        return self._tongue.shares(self._reader.read(folded(text)))


def _bytes(lines: Sequence[str]) -> Any:
    import numpy as np  # noqa: PLC0415 - see above

    return np.frombuffer("\n".join(lines).encode(), dtype=np.uint8)  # no piece holds a line break


def _lines(array: Any) -> list[str]:
    lines: list[str] = array.tobytes().decode().split("\n")
    return lines


_learning = threading.Lock()


def learnt() -> Learnt:
    """What was learnt, once for all of a process; whoever comes meanwhile waits."""
    with _learning:
        return _learnt()


@cache
def _learnt() -> Learnt:
    path = PLACE / _NAME.format(_fingerprint())
    with suppress(OSError, EOFError, ValueError, KeyError, BadZipFile):
        return Learnt.kept(path)
    made = Learnt.anew()
    try:
        made.keep(path)
    except OSError as error:
        _log.info("what the guide taught is not kept", why=os.strerror(error.errno or 0))
    return made


def _fingerprint() -> str:
    """Another one as soon as the guide, this file or the library is another one."""
    read = repr((list(phrasings()), version("scikit-learn"))).encode() + Path(__file__).read_bytes()
    return hashlib.sha256(read).hexdigest()[:16]
