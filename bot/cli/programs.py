"""What runs until it is told to stop: web, worker, door, all of them on one machine, a talk."""

import logging
import os
import signal
from pathlib import Path

import click

from bot.app import create_worker
from bot.cli.shared import joined, our_settings

DOOR_POOL = 20  # connections to the database; each is held for moments only


@click.command()
def serve() -> None:
    """Serve everything on this machine; without a Twilio account, the playground."""
    from bot.serve import serve as run

    run(our_settings(), os.environ)


@click.command()
def web() -> None:
    """Serve the web application with gunicorn."""
    from bot.serve import web_command

    command = web_command(our_settings())
    os.execv(command[0], command)  # noqa: S606 - it takes our place, with our signals


@click.command()
def worker() -> None:
    """Perform promises until told to stop."""
    from bot.alarms import Alarms, bells

    with joined() as parts:
        working = create_worker(parts)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: working.stop())
        alarms = Alarms(parts, bells(parts)).start()
        working.run()
        alarms.stop()


@click.command()
def door() -> None:
    """Take mails for people's mailboxes from Ally, until told to stop; SIGHUP: the certificate was renewed."""
    from bot.door_command import keep_open

    with joined(pool=DOOR_POOL) as parts:
        keep_open(parts)


@click.command()
@click.option("--script", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Play what a file says.")
@click.option("--record", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Write down the talk.")
def talk(script: Path | None, record: Path | None) -> None:
    """Talk to the assistant in this terminal, with the sandbox's mail server."""
    from bot.talk import talk as run

    run(our_settings(logging.WARNING), script, record)  # the talk is what this terminal is for
