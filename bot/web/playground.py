"""The playground's page and what it asks: phones, Slack and mailboxes side by side, without any account.

The page speaks to this process only; what it asks is handed on to the stage (`bot/playground/stage.py`), which runs
beside it on this machine. Everybody's browser reaches a server on loopback, so no other site's page may drive it: the
host's name must be ours (DNS rebinding), a request must come from our own page, and must be JSON, which another
site's form cannot send (https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html).
"""

import threading
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from uuid import UUID

import requests
from flask import Blueprint, Response, abort, jsonify, make_response, render_template, request
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from werkzeug.exceptions import HTTPException

from bot import people
from bot.playground.cast import ADMINS, STAFF, address
from bot.playground.identity import ADDRESSES, CONSENTS
from bot.store import people as stored
from bot.store.engine import Connection, reading
from bot.store.playground import progress
from bot.web.headers import CONTENT_POLICY
from bot.web.language import browser_language
from flows.speech import sentence
from flows.words import LANGUAGES, Language

if TYPE_CHECKING:
    from bot.app import Parts

POLICY = f"{CONTENT_POLICY}; connect-src 'self'"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
MAX_BODY = 32 * 1024  # bytes of a question; the stage looks closer
MAX_ANSWER = 4 * 1024 * 1024  # bytes
TIMES = (2.0, 10.0)  # seconds for connecting, and between two packets
FOREIGN = 403
AWAY = 502
COOKIE = "playground_language"
COOKIE_TIME = 365 * 24 * 3600  # seconds
AGENCY = "Agência Sol"
TIMEZONE = "America/Sao_Paulo"
INVITATIONS = parse("30 per minute")
ARRIVALS = parse("120 per minute")


@dataclass(frozen=True, slots=True)
class Persona:
    """Who holds the phone. `number`: a number of the person's country, `#` standing for a digit."""

    name: str
    number: str


# From the country code the bot guesses the language of its first message. The American numbers are fictional ones
# (555-01xx); the other two plans keep none free, and nothing is ever sent to them.
PERSONAS: dict[Language, tuple[Persona, Persona]] = {
    "en": (Persona("Ana Miller", "+1 2## 555 01##"), Persona("Bruno Carter", "+1 2## 555 01##")),
    "pt": (Persona("Ana Souza", "+55 11 9#### ####"), Persona("Bruno Lima", "+55 11 9#### ####")),
    "es": (Persona("Ana García", "+34 6## ### ###"), Persona("Bruno Díaz", "+34 6## ### ###")),
}
NAMES: dict[Language, str] = {"en": "English", "pt": "Português", "es": "Español"}
WORDS = (
    "bot", "you", "now", "typing", "status_sent", "status_delivered", "status_read", "status_failed", "new_tab",
    "offline", "too_fast", "not_sent", "no_mail", "to", "no_subject", "outside", "outside_about",
    "new_mail", "copied", "number_now", "choose", "file_image", "file_application", "file_audio",
    "new_in_slack", "window_open", "not_taken", "gone", "time_now",
    "step_done", "tour_done", "done", "revoked", "none_to_revoke",
    "fault_none", "fault_app_password", "fault_bad_credentials", "fault_auth_down", "fault_auth_off", "fault_greylist",
    "fault_quota", "fault_from_refused", "fault_dropped", "fault_hang", "fault_too_many_logins", "fault_mailbox_full",
    "fault_refused", "fault_certificate",
)  # fmt: skip
TOUR = ("hello", "join", "address", "password", "inbox", "break", "person", "answer", "hand_back", "home")
OFFICE = ADDRESSES[0]  # what to write in the chat to sign in without a password
JUMPS = ("minutes", "hour", "day", "morning")


def playground(parts: "Parts") -> Blueprint:
    """The routes `/playground`, `/playground/api/...` and `/playground/static/<file>`.

    Only for an installation with PLAYGROUND_URL set, on loopback. The blueprint guards its questions itself.
    """
    view = _Playground(parts)
    blueprint = Blueprint(
        "playground",
        __name__,
        url_prefix="/playground",
        template_folder="templates",
        static_folder="static/playground",
        static_url_path="/static",
    )
    blueprint.before_request(view.admit)
    blueprint.register_error_handler(HTTPException, _problem)
    blueprint.add_url_rule("", "show", view.show, methods=["GET"])
    blueprint.add_url_rule("/api/phone/<number>", "phone", view.phone, methods=["GET"])
    blueprint.add_url_rule("/api/mailboxes", "mailboxes", view.mailboxes, methods=["GET"])
    blueprint.add_url_rule("/api/say", "say", view.say, methods=["POST"])
    blueprint.add_url_rule("/api/refuse", "refuse", view.refuse, methods=["POST"])
    blueprint.add_url_rule("/api/consent", "consent", view.consent, methods=["POST"])
    blueprint.add_url_rule("/api/revoke", "revoke", view.revoke, methods=["POST"])
    blueprint.add_url_rule("/api/invitation", "invitation", view.invitation, methods=["POST"])
    blueprint.add_url_rule("/api/clock", "clock", view.clock, methods=["POST"])
    blueprint.add_url_rule("/api/arrive", "arrive", view.arrive, methods=["POST"])
    blueprint.add_url_rule("/api/office/<language>", "office", view.office, methods=["GET"])
    blueprint.add_url_rule("/api/office/<language>/<place>", "act", view.act, methods=["POST"])
    blueprint.add_url_rule("/api/tour/<number>", "tour", view.tour, methods=["GET"])
    return blueprint


class _Playground:
    def __init__(self, parts: "Parts") -> None:
        self._parts = parts
        self._stage = parts.settings.playground_url
        self._hosts = LOOPBACK | {_name(urlsplit(parts.settings.url).netloc)}
        self._rate = MovingWindowRateLimiter(MemoryStorage())
        self._one_agency = threading.Lock()

    # --- who may ask ---

    def admit(self) -> None:
        """Let in who speaks to us by our own name; questions only from our own page."""
        if _name(request.host) not in self._hosts:
            abort(FOREIGN)
        request.max_content_length = MAX_BODY
        if request.endpoint not in {"playground.show", "playground.static"} and not _from_our_page():
            abort(FOREIGN)

    # --- the page ---

    def show(self) -> Response:
        """The page, in the language that was chosen last, or that the browser asks for."""
        chosen = _known(request.args.get("language"))
        language = chosen or _known(request.cookies.get(COOKIE)) or browser_language()
        text = partial(_text, language=language, operator=self._parts.settings.operator_name)
        page = render_template(
            "playground/page.html",
            text=text,
            language=language,
            languages=NAMES,
            operator=self._parts.settings.operator_name,
            personas=PERSONAS[language],
            admin=ADMINS[language],
            staff=STAFF[language],
            tour=TOUR,
            jumps=JUMPS,
            consents=CONSENTS,
            office=OFFICE,
            words={name: text(name) for name in WORDS},
        )
        response = make_response(page)
        response.headers["Content-Security-Policy"] = POLICY
        if chosen:
            response.set_cookie(COOKIE, chosen, COOKIE_TIME, path="/playground", httponly=True, samesite="Lax")
        return response

    # --- what it asks ---

    def phone(self, number: str) -> Response:
        """What a phone shows behind message `after`."""
        after = request.args.get("after", 0, type=int)
        return self._ask("GET", f"/phone/{quote(number, safe='+')}", params={"after": str(after)})

    def mailboxes(self) -> Response:
        """The sandbox's mailboxes."""
        return self._ask("GET", "/mailboxes")

    def say(self) -> Response:
        """The person writes or taps."""
        return self._ask("POST", "/say", json=request.get_json())

    def refuse(self) -> Response:
        """How the mail server behaves from now on."""
        return self._ask("POST", "/refuse", json=request.get_json())

    def consent(self) -> Response:
        """Who decides whether somebody may sign in."""
        return self._ask("POST", "/consent", json=request.get_json())

    def revoke(self) -> Response:
        """The sign-in that was allowed last is taken back."""
        return self._ask("POST", "/revoke", json={})

    def clock(self) -> Response:
        """Time passes at once."""
        return self._ask("POST", "/clock", json=request.get_json())

    def office(self, language: str) -> Response:
        """What the admin and the team have before them in Slack."""
        seen = request.args.get("seen", "")
        return self._ask("GET", f"/office/{_path(language)}", params={"seen": seen})

    def act(self, language: str, place: str) -> Response:
        """One of them does something there."""
        return self._ask("POST", f"/office/{_path(language)}/{_path(place)}", json=request.get_json())

    def tour(self, number: str) -> Response:
        """How far the person with this number has come."""
        with reading(self._parts.engine) as db:
            return jsonify(progress(db, number))

    def invitation(self) -> Response:
        """The words with which somebody accepts a new invitation of the demonstration's agency."""
        language = _wished()
        if not self._rate.hit(INVITATIONS):
            abort(429)
        now = self._parts.clock.now()
        with self._one_agency, self._parts.engine.begin() as db:
            agency = _agency(db, now)
            made = people.invite(db, agency, role="member", name="", language=language, uses=1, now=now)
        return jsonify({"text": sentence("invitation.text", language, code=made.code)})

    def arrive(self) -> Response:
        """Somebody opened the page: the admin who reads its language is in the agency, and the team reads it, too.

        The admin comes in as every admin does, with an invitation: in a direct message, because the command would open
        a window over all that there is to see.
        """
        language = _wished()
        if not self._rate.hit(ARRIVALS):
            abort(429)
        code = self._admins_code(language)
        if code:
            words = sentence("invitation.text", language, code=code)
            self._ask("POST", f"/office/{language}/admin", json={"do": "say", "text": words})
        return self._ask("POST", f"/office/{language}/admin", json={"do": "home"})

    def _admins_code(self, language: Language) -> str:
        """An invitation for the admin of a language; empty if they are in already."""
        now, admin = self._parts.clock.now(), ADMINS[language]
        with self._one_agency, self._parts.engine.begin() as db:
            agency = _agency(db, now)
            stored.set_language(db, agency, language)
            if any(one.member_id is not None for one in stored.find_contact(db, address(admin))):
                return ""
            return people.invite(db, agency, role="admin", name=admin.name, language=language, uses=1, now=now).code

    def _ask(self, method: str, path: str, **what: Any) -> Response:
        """Hand a question on to the stage, and its answer back."""
        try:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.request(
                    method, f"{self._stage}{path}", timeout=TIMES, stream=True, allow_redirects=False, **what
                )
                body = answer.raw.read(MAX_ANSWER + 1)
        except (requests.RequestException, OSError):
            abort(AWAY)
        if len(body) > MAX_ANSWER:
            abort(AWAY)
        return Response(body, answer.status_code, mimetype="application/json")


def _wished() -> Language:
    """The language that the page asks for."""
    wish = request.get_json()
    language = _known(wish.get("language")) if isinstance(wish, dict) else None
    if language is None:
        abort(400)
    return language


def _path(part: str) -> str:
    """A part of the stage's paths; those with dots lead elsewhere."""
    if "." in part:
        abort(404)
    return quote(part, safe="")


def _agency(db: Connection, now: datetime) -> UUID:
    """The demonstration's agency; two processes may make two of them at the same moment, and that harms nobody."""
    found = next((one.id for one in stored.agencies(db) if one.name == AGENCY and one.closed_at is None), None)
    return UUID(str(found)) if found else stored.add_agency(db, AGENCY, "pt", TIMEZONE, now)


def _from_our_page() -> bool:
    """Whether our own page asks: browsers say where a request comes from, and only scripts can send JSON."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site not in {None, "same-origin"} or (origin is not None and urlsplit(origin).netloc != request.host):
        return False
    return request.method in {"GET", "HEAD"} or request.is_json


def _name(host: str) -> str:
    """A host's name without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _known(language: object) -> Language | None:
    return next((one for one in LANGUAGES if one == language), None)


def _text(name: str, language: Language, **values: str) -> str:
    """A sentence of the page; `{address}` in it is filled in by the page's script."""
    known = {
        "agency": AGENCY,
        "address": "{address}",
        "person": PERSONAS[language][0].name.partition(" ")[0],
        "admin": ADMINS[language].name.partition(" ")[0],
        "staff": STAFF[language].name,
        "settings": sentence("menu.button.mailbox", language),
        "renew": sentence("mailbox.button.password", language),
        "back": sentence("desk.menu.back", language),
        "bot": sentence("desk.tool.back", language),
    }
    return sentence(f"playground.{name}", language, **{**known, **values})


def _problem(error: HTTPException) -> tuple[Response, int]:
    return jsonify({"problem": error.name}), error.code or 500
