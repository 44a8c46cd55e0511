"""The threat model: every test that it names is there, and every line says what holds it, or that nothing does."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`([a-z_]+)\.py::([a-z_0-9]+)`")
LIMIT = "*limit*"


def lines(page=PAGE):
    """The rows of all tables of the threat model, without their heads."""
    model = page.partition("## Threat model")[2].partition("\n## ")[0]
    rows = [line for line in model.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [row for row in rows if not row.endswith("| held by |")]


def is_there(file, name):
    """Whether `test_<file>.py` has this test."""
    path = ROOT / "tests" / f"test_{file}.py"
    if not path.exists():
        return False
    found = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return f"test_{name}" in {node.name for node in found if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("line", lines(), ids=lambda line: line.split("|")[1].strip()[:30] or "the same")
def test_every_line_says_what_holds_it_and_that_test_is_there(line):
    last = line.rstrip("|").rpartition("|")[2]
    assert NAMED.search(last) or LIMIT in last
    assert [f"{file}.py::{name}" for file, name in NAMED.findall(line) if not is_there(file, name)] == []
    assert "::" not in NAMED.sub("", line)


def test_a_test_that_is_not_there_would_be_found():
    assert is_there("threats", "a_test_that_is_not_there_would_be_found")
    assert not is_there("threats", "nobody_wrote_this")
    assert not is_there("nothing", "a_test_that_is_not_there_would_be_found")


def test_every_way_in_has_its_line():
    """Each route of the web application, and what is no route."""
    model = "\n".join(lines())
    routes = ["/whatsapp", "/whatsapp/status", "/slack/events", "/slack/install", "/slack/oauth_redirect", "/s/<token>",
              "/m/<token>", "/oauth/<provider>/start", "/metrics", "/healthz", "/readyz", "/privacy"]  # fmt: skip
    others = ["the door", "RabbitMQ", "PostgreSQL", "the command line", "the playground", "dependencies", "DNS"]
    assert [one for one in (*routes, *others) if one not in model] == []


def test_every_test_file_that_the_documents_name_is_there():
    named = {
        name
        for page in (ROOT / "docs").glob("*.md")
        for name in re.findall(r"tests/(test_[a-z_0-9]+\.py)", page.read_text(encoding="utf-8"))
    }
    assert [name for name in sorted(named) if not (ROOT / "tests" / name).exists()] == []
