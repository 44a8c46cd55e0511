"""The OpenID provider of the playground as an app hears it: Authlib's own server, on what `identity.py` remembers.

RFC 6749 with a client's secret, RFC 7636 (PKCE, S256 only), RFC 7009, RFC 9207, OpenID Connect Core 1.0. Authlib judges
every request; here stands where its answers are kept, and what time it is.
"""

import hmac
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749.errors import AccessDeniedError, InvalidRequestError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core import OpenIDCode
from flask import Flask, Response
from joserfc.jwk import KeySet, RSAKey

from bot.playground.identity import ACCESS_LIVES, CLIENT_ID, SCOPES, Code, Grant, Identity

TENANT = "5a4db0c5-0000-4000-8000-000000000001"  # made up
BY_POST = "client_secret_post"
# What Microsoft says; learn.microsoft.com/entra/identity-platform/reference-error-codes
ADMIN_NEEDED = "AADSTS90094: The grant requires administrator permission."


class Provider:
    """The endpoints of an `identity`; `issuer`: its name, and the address below which they are."""

    def __init__(self, app: Flask, identity: Identity, issuer: str) -> None:
        self.issuer = issuer
        self._identity = identity
        self._keys: KeySet | None = None
        self._client = _Client(identity)
        app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
        seconds = int(ACCESS_LIVES.total_seconds())
        app.config["OAUTH2_TOKEN_EXPIRES_IN"] = dict.fromkeys(_GRANTS, seconds)
        self._server = AuthorizationServer(app, self._known, self._granted)
        self._server.register_extension(_Issuer(issuer))
        self._server.register_grant(_bound(_CodeGrant, identity), [_Proof(required=True), _IdToken(self, identity)])
        self._server.register_grant(_bound(_RefreshGrant, identity))
        self._server.register_endpoint(_bound(_Revocation, identity))

    @property
    def keys(self) -> KeySet:
        """Signs, and is shown without its private part. Made when it is needed first: it takes a moment."""
        with self._identity.changed:  # two who come first together have to see the same
            if self._keys is None:
                self._keys = KeySet([RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)])
            return self._keys

    def ask(self) -> Any:
        """The request to be put before a person, once it is a valid one. Raises authlib's OAuth2Error."""
        return self._server.get_consent_grant(end_user=None)

    def decide(self, asked: Any, address: str | None) -> Response:
        """Back to the app, with a code for who has allowed it (None: they did not)."""
        with self._identity.changed:
            return self._answer(self._server.create_authorization_response(grant=asked, grant_user=address))

    def refused(self, error: Any) -> Response:
        """Back to the app with an error, where it is safe to go there; else the error itself."""
        made = self._answer(self._server.handle_error_response(None, error))
        self._server.execute_hook("after_create_authorization_response", made)  # RFC 9207, of errors, too
        return made

    def token(self) -> Response:
        """The token endpoint."""
        with self._identity.changed:
            return self._answer(self._server.create_token_response())

    def revoke(self) -> Response:
        """The revocation endpoint."""
        with self._identity.changed:
            return self._answer(self._server.create_endpoint_response(_Revocation.ENDPOINT_NAME))

    def metadata(self) -> dict[str, Any]:
        """What it says of itself (OpenID Connect Discovery 1.0, 3)."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "revocation_endpoint": f"{self.issuer}/revoke",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": list(_GRANTS),
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": [BY_POST],
            "revocation_endpoint_auth_methods_supported": [BY_POST],
            "code_challenge_methods_supported": _Proof.SUPPORTED_CODE_CHALLENGE_METHOD,
            "scopes_supported": list(SCOPES),
            "authorization_response_iss_parameter_supported": True,
        }

    def _known(self, client_id: str) -> "_Client | None":
        return self._client if client_id == CLIENT_ID else None

    def _granted(self, token: dict[str, Any], request: Any) -> None:
        access, refresh = token["access_token"], token["refresh_token"]
        if request.authorization_code is not None:
            self._identity.grant(request.authorization_code.code, access, refresh)
        else:
            self._identity.renew(request.refresh_token.grant, access, refresh)

    @staticmethod
    def _answer(made: Any) -> Response:
        assert isinstance(made, Response)  # noqa: S101 - what Authlib's Flask part makes, though it is not typed
        return made


class _Client(ClientMixin):
    """The one app that is registered."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> None:
        """None: it has to be said."""

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(one for one in (scope or "").split() if one in SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self._identity.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return hmac.compare_digest(client_secret.encode(), self._identity.client_secret.encode())

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == BY_POST

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in _GRANTS


class _AskedCode:
    """A code, as Authlib looks at it."""

    def __init__(self, code: Code) -> None:
        self.code = code
        self.code_challenge = code.challenge
        self.code_challenge_method = "S256"

    def get_redirect_uri(self) -> str:
        return self.code.redirect_uri

    def get_scope(self) -> str:
        return self.code.scope

    def get_nonce(self) -> str:
        return self.code.nonce

    def get_auth_time(self) -> None:
        """The id_token's own time says it."""

    def get_acr(self) -> None:
        """None."""

    def get_amr(self) -> None:
        """None."""


class _AskedGrant:
    """A grant, as Authlib looks at it."""

    def __init__(self, grant: Grant) -> None:
        self.grant = grant

    def check_client(self, _client: _Client) -> bool:
        return True  # there is only one

    def get_scope(self) -> str:
        return self.grant.scope


class _CodeGrant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = (BY_POST,)
    identity: Identity

    def create_authorization_response(self, redirect_uri: str, grant_user: str | None) -> Any:
        if grant_user and self.identity.consent == "admin":
            raise AccessDeniedError(ADMIN_NEEDED, redirect_uri=redirect_uri)
        return super().create_authorization_response(redirect_uri, grant_user)

    def generate_authorization_code(self) -> str:
        asked = self.request.payload
        return self.identity.allow(
            self.request.user,
            scope=self.request.scope,
            redirect_uri=asked.redirect_uri,
            nonce=asked.data["nonce"],
            challenge=asked.data["code_challenge"],
        )

    def save_authorization_code(self, _code: str, _request: Any) -> None:
        """It is kept already."""

    def query_authorization_code(self, code: str, _client: _Client) -> _AskedCode | None:
        found = self.identity.take(code)
        return _AskedCode(found) if found is not None else None

    def delete_authorization_code(self, _code: _AskedCode) -> None:
        """It is spent already; what it gave has to be known when it comes again."""

    def authenticate_user(self, code: _AskedCode) -> str:
        return code.code.address


class _RefreshGrant(RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = (BY_POST,)
    INCLUDE_NEW_REFRESH_TOKEN = True
    identity: Identity

    def authenticate_refresh_token(self, refresh_token: str) -> _AskedGrant | None:
        found = self.identity.renewable(refresh_token)
        return _AskedGrant(found) if found is not None else None

    def authenticate_user(self, grant: _AskedGrant) -> str:
        return grant.grant.address

    def revoke_old_credential(self, _grant: _AskedGrant) -> None:
        """It is worth nothing since the new one was kept."""


class _Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = (BY_POST,)
    identity: Identity

    def query_token(self, token: str, _hint: str | None) -> _AskedGrant | None:
        found = self.identity.by_token(token)
        return _AskedGrant(found) if found is not None else None

    def revoke_token(self, token: _AskedGrant, _request: Any) -> None:
        self.identity.revoke(token.grant)


class _Proof(CodeChallenge):
    """PKCE, demanded of an app with a secret, too."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        asked = grant.request.payload.data
        if not asked.get("code_challenge") or asked.get("code_challenge_method") != "S256":
            raise InvalidRequestError("A code_challenge of S256 is needed.")
        super().validate_code_challenge(grant, redirect_uri)


class _IdToken(OpenIDCode):
    """Who it was, signed; by the playground's clock."""

    def __init__(self, provider: Provider, identity: Identity) -> None:
        super().__init__(require_nonce=True)
        self._provider = provider
        self._identity = identity

    def exists_nonce(self, nonce: str, _request: Any) -> bool:
        return self._identity.knows_nonce(nonce)

    def resolve_client_private_key(self, _client: _Client) -> KeySet:
        return self._provider.keys

    def get_client_algorithm(self, _client: _Client) -> str:
        return "RS256"

    def get_encode_header(self, _client: _Client) -> dict[str, Any]:
        return {"alg": "RS256", "kid": self._provider.keys.keys[0].kid}

    def get_client_claims(self, _client: _Client) -> dict[str, Any]:
        now = int(self._identity.now().timestamp())
        until = now + int(ACCESS_LIVES.total_seconds())
        return {"iss": self._provider.issuer, "aud": CLIENT_ID, "iat": now, "auth_time": now, "exp": until}

    def generate_user_info(self, user: str, _scope: str) -> dict[str, Any]:
        return {"sub": user, "tid": TENANT, "email": user, "preferred_username": user}


class _Issuer(IssuerParameter):
    def __init__(self, issuer: str) -> None:
        self._issuer = issuer

    def get_issuer(self) -> str:
        return self._issuer


_GRANTS = ("authorization_code", "refresh_token")


def _bound(kind: type[Any], identity: Identity) -> type[Any]:
    """Authlib makes its parts itself, from a class that has to know where things are kept."""
    return type(kind.__name__, (kind,), {"identity": identity})
