"""`python -m bot door`: the submission server in its own process."""

import asyncio
import signal

import structlog

from bot.app import Parts
from bot.door.server import BadCertificate, Door, context
from bot.door_desk import DoorDesk
from bot.settings import Settings, SettingsError

MAX_MAIL_BYTES = 25 * 1024 * 1024  # what large providers take, encoded
_log = structlog.get_logger(__name__)


def look_at_files(settings: Settings) -> None:
    """Whether the door could open with its certificate and key. Raises SettingsError."""
    if settings.door_cert is not None and settings.door_key is not None:
        try:
            context(settings.door_cert, settings.door_key)
        except BadCertificate as bad:
            raise SettingsError(str(bad)) from None


def create_door(parts: Parts) -> tuple[Door, DoorDesk]:
    """The door, and the desk behind it. Raises SettingsError."""
    settings = parts.settings
    if not settings.door_host or settings.door_cert is None or settings.door_key is None:
        raise SettingsError("DOOR_HOST: it is not set, so there is no door; deploy/env.example tells what it needs.")
    desk = DoorDesk(parts.tools)
    try:
        door = Door(
            desk,
            host=settings.door_host,
            certificate=settings.door_cert,
            key=settings.door_key,
            max_size=MAX_MAIL_BYTES,
        )
    except BadCertificate as bad:
        raise SettingsError(str(bad)) from None
    return door, desk


def keep_open(parts: Parts) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP takes the certificate anew. Raises SettingsError."""
    door, desk = create_door(parts)
    port = parts.settings.door_port
    try:
        asyncio.run(_until_told(door, parts.settings.door_bind, port))
    except OSError as error:
        why = f"DOOR_PORT: we cannot listen at {port} ({error.strerror}); ports below 1024 need a permission."
        raise SettingsError(why) from None
    finally:
        desk.close()


async def _until_told(door: Door, bind: str | None, port: int) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, door.stop)
    loop.add_signal_handler(signal.SIGHUP, door.reload)
    await door.serve(bind, port, lambda chosen: _log.info("the door is open", port=chosen))
