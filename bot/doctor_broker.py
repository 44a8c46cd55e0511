"""What `doctor` looks at of the broker: it tells a word there and hears it, as a web process and a worker do."""

import importlib

from bot.findings import Finding
from bot.settings import Settings

NAME = "broker"
TODO = "Is it running, does BROKER_URL name it rightly, may its user use ally.wake and amq.gen-.*?"


def broker(settings: Settings) -> Finding | None:
    """Whether wake-ups go through RabbitMQ. A warning only: without it workers look once a second."""
    if not settings.broker_url:
        return None
    try:
        way = importlib.import_module("bot.broker")  # its library is an extra
    except ImportError:
        return Finding(NAME, "failed", "What BROKER_URL needs is missing.", "Install deploy/requirements-broker.lock.")
    try:
        heard = way.hears_itself(settings.broker_url)
    except way.UNREACHABLE as failure:
        return Finding(NAME, "warning", f"It does not take what we tell ({type(failure).__name__}).", TODO)
    if not heard:
        return Finding(NAME, "warning", "What is told there is not heard.", TODO)
    return Finding(NAME, "ok", "What is told there is heard.")
