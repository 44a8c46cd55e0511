"""What the tests of the key for Ally share: the bot with a door, and somebody at the page that shows the key."""

import re

from bot.app import create_app
from bot.store import tables
from tests.botkit import ANA, Kit, table_of_providers

HOST = "door.example.test"
PROOF = re.compile(r'action="([^"]+)">\s*<input type="hidden" name="proof" value="([^"]+)"')
KEY = re.compile(r"[2-9a-z]{4}(?:-[2-9a-z]{4}){6}")


def opened(database_url, home, **settings):
    """The bot where the operator opened the door."""
    for name in ("cert.pem", "key.pem"):
        (home / name).write_text("-")
    door = {"DOOR_HOST": HOST, "DOOR_CERT": str(home / "cert.pem"), "DOOR_KEY": str(home / "key.pem")}
    return Kit(database_url, home, providers=table_of_providers(home), **door, **settings)


def client_of(kit):
    """A browser of that bot's pages."""
    app = create_app(kit.parts)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app.test_client()


def at_the_link(kit, who=ANA, **mailbox):
    """Somebody with a mailbox that works, to whom the link was sent; its token."""
    kit.mailbox(who, **mailbox)
    for choice in ("card", "door"):
        kit.tap(choice, who)
        kit.work()
    return kit.token(who)


def form_of(answer):
    """Where the form of a page leads, and its proof."""
    return PROOF.search(answer.text).groups()


def pressed(client, answer, **headers):
    """The page's button, pressed."""
    action, proof = form_of(answer)
    return client.post(action, data={"proof": proof}, headers=headers)


def shown(client, token):
    """The answer that shows the key."""
    return pressed(client, client.get(f"/s/{token}"))


def key_in(answer):
    """The key on a page."""
    found = set(KEY.findall(answer.text))
    assert len(found) == 1
    return found.pop()


def keys(kit):
    """The rows of all keys."""
    return kit.rows(tables.door_key)
