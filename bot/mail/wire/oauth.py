"""Signing in at Microsoft and Google: OAuth 2.0's code flow with PKCE, and OpenID Connect for who it was.

RFC 6749, RFC 7636 (PKCE), RFC 7009 (revoking), RFC 9207 (`iss` in the callback), OpenID Connect Core 1.0 3.1.3.7 (the
id_token). Authlib speaks the protocol, joserfc (its own part for signatures) checks them. Here is what they leave open:
every wait and every answer is bounded, nothing is redirected, and whatever goes wrong is one of two exceptions that
hold no token, no code, and no word of an answer but its codes.
"""

import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Literal, NoReturn
from urllib.parse import urlencode

from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from bot.mail.wire.account import MAX_TOKEN
from bot.mail.wire.addresses import BadAddress, normalise
from bot.mail.wire.fetch import secure_url
from bot.mail.wire.smtp import tls_context

Provider = Literal["microsoft", "google"]
Transport = Literal["smtp", "graph"]
Cause = Literal["denied", "consent", "revoked", "ours", "other"]

MAX_ANSWER = 262_144  # Microsoft's keys are some 20 KB
LEEWAY = 300  # seconds that clocks may differ
_NO_LIFE = 300  # seconds that a token is used whose life is not told
_LONGEST_LIFE = 86_400
_LONGEST_WAIT = 3_600.0
_WAIT = 60.0  # where nobody says how long
_CHUNK = 16_384
_OK = 200
_TOO_MANY = 429
_SERVER = 500
_USER_AGENT = "ally-mail-assistant"
# Public keys only: with HS256 whoever knows the client's secret could sign, and "none" is no signature
_ALGORITHMS = ["RS256", "PS256", "ES256"]

_TOKEN = re.compile(rf"[!-~]{{1,{MAX_TOKEN}}}")  # RFC 6749 A.12, A.17
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 4.1
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,60}")
_NUMBER = re.compile(r"\bAADSTS\d{4,8}\b")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,99}")
_TENANT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PERSONAL = "9188040d-6c67-4c5b-b112-36a304b66dad"  # the `tid` of all personal accounts of Microsoft
_TENANT_IN_ISSUER = "{tenantid}"  # as Microsoft's own metadata writes it

# Who an OAuth error is a matter for: RFC 6749 4.1.2.1 and 5.2, OpenID Connect Core 3.1.2.6, and what the providers add:
# developers.google.com/identity/protocols/oauth2/web-server ("Errors"), learn.microsoft.com "Handle errors and
# exceptions in MSAL" and "reference-error-codes"
_CAUSES: Mapping[str, Cause] = {
    "access_denied": "denied",
    "consent_required": "consent",
    "admin_policy_enforced": "consent",
    "admin_consent_required": "consent",
    "invalid_grant": "revoked",
    "interaction_required": "revoked",
    "login_required": "revoked",
    "account_selection_required": "revoked",
    "no_refresh_token": "ours",
    "invalid_client": "ours",
    "unauthorized_client": "ours",
    "invalid_request": "ours",
    "invalid_scope": "ours",
    "invalid_target": "ours",
    "invalid_resource": "ours",
    "unsupported_grant_type": "ours",
    "unsupported_response_type": "ours",
    "redirect_uri_mismatch": "ours",
    "org_internal": "ours",
    "disabled_client": "ours",
    "deleted_client": "ours",
}
# Microsoft's `suberror`: the two that no sign-in of the person's changes
_SUBERRORS: Mapping[str, Cause] = {"message_only": "consent", "additional_action": "consent"}
# Microsoft numbers its errors and asks not to depend on them: they only make `access_denied` and `other` more precise
_HINTED: Mapping[str, Cause] = {
    "AADSTS90094": "consent",
    "AADSTS90093": "consent",
    "AADSTS90095": "consent",
    "AADSTS53003": "consent",
    "AADSTS65001": "consent",
    "AADSTS650056": "ours",
    "AADSTS650057": "ours",
    "AADSTS7000215": "ours",
    "AADSTS7000222": "ours",
    "AADSTS50011": "ours",
    "AADSTS700016": "ours",
}
# What the libraries raise about keys and tokens that are none
_NONSENSE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
_PASSING = frozenset({"server_error", "temporarily_unavailable", "slow_down"})
_GONE_ALREADY = frozenset({"invalid_token", "invalid_grant"})


class Refused(Exception):
    """The provider said no, or what it said is not to be trusted. The text holds codes only.

    `error` and `suberror` as OAuth has them, `hint` a number of Microsoft's or empty. `cause`: denied (the person said
    no), consent (their administrator has to allow it), revoked (what we hold is no longer good: the person signs in
    again), ours (the operator's registration is wrong), other.
    """

    def __init__(self, error: str, suberror: str = "", hint: str = "") -> None:
        """Codes that are none are left out."""
        self.error = error if _CODE.fullmatch(error) else "unreadable"
        self.suberror = suberror if _CODE.fullmatch(suberror) else ""
        self.hint = found[0] if (found := _NUMBER.search(hint)) else ""
        super().__init__(" ".join(part for part in (self.error, self.suberror, self.hint) if part))

    @property
    def cause(self) -> Cause:
        """Who can do something about it."""
        known = _SUBERRORS.get(self.suberror) or _CAUSES.get(self.error, "other")
        return _HINTED.get(self.hint, known) if known in {"denied", "other"} else known


class Away(Exception):
    """There was no answer of the provider's: network, 429, 5xx, or nonsense. `seconds` to wait before the next try."""

    def __init__(self, reason: str, seconds: float = _WAIT) -> None:
        """`reason` is a word of ours."""
        super().__init__(reason)
        self.seconds = max(0.0, min(seconds, _LONGEST_WAIT))


@dataclass(frozen=True)
class Web:
    """How the providers are reached: trusted certificates (None: the system's), and seconds for each part.

    `read`: between two bytes of an answer, `total`: until the end of its body. A provider that let its headers drip in
    could take longer; what is kept of a grant does not rest on it (`grants`: the generation).
    """

    context: ssl.SSLContext | None = None
    connect: float = 10.0
    read: float = 20.0
    total: float = 40.0


@dataclass(frozen=True)
class Endpoints:
    """Where a provider does what. `revoke` and `admin_consent` are empty where it has none.

    `issuer` may hold `{tenantid}`, which the id_token's `tid` fills in. `tells_issuer`: every callback names it.
    """

    authorize: str
    token: str
    revoke: str
    issuer: str
    jwks: str
    admin_consent: str = ""
    tells_issuer: bool = False


@dataclass(frozen=True)
class Client:
    """An app as it is registered at a provider: ours, or an agency's own."""

    provider: Provider
    client_id: str
    client_secret: str = field(repr=False)
    endpoints: Endpoints
    web: Web = Web()


@dataclass(frozen=True)
class Identity:
    """Who signed in. `addresses` in normal form, lower case; `tenant` is Microsoft's for an organisation, or empty."""

    issuer: str
    subject: str
    addresses: tuple[str, ...]
    tenant: str


@dataclass(frozen=True)
class Granted:
    """What was given. `refresh` is the one to keep from now on; `scopes` is empty where all that was asked for is.

    `identity` only at the sign-in itself.
    """

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_in: int
    scopes: tuple[str, ...]
    identity: Identity | None


def scopes(provider: Provider, transport: Transport) -> tuple[str, ...]:
    """What is asked for: sending, staying signed in, and who it is.

    Reading is not asked for, as that needs an administrator's word in most organizations: where one allowed
    `IMAP.AccessAsUser.All`, Microsoft puts it into the token unasked, as all that was allowed of the same service, and
    says so in its answer. Graph goes without (and needs none: it files the copy itself). Google has one scope for SMTP
    and IMAP; `gmail.send` does not work with SMTP.
    Source: learn.microsoft.com/entra/identity-platform/scopes-oidc
    """
    if provider == "google":
        return ("https://mail.google.com/", "openid", "email")
    about_you = ("offline_access", "openid", "profile", "email")
    if transport == "graph":
        return ("https://graph.microsoft.com/Mail.Send", *about_you)
    return ("https://outlook.office.com/SMTP.Send", *about_you)


def endpoints(provider: Provider, authority: str = "", *, tenant: str = "common", web: Web = Web()) -> Endpoints:
    """Where a provider does what: Google, Microsoft, or an `authority` that is asked (https, or http on loopback).

    `tenant` is Microsoft's: common, organizations, consumers, or an agency's id or domain.
    Raises ValueError for a tenant or authority that is none; for an authority also Away and Refused. Sources:
    learn.microsoft.com/entra/identity-platform/v2-protocols, accounts.google.com/.well-known/openid-configuration
    """
    if authority:
        return _discovered(authority.rstrip("/"), web)
    if provider == "google":
        return Endpoints(
            authorize="https://accounts.google.com/o/oauth2/v2/auth",
            token="https://oauth2.googleapis.com/token",  # noqa: S106 - an address
            revoke="https://oauth2.googleapis.com/revoke",
            issuer="https://accounts.google.com",
            jwks="https://www.googleapis.com/oauth2/v3/certs",
        )
    if not _TENANT.fullmatch(tenant):
        raise ValueError("not a tenant of Microsoft's")
    only = _TENANT_ID.fullmatch(tenant)  # nobody else's id_token will do; a domain says no id
    base = f"https://login.microsoftonline.com/{tenant}"
    # An administrator consents for an organisation; personal accounts have none
    consenting = "organizations" if tenant in {"common", "consumers"} else tenant
    return Endpoints(
        authorize=f"{base}/oauth2/v2.0/authorize",
        token=f"{base}/oauth2/v2.0/token",
        revoke="",
        issuer=f"https://login.microsoftonline.com/{tenant if only else _TENANT_IN_ISSUER}/v2.0",
        jwks=f"{base}/discovery/v2.0/keys",
        admin_consent=f"https://login.microsoftonline.com/{consenting}/adminconsent",
    )


def authorization_url(
    client: Client,
    *,
    redirect_uri: str,
    scopes: tuple[str, ...],
    state: str,
    nonce: str,
    verifier: str,
    login_hint: str = "",
) -> str:
    """Where the person's browser goes. `verifier` is 43 to 128 unreserved letters, kept by us until `exchange`.

    Google gives a refresh token only for `access_type=offline`, and a second one only after it asked for consent again.
    Raises ValueError for a verifier or address that is none.
    """
    if not _VERIFIER.fullmatch(verifier) or not state or not nonce:
        raise ValueError("verifier, state and nonce must be given")
    google = client.provider == "google"
    more = {"access_type": "offline", "prompt": "consent"} if google else {"prompt": "select_account"}
    with _session(client) as session:
        url, _ = session.create_authorization_url(
            client.endpoints.authorize,
            state=state,
            code_verifier=verifier,
            redirect_uri=secure_url(redirect_uri),
            scope=" ".join(scopes),
            nonce=nonce,
            login_hint=login_hint or None,
            response_mode="query",
            **more,
        )
    return str(url)


def admin_consent_url(client: Client, *, redirect_uri: str, state: str) -> str:
    """Where an administrator allows the app for all; empty where the provider has no such page."""
    if not client.endpoints.admin_consent:
        return ""
    asked = {"client_id": client.client_id, "redirect_uri": secure_url(redirect_uri), "state": state}
    return f"{client.endpoints.admin_consent}?{urlencode(asked)}"


def check_callback(client: Client, params: Mapping[str, str]) -> str:
    """The code in a callback's query (`state` is the caller's to check). Raises Refused, Away.

    `iss` has to be the provider's where it is told, and told where the provider says that it always does (RFC 9207):
    a code is never taken to another provider than the one that made it.
    """
    issuer = params.get("iss", "")
    if (issuer or client.endpoints.tells_issuer) and not _is_issuer(client, issuer):
        raise Refused("issuer_mismatch")
    if error := params.get("error", ""):
        _raise(error, params.get("error_subcode", ""), params.get("error_description", ""))
    code = params.get("code", "")
    if not _TOKEN.fullmatch(code):
        raise Refused("no_code")
    return code


def exchange(
    client: Client, *, code: str, verifier: str, redirect_uri: str, nonce: str, now: float | None = None
) -> Granted:
    """The tokens for a callback's code, and who signed in, proved by the id_token.

    Raises Refused, Away. The keys are fetched first: when they cannot be had the code is not spent, and the same call
    may be made again. `now` in seconds since 1970 (None: the system's clock).
    """
    keys = _keys(client)
    with _session(client) as session:
        token = _asked(
            lambda: session.fetch_token(
                client.endpoints.token, code=code, code_verifier=verifier, redirect_uri=redirect_uri
            )
        )
    refresh = token.get("refresh_token")
    if not refresh:
        raise Refused("no_refresh_token")
    return _granted(token, _identity(client, token, keys, nonce, time.time() if now is None else now))


def refresh(client: Client, refresh_token: str) -> Granted:
    """A fresh access token; Granted.refresh is the refresh token to keep, which may be a new one.

    Raises Refused (revoked: the person signs in again), Away (try later with the same one).
    """
    with _session(client) as session:
        token = _asked(lambda: session.refresh_token(client.endpoints.token, refresh_token=refresh_token))
    return _granted(token, None)


def revoke(client: Client, token: str) -> None:
    """Take a grant back at the provider: with its refresh token all that came of it. Done already is as good.

    Microsoft has no such endpoint: nothing happens, and the person may take it back at myapps.microsoft.com. Raises
    Refused, Away.
    """
    if not client.endpoints.revoke:
        return
    with _session(client) as session:
        try:
            _asked(lambda: session.revoke_token(client.endpoints.revoke, token=token))
        except Refused as refused:
            if refused.error not in _GONE_ALREADY:
                raise


class _Bounded(HTTPAdapter):
    """Connections with our trust and our patience; an answer is read whole, within size and time."""

    def __init__(self, web: Web) -> None:
        self._web = web
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._web.context or _trusted(), **kwargs)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ARG002 - requests' seam
        """The context verifies already; requests would add its own authorities to it."""
        conn.cert_reqs = "CERT_REQUIRED"

    def send(self, request: PreparedRequest, *_: Any, **kwargs: Any) -> Response:
        """Raises RequestException, or Away for an answer that is too large or too slow."""
        ends = time.monotonic() + self._web.total
        kwargs |= {"stream": True, "timeout": (self._web.connect, self._web.read)}
        response = super().send(request, **kwargs)
        try:
            response._content = _body(response, ends)  # noqa: SLF001 - where requests keeps what is read
        except HTTPError as error:
            response.close()
            failure = type(error).__name__
        else:
            return response
        raise Away(failure)


def _body(response: Response, ends: float) -> bytes:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        response.close()
        raise Away("an encoding that was not asked for")  # packed, an answer without an end looks like none at all
    body = bytearray()
    while part := response.raw.read1(_CHUNK):
        body += part
        if len(body) > MAX_ANSWER or time.monotonic() > ends:
            response.close()
            raise Away("the answer has no end")
    return bytes(body)


@cache
def _trusted() -> ssl.SSLContext:
    return tls_context()


def _session(client: Client) -> Any:
    """Authlib's session for one call: no redirects, nothing of the environment, every answer judged by us first."""
    session = OAuth2Session(
        client.client_id,
        client.client_secret,
        token_endpoint_auth_method="client_secret_post" if client.client_secret else "none",
        revocation_endpoint_auth_method="client_secret_post" if client.client_secret else "none",
        code_challenge_method="S256",
    )
    session.trust_env = False
    session.max_redirects = 0
    session.headers.update({"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"})
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Bounded(client.web))
    session.hooks["response"].append(_judged)
    return session


def _judged(response: Response, **_: Any) -> None:
    """Let through only what is an answer of success; raise Away or Refused for all else."""
    if response.status_code == _OK:
        return
    if response.status_code == _TOO_MANY or response.status_code >= _SERVER:
        raise Away(f"status {response.status_code}", _wait(response))
    told = _object(response)
    if not isinstance(told.get("error"), str):
        raise Away(f"status {response.status_code} without an error of OAuth")
    suberror = told.get("suberror") or told.get("error_subtype")  # Microsoft's word, Google's
    _raise(told["error"], suberror, told.get("error_description"))


def _raise(error: str, suberror: object, description: object) -> NoReturn:
    if error in _PASSING:
        raise Away(error)
    raise Refused(error, str(suberror or ""), str(description or ""))


def _object(response: Response) -> dict[str, Any]:
    try:
        told = response.json()
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _wait(response: Response) -> float:
    """Retry-After (RFC 9110 10.2.3): seconds, or a date."""
    told = response.headers.get("Retry-After", "").strip()
    if told.isascii() and told.isdigit():
        return float(told[:9])
    try:
        return parsedate_to_datetime(told).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return _WAIT


def _asked(call: Callable[[], Any]) -> Any:
    """What a call of Authlib's answers. Its exceptions hold requests and answers: none of them goes further.

    (They are raised anew outside the handler, so that not even `__context__` holds one.)
    """
    refused: Refused | None = None
    seconds = _WAIT
    try:
        return call()
    except Away as error:
        failure, seconds = str(error), error.seconds
    except Refused as error:
        failure, refused = "", Refused(error.error, error.suberror, error.hint)
    except Exception as error:  # noqa: BLE001 - of requests, urllib3, Authlib: whatever it is, no answer to be used
        failure = type(error).__name__
    if refused:
        raise refused
    raise Away(failure, seconds)


def _granted(token: Mapping[str, Any], identity: Identity | None) -> Granted:
    """Raises Away for an answer of success that is none."""
    access, kept = token.get("access_token"), token.get("refresh_token")
    if not (isinstance(access, str) and _TOKEN.fullmatch(access) and isinstance(kept, str) and _TOKEN.fullmatch(kept)):
        raise Away("an answer without tokens")
    if str(token.get("token_type", "")).lower() != "bearer":
        raise Away("a token of another type")
    told = token.get("scope")
    return Granted(
        access, kept, _life(token.get("expires_in")), tuple(told.split()) if isinstance(told, str) else (), identity
    )


def _life(told: object) -> int:
    try:
        seconds = int(str(told))
    except ValueError:
        return _NO_LIFE
    return max(0, min(seconds, _LONGEST_LIFE))


def _keys(client: Client) -> KeySet:
    try:
        return KeySet.import_key_set(_fetched(client.endpoints.jwks, client.web))  # type: ignore[arg-type]
    except (JoseError, *_NONSENSE):
        failure = "keys that are none"
    raise Away(failure)


def _fetched(url: str, web: Web) -> dict[str, Any]:
    """A JSON object. Raises Away; a refusal here is none that a person could do anything about."""
    nobody = Client("google", "", "", Endpoints("", "", "", "", ""), web)
    with _session(nobody) as session:
        try:
            response = _asked(lambda: session.get(url, withhold_token=True, allow_redirects=False))
        except Refused:
            response = None
    told = _object(response) if response is not None else {}
    if not told:
        raise Away("no JSON")
    return told


def _identity(client: Client, token: Mapping[str, Any], keys: KeySet, nonce: str, now: float) -> Identity:
    """Who the id_token proves. Raises Refused where it proves nothing: OpenID Connect Core 3.1.3.7."""
    raw = token.get("id_token")
    if not isinstance(raw, str):
        raise Refused("no_id_token")
    try:
        read = jwt.decode(raw, keys, registry=JWSRegistry(algorithms=_ALGORITHMS, strict_check_header=False))
        claims = CodeIDToken(
            read.claims,
            read.header,
            {
                "iss": {"essential": True, "values": _issuers(client, str(read.claims.get("tid", "")))},
                "aud": {"essential": True, "value": client.client_id},
                "exp": {"essential": True},
            },
            {"nonce": nonce, "client_id": client.client_id, "access_token": token.get("access_token")},
        )
        claims.validate(now=int(now), leeway=LEEWAY)
    except (JoseError, *_NONSENSE) as error:
        reason = type(error).__name__
    else:
        return _read(client.provider, claims)
    raise Refused("invalid_id_token", reason)


def _read(provider: Provider, claims: Mapping[str, Any]) -> Identity:
    """Addresses that Google did not verify are left out; Microsoft says of none whether it did."""
    names = [claims.get("preferred_username"), claims.get("upn")] if provider == "microsoft" else []
    if provider == "microsoft" or claims.get("email_verified") is True:
        names.insert(0, claims.get("email"))
    return Identity(
        issuer=str(claims["iss"]),
        subject=str(claims["sub"]),
        addresses=tuple(dict.fromkeys(filter(None, map(_address, names)))),
        tenant="" if claims.get("tid") == _PERSONAL else str(claims.get("tid", "")),
    )


def _address(name: object) -> str:
    try:
        return normalise(name).lower() if isinstance(name, str) else ""
    except BadAddress:
        return ""


def _issuers(client: Client, tenant: str) -> list[str]:
    """How the provider may call itself: Google with and without https, Microsoft by the tenant of who signed in."""
    issuer = client.endpoints.issuer
    if _TENANT_IN_ISSUER in issuer:
        return [issuer.replace(_TENANT_IN_ISSUER, tenant)] if _TENANT.fullmatch(tenant) else [""]
    return [issuer, issuer.removeprefix("https://")] if issuer == "https://accounts.google.com" else [issuer]


def _is_issuer(client: Client, told: str) -> bool:
    before, placeholder, after = client.endpoints.issuer.partition(_TENANT_IN_ISSUER)
    if not placeholder:
        return told == before
    tenant = told[len(before) : len(told) - len(after)]
    return told == f"{before}{tenant}{after}" and _TENANT.fullmatch(tenant) is not None


def _discovered(authority: str, web: Web) -> Endpoints:
    """OpenID Connect Discovery 1.0 4: what the authority says of itself, under its own name."""
    secure_url(authority)
    told = _fetched(f"{authority}/.well-known/openid-configuration", web)
    if told.get("issuer") != authority:
        raise Refused("issuer_mismatch")
    try:
        return Endpoints(
            authorize=secure_url(str(told["authorization_endpoint"])),
            token=secure_url(str(told["token_endpoint"])),
            revoke=secure_url(str(told["revocation_endpoint"])) if told.get("revocation_endpoint") else "",
            issuer=authority,
            jwks=secure_url(str(told["jwks_uri"])),
            tells_issuer=told.get("authorization_response_iss_parameter_supported") is True,
        )
    except (KeyError, ValueError):
        failure = "endpoints that are none"
    raise Away(failure)
