"""The routes that are not the one-time page: webhooks, health, metrics, privacy, and the way to the playground."""

import hmac
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import structlog
from flask import Blueprint, Response, redirect, render_template, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from werkzeug.wrappers import Response as Answer

from bot.channels import whatsapp
from bot.limits import LIMITS, Exhausted, source
from bot.log import Seldom
from bot.store import alarms, cases, conversations, door_mails, housekeeping, limits, promises
from bot.store.cases import Counted
from bot.store.engine import DatabaseDown, reading
from bot.web.language import browser_language
from bot.worker import LIFE
from flows.speech import sentence

if TYPE_CHECKING:
    from bot.app import Parts

MAX_BODY = 64 * 1024  # bytes of a webhook; Twilio's are a few kilobytes
MAX_PARTS = 200
LOOKED_AT = frozenset({"secret_page", "sign_in", "door_page", "data_page"})
# Seconds within which a case was answered (of working time), and resolved, as /metrics counts them.
SOON = (300, 900, 1800, 3600, 7200, 14400, 28800, 86400)
LATE = (900, 3600, 14400, 43200, 86400, 259200, 604800)
EMPTY_TWIML = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
_log = structlog.get_logger(__name__)
_seldom = Seldom(_log)


def pages(parts: "Parts") -> Blueprint:
    """The routes `/`, `/whatsapp`, `/whatsapp/status`, `/privacy`, `/healthz`, `/readyz`, `/metrics`."""
    view = _Pages(parts)
    blueprint = Blueprint("pages", __name__, template_folder="templates")
    blueprint.add_url_rule("/", "home", view.home)
    blueprint.add_url_rule("/privacy", "privacy", view.privacy)
    blueprint.add_url_rule("/healthz", "healthz", view.healthz)
    blueprint.add_url_rule("/readyz", "readyz", view.readyz)
    blueprint.add_url_rule("/metrics", "metrics", view.metrics)
    blueprint.add_url_rule("/whatsapp", "whatsapp", view.whatsapp, methods=["POST"])
    blueprint.add_url_rule("/whatsapp/status", "whatsapp_status", view.whatsapp_status, methods=["POST"])
    blueprint.before_app_request(view.few_looks)
    blueprint.app_errorhandler(DatabaseDown[0])(view.down)
    for kind in DatabaseDown[1:]:
        blueprint.app_errorhandler(kind)(view.down)
    return blueprint


class _Pages:
    def __init__(self, parts: "Parts") -> None:
        self._parts = parts
        self._settings = parts.settings

    # --- WhatsApp ---

    def whatsapp(self) -> Response:
        """One message: verified, taken as one turn, answered with nothing; what is to be said goes by REST.

        Only that an answer will take a moment is said here: it is to overtake what waits.
        """
        if not self._genuine():
            return Response("forbidden\n", 403, mimetype="text/plain")
        try:
            inbound = whatsapp.read(request.form.to_dict())  # plain: what is missing costs a form an exception each
        except whatsapp.BadWebhook as bad:
            _log.warning("webhook not understood", why=str(bad))
            return _twiml()
        taken = self._parts.turns.receive(inbound, answers=True)
        if not taken:
            _log.info("a webhook came twice", message=inbound.message_id)
            return _twiml()
        return _twiml(taken.aside)

    def whatsapp_status(self) -> Response:
        """What became of one of our messages."""
        if not self._genuine():
            return Response("forbidden\n", 403, mimetype="text/plain")
        status = whatsapp.read_status(request.form, request.args)
        if status is not None:
            with self._parts.engine.begin() as db:
                # In this order, as the worker does when it has said something: the conversation is held first.
                self._parts.casework.went(db, status, self._parts.clock.now())
                conversations.delivered(db, status)
        return _twiml()

    def _genuine(self) -> bool:
        """Signed by Twilio for the address that we told it: never for one put together from forwarded headers."""
        raw = request.environ.get("RAW_URI") or request.full_path.rstrip("?")
        signed = whatsapp.genuine(
            f"{self._settings.url}{raw}",
            request.form,
            request.headers.get("X-Twilio-Signature"),
            self._settings.twilio_auth_token,
        )
        mine = request.form.get("AccountSid") == self._settings.twilio_account_sid
        genuine = self._settings.real_twilio and signed and mine
        if not genuine:
            _seldom.warning("a request that is not signed as it has to be was refused", "Twilio")
        return genuine

    # --- pages ---

    def home(self) -> Answer | str:
        """The playground, or a plain word that we run."""
        if self._settings.playground_url:
            return redirect("/playground")
        return self._page("running")

    def privacy(self) -> str:
        """What is stored, for how long, and how to have it erased."""
        return self._page("privacy", days=str(self._settings.retention_days))

    def _page(self, name: str, **values: str) -> str:
        language = browser_language()
        operator = self._settings.operator_name

        def text(which: str) -> str:
            return sentence(which, language, operator=operator, **values)

        return render_template("plain.html", name=name, text=text, language=language)

    # --- health ---

    def healthz(self) -> Response:
        """Whether the process lives."""
        return Response("ok\n", mimetype="text/plain")

    def readyz(self) -> Response:
        """The database answers."""
        with reading(self._parts.engine) as db:
            housekeeping.database_time(db)
        return Response("ready\n", mimetype="text/plain")

    def metrics(self) -> Response:
        """Numbers for Prometheus, for whoever has the token."""
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        wanted = self._settings.metrics_token
        if not wanted or not hmac.compare_digest(given.encode(), wanted.encode()):
            _seldom.warning("a request without the right token was refused", "metrics")
            return Response("forbidden\n", 403, mimetype="text/plain")
        return Response(self._numbers(), content_type=CONTENT_TYPE_LATEST)

    def _numbers(self) -> bytes:
        registry = CollectorRegistry()
        due = Gauge("ally_promises_due", "Promises that are due", ["lane", "state"], registry=registry)
        heard = Gauge("ally_heard_seconds", "Seconds since a person's last message came in", registry=registry)
        talks = Gauge("ally_conversations", "Conversations", registry=registry)
        waiting = Gauge("ally_cases_open", "Open cases, by who has to act next", ["state"], registry=registry)
        age = "Seconds since the oldest waiting promise is due"
        oldest = Gauge("ally_oldest_due_seconds", age, ["lane"], registry=registry)
        life = Gauge("ally_worker_seconds", "Seconds since a worker's last sign of life", registry=registry)
        door = Gauge(
            "ally_door_mails",
            "Mails that left by the door, or may have, within a day",
            ["state"],
            registry=registry,
        )
        dead = Gauge("ally_dead_letters", "Turns that raised and were not replayed", registry=registry)
        with reading(self._parts.engine) as db:
            for lane, state, count in promises.depth(db, self._parts.clock.now()):
                due.labels(lane, state).set(count)
            if last := conversations.last_heard(db):
                heard.set((self._parts.clock.now() - last).total_seconds())
            talks.set(conversations.count(db))
            for mail_state, mails in door_mails.counted(db):
                door.labels(mail_state).set(mails)
            for state, count in cases.waiting(db).items():
                waiting.labels(state).set(count)
            registry.register(_Took(cases.answer_times(db, SOON), cases.resolution_times(db, LATE)))
            now = self._parts.clock.now()
            for lane, due_at in alarms.oldest_due(db, now).items():
                oldest.labels(lane).set((now - due_at).total_seconds())
            if sign := alarms.last_sign(db, LIFE):
                life.set((now - sign).total_seconds())
            dead.set(conversations.dead_letters_waiting(db))
            registry.register(_Limited(limits.refusals(db)))
        return generate_latest(registry)

    # --- around all routes ---

    def few_looks(self) -> Response | None:
        """Bound the look-ups of one-time pages by their source: tokens cannot be guessed, and are not tried."""
        if request.blueprint not in LOOKED_AT or request.endpoint == "secret_page.static":
            return None
        counted = self._parts.limits.allow("page", source(request.remote_addr))
        if isinstance(counted, Exhausted):
            language = browser_language()
            words = sentence("web.too_often", language, minutes=str(counted.minutes))
            return Response(words + "\n", 429, mimetype="text/plain")
        return None

    def down(self, error: Exception) -> Response:
        """No database: Twilio tries again (`#rc=3&rp=all`), people read one sentence."""
        _log.error("the database does not answer", kind=type(error).__name__)
        return Response(sentence("web.down", browser_language()) + "\n", 503, mimetype="text/plain")


class _Took(Collector):
    """How long cases took, as the database knows it: whichever process is asked says the same."""

    def __init__(self, answers: Counted, resolutions: Counted) -> None:
        self._told = (
            ("ally_case_first_answer_seconds", "Seconds of working time until staff first wrote", SOON, answers),
            ("ally_case_resolution_seconds", "Seconds until staff handed a case back or closed it", LATE, resolutions),
        )

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client.registry.Collector."""
        for name, said, bounds, counted in self._told:
            within = [(str(bound), float(count)) for bound, count in zip(bounds, counted.within, strict=True)]
            yield HistogramMetricFamily(name, said, [*within, ("+Inf", float(counted.all))], counted.seconds)


class _Limited(Collector):
    """How often each limit said no, in all processes together."""

    def __init__(self, refused: Mapping[str, int]) -> None:
        self._refused = refused

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client.registry.Collector."""
        told = CounterMetricFamily("ally_limited", "Acts that were done too often, by the limit", labels=["limit"])
        for name in LIMITS:
            told.add_metric([name], self._refused.get(name, 0))
        yield told


def _twiml(words: str = "") -> Response:
    """The answer to a webhook; `words` are said with it, which costs no request of ours."""
    return Response(whatsapp.answer(words) if words else EMPTY_TWIML, mimetype="text/xml")
