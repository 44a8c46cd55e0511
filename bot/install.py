"""Adding us to a Slack workspace: from an admin's invitation to Slack's consent page, and back with a token.

One way there and back is a random state, of which only the hash is stored, with the hash of the invitation. It is used
up before anything else: of two that come back with the same one, one gets it.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import structlog

from bot import people
from bot.channels import Identity, SendError
from bot.channels.slack.install import Granted, OrganisationError, granted
from bot.channels.slack.people import MAX_NAME
from bot.channels.slack.read import CHANNEL, BadPayload, address
from bot.channels.slack.scopes import missing
from bot.clock import Clock
from bot.limits import Exhausted, Limits
from bot.store import housekeeping, promises, slack
from bot.store import people as people_store
from bot.store.engine import Connection, Engine, Row
from bot.tell import tell
from bot.vault import token, token_hash
from bot.workspaces import Workspaces
from flows.reading import invitation_code
from flows.words import Language, SlackAdded

STATE_TIME = timedelta(minutes=10)
MAX_CODE = 512  # signs of what Slack sends back
# Why it goes no further; each is a page of its own.
Why = Literal["enter", "invitation", "too_often", "state", "denied", "refused", "down", "org", "taken"]
_OURS = frozenset({"invalid_client_id", "bad_client_secret", "bad_redirect_uri", "invalid_client"})
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Trouble:
    """It goes no further; in the language in which it began, if that is known."""

    why: Why
    language: str = ""
    minutes: int = 0


@dataclass(frozen=True, slots=True)
class Added:
    """We are in a workspace now."""

    team: str
    app_id: str
    workspace: str
    language: str


class _NotTakenError(Exception):
    """What Slack granted is not kept."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why = why


class Installer:
    """The steps of an installation. Safe to share between threads."""

    def __init__(self, engine: Engine, clock: Clock, limits: Limits, workspaces: Workspaces, redirect_uri: str) -> None:
        self._engine = engine
        self._clock = clock
        self._limits = limits
        self._workspaces = workspaces
        self._redirect_uri = redirect_uri

    def look(self, typed: str, source: str) -> str | Trouble:
        """The agency of an admin's invitation that can be used. A look counts before the code is looked at."""
        found = self._invitation(typed, source)
        return found if isinstance(found, Trouble) else found[1]

    def begin(self, typed: str, source: str, language: Language) -> tuple[str, str] | Trouble:
        """A way to Slack and back: the address of Slack's page, and the state in it."""
        found = self._invitation(typed, source)
        if isinstance(found, Trouble):
            return found
        state, hashed = token()
        with self._engine.begin() as db:
            slack.keep_state(db, hashed, found[0], language, self._clock.now() + STATE_TIME)
        return self._workspaces.consent_url(self._redirect_uri, state), state

    def finish(self, state: str, code: str, error: str) -> Added | Trouble:
        """Somebody is back from Slack, with a code or an error."""
        with self._engine.begin() as db:
            way = slack.use_state(db, token_hash(state), self._clock.now())
        if way is None:
            return Trouble("state")
        if error or not 0 < len(code) <= MAX_CODE:
            return Trouble("denied" if error == "access_denied" else "refused", way.language)
        try:
            answer = self._workspaces.exchange(code, self._redirect_uri)
        except SendError as failure:
            return self._not_exchanged(failure, way)
        try:
            given = granted(answer)
        except BadPayload as bad:
            self._give_back(answer)
            _log.warning("Slack granted something else than a workspace", why=str(bad))
            return Trouble("org" if isinstance(bad, OrganisationError) else "refused", way.language)
        return self._added(way, given, answer)

    # --- inside ---

    def _invitation(self, typed: str, source: str) -> tuple[str, str] | Trouble:
        """The hash of an invitation's code, and its agency's name."""
        code = invitation_code(typed)
        if code is None:
            return Trouble("invitation" if typed.strip() else "enter")
        counted = self._limits.allow("install", source)
        if isinstance(counted, Exhausted):
            return Trouble("too_often", minutes=counted.minutes)
        hashed = people.code_hash(code)
        with self._engine.begin() as db:
            invited = people_store.invitation_by_hash(db, hashed)
        if invited is None or not people.usable_by_admin(invited, self._clock.now()):
            return Trouble("invitation")
        return hashed, invited.agency

    def _not_exchanged(self, failure: SendError, way: Row) -> Trouble:
        if failure.code in _OURS:
            _log.error("SLACK_CLIENT_ID, SLACK_CLIENT_SECRET or PUBLIC_URL: not as at Slack", code=failure.code)
        else:
            _log.warning("Slack gave no token for a code", code=failure.code)
        gone = failure.code in {"invalid_code", "code_already_used", "code_expired", *_OURS}
        return Trouble("refused" if gone else "down", way.language)

    def _added(self, way: Row, given: Granted, answer: dict[str, Any]) -> Added | Trouble:
        if lacking := missing(given.scopes):
            _log.error("Slack: the app was installed without scopes that we need", team=given.team, scopes=lacking)
        name = self._name_of(given)
        try:
            with self._engine.begin() as db:
                self._settle(db, way, given, answer, name)
        except _NotTakenError as refused:
            self._workspaces.give_back(given.team, given.token)
            _log.warning("an installation was refused", team=given.team, why=refused.why)
            return Trouble(refused.why, way.language)
        _log.info("installed in a workspace", team=given.team)
        return Added(given.team, given.app_id, given.name, way.language)

    def _settle(self, db: Connection, way: Row, given: Granted, answer: dict[str, Any], name: str) -> None:
        """The token, whose the workspace is, and its installer as an admin: all of it, or (raised) nothing."""
        now = self._clock.now()
        invited = people_store.invitation_by_hash(db, way.invitation_hash)
        if invited is None:
            raise _NotTakenError("invitation")
        self._workspaces.keep(db, given.team, answer, name=given.name, app_id=given.app_id, bot_user=given.bot_user)
        if not slack.bind(db, given.team, invited.agency_id):
            raise _NotTakenError("taken")
        held = people.who(db, Identity(CHANNEL, address(given.team, given.installer)), name, now)
        member_id = people.join_as_admin(db, held, invited, way.invitation_hash, now)
        if member_id is None:
            raise _NotTakenError("invitation")
        housekeeping.audit_entry(db, now, actor=str(member_id), action="slack_installed", subject=given.team)
        tell(db, held.id, SlackAdded(invited.agency), now)
        promises.wake(db, {"work"})

    def _name_of(self, given: Granted) -> str:
        """What the installer is called. An ornament: without it they are called by what their invitation says."""
        try:
            answer = self._workspaces.api.using(given.token, "users.info", user=given.installer)
        except SendError:
            return ""
        profile = (answer.get("user") or {}).get("profile") or {}
        return " ".join(str(profile.get("real_name") or profile.get("display_name") or "").split())[:MAX_NAME]

    def _give_back(self, answer: dict[str, Any]) -> None:
        if answer.get("access_token"):
            team = str((answer.get("team") or {}).get("id", ""))
            self._workspaces.give_back(team, str(answer["access_token"]))
