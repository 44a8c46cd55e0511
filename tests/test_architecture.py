"""The arrows between the rooms: who may import whom, read from the code itself."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from flows.conversation import FLOWS

ROOT = Path(__file__).parent.parent
PURE = {
    "collections", "dataclasses", "datetime", "difflib", "functools", "importlib", "itertools", "json", "re", "tomllib",
    "typing", "unicodedata",
}  # fmt: skip
# Each of these knows nothing of the others; turns, hands and app join them.
APART = (
    "bot.channels.whatsapp",
    "bot.channels.slack",
    "bot.mail",
    "bot.vault",
    "bot.search",
    "bot.store",
    "bot.desk",
    "bot.door",
)
# Who alone may import a library: SQL lives in the store, ciphers in the vault, each provider in its channel.
ONLY = {
    "sqlalchemy": ("bot.store",),
    "psycopg": ("bot.store",),
    "alembic": ("bot.store",),
    "cryptography": ("bot.vault",),
    "cryptography.x509": ("bot.vault", "bot.mail.wire.certificate"),  # the names in a wrong certificate
    "twilio": ("bot.channels.whatsapp",),
    "slack_bolt": ("bot.channels.slack",),
    "slack_sdk": ("bot.channels.slack",),
    "sklearn": ("bot.learnt",),
    "authlib": ("bot.mail.wire.oauth", "bot.playground"),
    "joserfc": ("bot.mail.wire.oauth", "bot.playground"),
    "pika": ("bot.broker",),
}


def _within(module, room):
    return module == room or module.startswith(f"{room}.")


def _module(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(path):
    """Every module that a file imports; of `from a import b` both `a` and `a.b`, because b may be a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names):
                yield from ((name.name, name.name) for name in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from ((module, f"{module}.{name.name}") for name in names)
            case ast.ImportFrom():
                yield (".", ".")


@cache
def imports():
    """All imports of our rooms: who, the module, and the thing of it."""
    return {
        (_module(path), module, thing)
        for room in ("flows", "bot")
        for path in (ROOT / room).rglob("*.py")
        for module, thing in _imported(path)
    }


def offending(rule):
    """All imports that break a rule, as sentences."""
    return [
        f"{importer} imports {thing}" for importer, module, thing in sorted(imports()) if rule(importer, module, thing)
    ]


def test_imports_were_found():
    assert ("flows.conversation", "flows.words", "flows.words.Code") in imports()
    assert len({importer for importer, _, _ in imports()}) > 20


def test_the_talk_imports_only_itself_and_pure_standard_library():
    def breaks(importer, module, _):
        return _within(importer, "flows") and not _within(module, "flows") and module.split(".")[0] not in PURE

    assert offending(breaks) == []


def test_a_flow_does_not_import_another_flow():
    flows = {f"flows.{name}" for name in FLOWS}

    def breaks(importer, module, thing):
        return importer in flows and importer not in {module, thing} and bool(flows & {module, thing})

    assert offending(breaks) == []


def test_nothing_pure_knows_what_surrounds_it():
    """Words, facts, forms and flows are below the conversation, which is below the saved form."""
    below = ["flows.words", "flows.facts", "flows.reading", "flows.speech", "flows.forms", "flows.flow"]
    below += [*(f"flows.{name}" for name in FLOWS), "flows.conversation", "flows.saved"]

    def breaks(importer, module, thing):
        above = {thing, module} & set(below[below.index(importer) + 1 :]) if importer in below else set()
        return bool(above)

    assert offending(breaks) == []


def test_knowledge_of_mail_imports_nothing_of_ours():
    def breaks(importer, module, _):
        ours = _within(module, "bot") or _within(module, "flows")
        return _within(importer, "bot.mail.knowledge") and ours and not _within(module, "bot.mail.knowledge")

    assert offending(breaks) == []


def test_the_wire_imports_only_knowledge():
    def breaks(importer, module, thing):
        ours = _within(module, "bot") or _within(module, "flows")
        near = any(_within(thing, room) for room in ("bot.mail.wire", "bot.mail.knowledge"))
        return _within(importer, "bot.mail.wire") and ours and not near

    assert offending(breaks) == []


def test_the_hands_do_not_know_one_another():
    def breaks(importer, _, thing):
        mine = next((room for room in APART if _within(importer, room)), None)
        theirs = next((room for room in APART if _within(thing, room)), None)
        return mine is not None and theirs is not None and mine != theirs

    assert offending(breaks) == []


@pytest.mark.parametrize("library", ONLY)
def test_a_library_is_imported_only_where_it_belongs(library):
    def breaks(importer, _, thing):
        covered = any(other != library and _within(other, library) and _within(thing, other) for other in ONLY)
        return _within(thing, library) and not covered and not any(_within(importer, room) for room in ONLY[library])

    assert offending(breaks) == []


def test_no_import_is_relative_and_none_reaches_into_the_tests():
    assert offending(lambda _importer, module, _thing: module == "." or _within(module, "tests")) == []


def test_a_broken_arrow_is_printed_as_a_sentence(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "imports", lambda: [("flows.menu", "random", "random")])
    with pytest.raises(AssertionError, match="menu imports random"):
        test_the_talk_imports_only_itself_and_pure_standard_library()


@pytest.mark.parametrize("module", ["bot.wsgi", "bot.worker"])
def test_what_only_some_commands_and_answers_need_is_not_loaded_at_the_start(module):
    """The guide's library, migrations, the playground, and what Slack's SDK has for asyncio: megabytes and seconds."""
    heavy = ("sklearn", "scipy", "numpy", "alembic", "aiohttp", "bot.playground", "aiosmtpd", "pymap")
    code = f"import sys, {module}; print(*(one for one in {heavy!r} if one in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
