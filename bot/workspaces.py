"""Slack's workspaces: whose each is, and the token with which we speak there.

Tokens that are rotated last twelve hours and are renewed two hours before their end, by whoever needs one, and by the
worker where nobody does. The refresh token is good once, so two rules hold: one process asks at a time (a claim in the
workspace's row, longer than a request may take), and what Slack answers is written down before anything else, waiting
for a database that is away.

Between Slack's answer and that commit a process may die all the same. Then Slack has used the refresh token up and
nobody knows the new one; Slack gives it out once. The next renewal is refused: we say so in the log, speak with the old
token until its own end (up to two hours), then count the workspace as left, and tell its admins that the app has to be
installed again. Nothing else is lost: conversations, members and mailboxes are ours.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import structlog

from bot.calendar import next_day_hour
from bot.channels import Later, Refused, SendError
from bot.channels.slack.client import NoWorkspaceError, SlackApi
from bot.channels.slack.install import authorize_url
from bot.clock import Clock
from bot.insist import insist
from bot.safe import Safe
from bot.store import people, promises, secrets, slack
from bot.store.engine import Connection, Engine, Row, reading
from bot.store.slack import RENEWED_EARLY
from bot.tell import tell
from bot.vault import Secret, Unopenable
from flows.words import SlackLeft

RENEWAL = timedelta(seconds=60)  # within which one process asks Slack for a new token; a request ends after ten
BUSY = 5.0  # seconds until a token that another process renews is there
# What Slack says of a token that will never be taken again: the workspace is left.
LOST = frozenset({"account_inactive", "token_revoked", "invalid_auth"})
# What Slack says of a refresh token that was used, or is none.
SPENT = frozenset(
    {"invalid_refresh_token", "invalid_grant", "token_expired", "bad_refresh_token", "refresh_token_expired", *LOST}
)
_TEAMS = UUID("6f2f5c1e-6f0b-4a5e-9a53-1f6f4c1b7d11")  # of which a workspace's own id is made, to own its secrets
_log = structlog.get_logger(__name__)


class Workspaces:
    """Knows the workspaces. With `token` there is one, which anybody's signed event tells; else they are installed."""

    def __init__(self, engine: Engine, clock: Clock, safe: Safe, *, token: str = "", client: tuple[str, str] = ("", ""),
                 api_url: str = "") -> None:  # fmt: skip
        """`client`: id and secret of the app that many workspaces install."""
        self._engine = engine
        self._clock = clock
        self._safe = safe
        self._token = Secret(token)
        self._client = client
        self._api_url = api_url
        self.api = SlackApi(self.token_of, api_url, dead=self._refused)

    @property
    def installable(self) -> bool:
        """Whether many workspaces can install the app."""
        return bool(self._client[0])

    def find(self, team: str) -> Row | None:
        """A workspace in which we are; with one token for all, the first one that is heard of is the one.

        None for any other, and after the app was removed.
        """
        with reading(self._engine) as db:
            row = slack.workspace(db, team)
        if row is not None:
            return row if row.gone_at is None or self._token.reveal() else None
        return self._first(team) if self._token.reveal() else None

    def _first(self, team: str) -> Row | None:
        with self._engine.begin() as db:
            if not slack.any_workspace(db):
                slack.keep_workspace(db, team, self._clock.now())
            return slack.workspace(db, team)  # of two requests that come first one finds what the other wrote

    # --- installing ---

    def consent_url(self, redirect_uri: str, state: str) -> str:
        """Slack's page that asks whether the app may be installed."""
        return authorize_url(self._api_url, self._client[0], redirect_uri, state)

    def exchange(self, code: str, redirect_uri: str) -> dict[str, Any]:
        """What Slack grants for a code, which is good once. Raises Refused, Later, Unclear."""
        client_id, client_secret = self._client
        return self.api.bare(
            "oauth.v2.access", client_id=client_id, client_secret=client_secret, code=code, redirect_uri=redirect_uri
        )

    def give_back(self, team: str, token: str) -> None:
        """Make a token that we do not keep worth nothing, where that harms nobody.

        Revoking it deactivates our user in the whole workspace (docs.slack.dev/reference/methods/auth.revoke), and an
        app that is installed again gets the same token. So where we are at work for somebody, it is only forgotten:
        nobody but us ever had it.
        """
        with reading(self._engine) as db:
            row = slack.workspace(db, team)
        if row is not None and row.gone_at is None and row.token_id is not None:
            return
        try:
            self.api.using(token, "auth.revoke")
        except SendError as failure:
            _log.warning("a token that is of no use to us could not be revoked", team=team, code=failure.code)

    def keep(self, db: Connection, team: str, answer: dict[str, Any], **more: object) -> None:
        """Keep the tokens that Slack gave for a workspace, sealed; `answer`: of `oauth.v2.access`."""
        now = self._clock.now()
        before = slack.locked(db, team)
        token = self._seal(db, team, str(answer["access_token"]))
        refresh, lasts = answer.get("refresh_token"), answer.get("expires_in")
        values = {
            "token_id": token,
            "refresh_id": self._seal(db, team, str(refresh)) if refresh else None,
            "token_until": now + timedelta(seconds=int(str(lasts))) if lasts else None,
            "renewing_until": None,
            **more,
        }
        slack.keep_workspace(db, team, now, **values)
        if before is not None:
            secrets.erase(db, [one for one in (before.token_id, before.refresh_id) if one is not None])

    # --- leaving ---

    def leave(self, team: str, told_at: float | None = None) -> None:
        """The app was removed from a workspace, or its token revoked: the tokens are erased, its admins are told.

        `told_at`: when that was, as Slack says. An event that was repeated until after the app was installed again
        removes nothing. With the one token of the settings only an operator can do something.
        """
        if self._token.reveal():
            self._alarm("removed")
            return
        with self._engine.begin() as db:
            row = slack.locked(db, team)
            if row is not None and told_at is not None and told_at < int(row.at.timestamp()):
                _log.info("the app was removed before it was installed again", team=team)
                return
            self._leave(db, team)

    def _leave(self, db: Connection, team: str) -> None:
        now = self._clock.now()
        row = slack.leave_workspace(db, team, now)
        if row is None:
            return
        secrets.erase(db, [one for one in (row.token_id, row.refresh_id) if one is not None])
        told = slack.admins_elsewhere(db, row.agency_id, team) if row.agency_id else []
        for conversation_id in told:
            due = next_day_hour(now, people.timezone_of(db, row.agency_id))
            tell(db, conversation_id, SlackLeft(row.name or team), now, due)
        if told:
            promises.wake(db, {"work"})
        _log.warning("we are not in a workspace any more", team=team, admins_told=len(told))

    def _refused(self, team: str, token: str, code: str) -> bool:
        """Slack takes a token no more; False: it is not the one any more that we would use now."""
        if self._token.reveal():
            self._alarm(code)
            return True
        with self._engine.begin() as db:
            row = slack.locked(db, team)
            if row is not None and row.token_id is not None and self._clear(db, team, row.token_id) != token:
                return False
            if code in LOST:
                self._leave(db, team)
        return True

    @staticmethod
    def _alarm(code: str) -> None:
        _log.error("SLACK_BOT_TOKEN: Slack does not take it any more; install the app again, set its new one", why=code)

    # --- tokens ---

    def token_of(self, team: str) -> str:
        """The token of a workspace, renewed near its end. Raises NoWorkspaceError, and what `SlackApi` does."""
        if token := self._token.reveal():
            return token
        with reading(self._engine) as db:
            row = slack.workspace(db, team)
        if row is None or row.token_id is None:
            raise NoWorkspaceError(team, "not_installed")
        now = self._clock.now()
        if row.token_until is None:
            return self._open(team, row.token_id)
        if row.token_until - now < RENEWED_EARLY and row.refresh_id is not None and self._may_renew(row, now):
            return self._renewed(row)
        return self._old(row)

    def _old(self, row: Row) -> str:
        """The token that is there, while it lasts."""
        team, ended = str(row.team_id), row.token_until <= self._clock.now()
        if not ended:
            return self._open(team, row.token_id)
        if row.refresh_id is not None:
            raise Later("renewing", "the token of that workspace has to be renewed", BUSY)
        with self._engine.begin() as db:
            still = slack.locked(db, team)
            if still is not None and still.token_id == row.token_id:
                self._leave(db, team)
        raise NoWorkspaceError(team, "token_expired")

    def _may_renew(self, row: Row, now: datetime) -> bool:
        with self._engine.begin() as db:
            return slack.claim_renewal(db, row.team_id, row.refresh_id, now, now + RENEWAL)

    def _renewed(self, row: Row) -> str:
        """A new token in exchange for the refresh token, which is good once; the old one lasts until its own end."""
        client_id, client_secret = self._client
        try:
            answer = self.api.bare(
                "oauth.v2.access",
                client_id=client_id,
                client_secret=client_secret,
                grant_type="refresh_token",
                refresh_token=self._open(row.team_id, row.refresh_id),
            )
        except SendError as failure:
            return self._not_renewed(row, failure)
        if insist(lambda: self._keep_renewed(row, answer)):
            return str(answer["access_token"])
        return self.token_of(row.team_id)

    def _keep_renewed(self, row: Row, answer: dict[str, Any]) -> bool:
        """Keep what Slack gave; False: the app was installed anew or removed meanwhile, and that is newer."""
        with self._engine.begin() as db:
            still = slack.locked(db, row.team_id)
            if still is None or still.refresh_id != row.refresh_id:
                return False
            self.keep(db, row.team_id, answer)
            return True

    def _not_renewed(self, row: Row, failure: SendError) -> str:
        """While the old token lasts nobody notices; whoever comes after the claim's end tries again."""
        if not isinstance(failure, Refused):
            _log.warning("a token could not be renewed; it is tried again", team=row.team_id, code=failure.code)
            return self._old(row)
        if failure.code not in SPENT:
            _log.error(
                "SLACK_CLIENT_SECRET: Slack renews no token with it; compare it with the app's page at Slack",
                team=row.team_id, code=failure.code,
            )  # fmt: skip
            return self._old(row)
        with self._engine.begin() as db:
            still = slack.locked(db, row.team_id)
            if still is not None and still.refresh_id == row.refresh_id:
                slack.cannot_renew(db, row.team_id)
                secrets.erase(db, [row.refresh_id])
                _log.error(
                    "the token of a workspace cannot be renewed any more: the app has to be installed there again",
                    team=row.team_id, code=failure.code, until=str(row.token_until),
                )  # fmt: skip
        return self.token_of(row.team_id)  # another process may have been faster

    def _seal(self, db: Connection, team: str, token: str) -> UUID:
        sealed = self._safe.put(
            db, Secret(token), kind="slack.bot", owner=owner(team), use={"team": team}, now=self._clock.now()
        )
        secrets.keep_until(db, sealed, None)  # until it is renewed or the app removed
        return sealed

    def _open(self, team: str, secret_id: UUID) -> str:
        with reading(self._engine) as db:
            token = self._clear(db, team, secret_id)
            row = slack.workspace(db, team) if token is None else None
        if token is not None:
            return token
        if row is None or row.token_id in {None, secret_id}:
            raise NoWorkspaceError(team, "token_lost")
        return self._open(team, row.token_id)  # it was renewed while we looked

    def _clear(self, db: Connection, team: str, secret_id: UUID) -> str | None:
        try:
            return self._safe.take(db, secret_id, kind="slack.bot", use={"team": team}).reveal()
        except Unopenable:
            return None


def owner(team: str) -> UUID:
    """The id that owns a workspace's secrets."""
    return uuid5(_TEAMS, team)
