"""How far a live test has come, in the window that its person has open: step by step, and never in the test's way."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from flows.speech import Message, sentence
from flows.words import Language

# The steps as a person sees them, each with the stages of the test that it takes.
STEPS: dict[str, frozenset[str]] = {
    "dns": frozenset({"dns"}),
    "connect": frozenset({"connect"}),
    "tls": frozenset({"tls", "starttls"}),
    "auth": frozenset({"auth"}),
    "mail": frozenset({"mail"}),
}
QUESTION = "slack.testing"  # the question of a window that only shows how far the test is


class Progress:
    """Shows each new state by a thread of its own, the newest one only: a slow channel holds no mail test up."""

    def __init__(self, show: Callable[[Message], None] | None, address: str, language: Language, *, mail: bool) -> None:
        """`show` puts a message into the window; None: there is none. `mail`: a mail to oneself is the last step."""
        self._show = show
        self._address = address
        self._language = language
        self._steps = [step for step in STEPS if mail or step != "mail"]
        self._passed: set[str] = set()
        self._news = threading.Condition()
        self._fresh = True
        self._over = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="progress")

    def __enter__(self) -> Self:
        if self._show is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing more is shown: what comes now is the answer itself."""
        with self._news:
            self._over = True
            self._news.notify()
        if self._show is not None:
            self._thread.join()

    def passed(self, stage: str, seconds: float, *, ok: bool) -> None:
        """A stage of the test has ended; see `mail.wire.smtp.Watch`."""
        del seconds
        if ok:
            with self._news:
                self._passed.add(stage)
                self._fresh = True
                self._news.notify()

    def _run(self) -> None:
        while (message := self._next()) is not None and self._show is not None:
            self._show(message)

    def _next(self) -> Message | None:
        """What is to be shown next; None: the test is over."""
        with self._news:
            self._news.wait_for(lambda: self._fresh or self._over)
            self._fresh = False
            return None if self._over else Message("\n".join(self._lines()), (), self._language, QUESTION)

    def _lines(self) -> list[str]:
        done = [bool(STEPS[step] & self._passed) for step in self._steps]
        now = done.index(False) if False in done else len(done)
        signs = ["done" if number < now else "now" if number == now else "later" for number in range(len(done))]
        named = [sentence(f"slack.stage.{step}", self._language) for step in self._steps]
        intro = sentence("slack.stage.intro", self._language, address=self._address)
        lines = (
            sentence(f"slack.stage.{sign}", self._language, what=name) for sign, name in zip(signs, named, strict=True)
        )
        return [intro, *lines, "", sentence("slack.stage.outro", self._language)]
