"""Slack's workspaces: whose each is, and the token with which we speak there."""

from datetime import datetime, timedelta
from uuid import UUID, uuid5

from bot.channels.slack.client import NoWorkspaceError, SlackApi
from bot.clock import Clock
from bot.safe import Safe
from bot.store import secrets, slack
from bot.store.engine import Connection, Engine, Row, reading
from bot.vault import Secret, Unopenable

EARLY = timedelta(hours=2)  # before its end a token is renewed: docs.slack.dev/authentication/using-token-rotation
RENEWAL = timedelta(seconds=30)  # within which one process asks Slack for a new token
_TEAMS = UUID("6f2f5c1e-6f0b-4a5e-9a53-1f6f4c1b7d11")  # of which a workspace's own id is made, to own its secrets


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
        self.api = SlackApi(self.token_of, api_url)

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
            if slack.any_workspace(db):
                return None
            slack.keep_workspace(db, team, self._clock.now())
            return slack.workspace(db, team)

    def token_of(self, team: str) -> str:
        """The token of a workspace, renewed near its end. Raises NoWorkspaceError, and what `SlackApi` does."""
        if token := self._token.reveal():
            return token
        with reading(self._engine) as db:
            row = slack.workspace(db, team)
        if row is None or row.token_id is None:
            raise NoWorkspaceError(team, "not_installed")
        now = self._clock.now()
        if row.token_until is not None and row.token_until - now < EARLY and self._may_renew(team, now):
            return self._renewed(row)
        return self._open(team, row.token_id)

    def keep(self, db: Connection, team: str, answer: dict[str, object], **more: object) -> None:
        """Keep the tokens that Slack gave for a workspace, sealed; `answer`: of `oauth.v2.access`."""
        now = self._clock.now()
        before = slack.workspace(db, team)
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

    def leave(self, team: str) -> None:
        """The app was removed from a workspace, or its token revoked: the tokens are erased."""
        with self._engine.begin() as db:
            secrets.erase(db, slack.leave_workspace(db, team, self._clock.now()))

    def _may_renew(self, team: str, now: datetime) -> bool:
        with self._engine.begin() as db:
            return slack.claim_renewal(db, team, now, now + RENEWAL)

    def _renewed(self, row: Row) -> str:
        """A new token in exchange for the refresh token, which is good once; the old one lasts until its own end."""
        client_id, client_secret = self._client
        answer = self.api.bare(
            "oauth.v2.access",
            client_id=client_id,
            client_secret=client_secret,
            grant_type="refresh_token",
            refresh_token=self._open(row.team_id, row.refresh_id),
        )
        with self._engine.begin() as db:
            self.keep(db, row.team_id, answer)
        return str(answer["access_token"])

    def _seal(self, db: Connection, team: str, token: str) -> UUID:
        sealed = self._safe.put(
            db, Secret(token), kind="slack.bot", owner=owner(team), use={"team": team}, now=self._clock.now()
        )
        secrets.keep_until(db, sealed, None)  # until it is renewed or the app removed
        return sealed

    def _open(self, team: str, secret_id: UUID) -> str:
        try:
            with reading(self._engine) as db:
                return self._safe.take(db, secret_id, kind="slack.bot", use={"team": team}).reveal()
        except Unopenable:
            raise NoWorkspaceError(team, "token_lost") from None


def owner(team: str) -> UUID:
    """The id that owns a workspace's secrets."""
    return uuid5(_TEAMS, team)
