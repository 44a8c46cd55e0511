"""What `doctor` looks at of the ways to database and broker: that nobody between reads or answers in their place."""

from urllib.parse import parse_qs, urlsplit

from bot.findings import Finding
from bot.settings import Settings

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
CHECKED = frozenset({"verify-ca", "verify-full"})  # https://www.postgresql.org/docs/18/libpq-ssl.html
TODO = "If it leaves the machine or your own network: sslmode=verify-full in DATABASE_URL, amqps:// in BROKER_URL."


def wires(settings: Settings) -> Finding | None:
    """Whether what goes to another machine is encrypted, and that machine's certificate checked."""
    open_ones = [name for name, is_open in (("DATABASE_URL", _database(settings)), ("BROKER_URL", _broker(settings)))
                 if is_open]  # fmt: skip
    if open_ones:
        words = f"{' and '.join(open_ones)}: another machine, and its certificate is not checked."
        return Finding("wires", "warning", words, TODO)
    if settings.database_url or settings.broker_url:
        return Finding("wires", "ok", "What leaves this machine for database and broker is encrypted, or nothing does.")
    return None


def _database(settings: Settings) -> bool:
    url = urlsplit(settings.database_url)
    options = parse_qs(url.query)
    named = ",".join([url.hostname or "", *options.get("host", ()), *options.get("hostaddr", ())])  # libpq takes lists
    return any(map(_is_elsewhere, named.split(","))) and not CHECKED.intersection(options.get("sslmode", ()))


def _broker(settings: Settings) -> bool:
    url = urlsplit(settings.broker_url)
    return _is_elsewhere(url.hostname or "") and url.scheme != "amqps"


def _is_elsewhere(host: str) -> bool:
    """A name without a dot is one of this machine's containers, as in `deploy/compose.yml`; none at all is a socket."""
    return host not in LOCAL and not host.startswith("/") and ("." in host or ":" in host)
