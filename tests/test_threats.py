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


# --- OWASP ASVS 5.0.0 -------------------------------------------------------------------------------------------------

# The requirements of levels 1 and 2: the numbers of each section.
ASVS = {
    "1.1": "1-2", "1.2": "1-9", "1.3": "1-11", "1.4": "1-3", "1.5": "1-2", "2.1": "1-3", "2.2": "1-3", "2.3": "1-4",
    "2.4": "1-1", "3.2": "1-2", "3.3": "1-4", "3.4": "1-6", "3.5": "1-5", "3.7": "1-2", "4.1": "1-3", "4.2": "1-1",
    "4.3": "1-2", "4.4": "1-4", "5.1": "1-1", "5.2": "1-3", "5.3": "1-2", "5.4": "1-3", "6.1": "1-3", "6.2": "1-12",
    "6.3": "1-4", "6.4": "1-4", "6.5": "1-5", "6.6": "1-3", "6.8": "1-4", "7.1": "1-3", "7.2": "1-4", "7.3": "1-2",
    "7.4": "1-5", "7.5": "1-2", "7.6": "1-2", "8.1": "1-2", "8.2": "1-3", "8.3": "1-1", "8.4": "1-1", "9.1": "1-3",
    "9.2": "1-4", "10.1": "1-2", "10.2": "1-2", "10.3": "1-4", "10.4": "1-11", "10.5": "1-5", "10.6": "1-2",
    "10.7": "1-3", "11.1": "1-2", "11.2": "1-3", "11.3": "1-3", "11.4": "1-4", "11.5": "1-1", "11.6": "1-1",
    "12.1": "1-3", "12.2": "1-2", "12.3": "1-4", "13.1": "1-1", "13.2": "1-5", "13.3": "1-2", "13.4": "1-5",
    "14.1": "1-2", "14.2": "1-4", "14.3": "1-3", "15.1": "1-3", "15.2": "1-3", "15.3": "1-7", "16.1": "1-1",
    "16.2": "1-5", "16.3": "1-4", "16.4": "1-3", "16.5": "1-3", "17.1": "1-1", "17.2": "1-4", "17.3": "1-2",
}  # fmt: skip


def spread(section, numbers):
    """`6.2` and `1-12` as the twelve requirements."""
    first, _, last = numbers.partition("-")
    return [f"{section}.{number}" for number in range(int(first), int(last or first) + 1)]


def named_in(cell):
    """The requirements that a cell of a table names, `6.2.1-6.2.12` as all of them."""
    found = re.findall(r"(\d+\.\d+)\.(\d+)(?:-\1\.(\d+))?", cell)
    return [one for section, first, last in found for one in spread(section, f"{first}-{last or first}")]


def judged(title):
    """The rows of a table about ASVS: the requirements of each, and the cell after them."""
    table = PAGE.partition("## OWASP ASVS 5.0")[2].partition(f"### {title}\n")[2].partition("\n#")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if re.match(r"\| \d", line)]
    return [(named_in(row[0]), row[1].strip()) for row in rows]


def test_what_is_said_of_asvs_adds_up():
    every = {one for section, numbers in ASVS.items() for one in spread(section, numbers)}
    unmet = {one for row, _ in judged("Not met") for one in row}
    beside = [one for row, _ in judged("Does not apply") for one in row]
    assert unmet | set(beside) <= every
    assert len(set(beside) - unmet) == len(beside)  # none twice, none in both
    assert [said for row, said in judged("Does not apply") if int(said) != len(row)] == []
    told = re.search(
        r"have (\d+)\s+requirements.*?\*\*(\d+) are met, (\d+) are not, (\d+) do not apply", PAGE, re.DOTALL
    )
    met = len(every) - len(unmet) - len(beside)
    assert [int(number) for number in told.groups()] == [len(every), met, len(unmet), len(beside)]
