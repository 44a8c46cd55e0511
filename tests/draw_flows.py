"""Draws each flow from its own code: `python -m tests.draw_flows` writes flows/diagrams/<flow>.mmd.

A flow is a table of `case state, event: return new state, effects`; its picture is read from those lines. What a case
returns through another function is followed into that function, also in a file that is a part of the flow.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FLOWS = Path(__file__).parent.parent / "flows"
DRAWN = FLOWS / "diagrams"
END = "[*]"
NAMES = ("welcome", "menu", "mailbox", "card", "door", "integrate", "team", "invite", "roles", "compose", "privacy")

PARTS = {"mailbox": ("sign_in",)}  # files that hold a part of a flow's story


@dataclass
class Source:
    """One flow's module: its functions, its states, and which states each of its step functions serves."""

    name: str
    functions: dict[str, ast.FunctionDef]
    states: list[str]
    scope: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Arrow:
    """From a state, when this happens, to a state (or to another flow, or to the end)."""

    begin: str
    label: str
    end: str


def draw(name: str) -> str:
    """The diagram of one flow, in mermaid's language."""
    source = _read(name)
    entries = [Arrow(END, "", state) for state in _leads_to(_returns(source.functions["start"]), source, "")]
    joined: dict[tuple[str, str], list[str]] = {}
    for arrow in [*entries, *_arrows(source)]:
        labels = joined.setdefault((arrow.begin, arrow.end), [])
        if arrow.label and arrow.label not in labels:
            labels.append(arrow.label)
    lines = [f"    {begin} --> {end}{_colon(labels)}" for (begin, end), labels in joined.items()]
    return "\n".join([f"%% Drawn from flows/{name}.py by tests/draw_flows.py", "stateDiagram-v2", *lines, ""])


def _colon(labels: list[str]) -> str:
    return f" : {' / '.join(labels)}" if labels else ""


def _read(name: str) -> Source:
    tree = ast.parse((FLOWS / f"{name}.py").read_text(encoding="utf-8"))
    functions = {**_functions_of_parts(name), **_functions(tree)}
    flow = next(node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name(node.func) == "Flow")
    states = [_name(state) for state in flow.args[1].elts]
    source = Source(name, functions, states)
    source.scope["step"] = states
    for case in _cases(functions["step"]):
        served = _classes(case.pattern)
        if set(served) <= set(states):
            source.scope |= {called: served for called in _calls(case) if called in functions}
    for serving, served in list(source.scope.items()):
        source.scope |= {called: served for called in _goes_on(functions[serving]) if called in functions}
    return source


def _functions(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _functions_of_parts(name: str) -> dict[str, ast.FunctionDef]:
    paths = (FLOWS / f"{part}.py" for part in PARTS.get(name, ()))
    return {called: node for path in paths for called, node in _functions(ast.parse(path.read_text())).items()}


def _goes_on(function: ast.FunctionDef) -> list[str]:
    """What decides about the same state and event where no case of this function does."""
    last = function.body[-1]
    return [_name(last.value.func)] if isinstance(last, ast.Return) and isinstance(last.value, ast.Call) else []


def _arrows(source: Source) -> Iterator[Arrow]:
    for name, served in source.scope.items():
        for case in _cases(source.functions[name]):
            state, event = _state_and_event(case.pattern, source)
            if event is None:
                continue
            begins = [one for one in _classes(state) if one in source.states] if state else []
            for begin in begins or served:
                for end in _leads_to(_returns(case), source, begin):
                    yield Arrow(begin, _label(event), end)


def _state_and_event(pattern, source):
    """The two halves of a case. A flow with one state matches the event alone; a dispatching case has no event."""
    match pattern:
        case ast.MatchSequence([state, event]):
            return state, event
        case _ if set(_classes(pattern)) & set(source.states) or not _classes(pattern):
            return None, None
    return None, pattern


def _cases(function: ast.FunctionDef) -> list[ast.match_case]:
    return [case for node in ast.walk(function) if isinstance(node, ast.Match) for case in node.cases]


def _classes(pattern: ast.pattern) -> list[str]:
    return [_name(node.cls) for node in ast.walk(pattern) if isinstance(node, ast.MatchClass)]


def _calls(node: ast.AST) -> list[str]:
    return [_name(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)]


def _returns(node: ast.AST) -> list[ast.expr]:
    return [one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value is not None]


def _leads_to(values: list[ast.expr], source: Source, begin: str) -> list[str]:
    ends = [end for value in values for end in _ends(value, source, begin)]
    return list(dict.fromkeys(ends))


def _ends(value: ast.expr, source: Source, begin: str) -> Iterator[str]:
    """The states (or flows) that a returned value leads to."""
    match value:
        case ast.Tuple([state, effects]):
            yield from _flows(effects) or _ends(state, source, begin)
        case ast.IfExp(_, one, other):
            yield from _ends(one, source, begin)
            yield from _ends(other, source, begin)
        case ast.BoolOp(_, values):
            yield from _leads_to(values, source, begin)
        case ast.Name("state" | "_state"):
            yield begin
        case ast.Call(ast.Name("Done")):
            yield END
        case ast.Call(ast.Name(called)) if called in source.states:
            yield called
        case ast.Call(ast.Name(called)) if called in source.functions:
            yield from _leads_to(_returns(source.functions[called]), source, begin)


def _flows(effects: ast.expr) -> list[str]:
    """Other flows that are started there."""
    starts = [call for call in ast.walk(effects) if isinstance(call, ast.Call) and _name(call.func) == "Start"]
    named = [call.args[0].value for call in starts if isinstance(call.args[0], ast.Constant)]
    return [f"flow_{flow}" for flow in named] or (["another_flow"] if starts else [])


def _label(event: ast.pattern) -> str:
    chosen = [node.value.value for node in ast.walk(event) if isinstance(node, ast.MatchValue)]
    if chosen:
        return " or ".join(map(str, chosen))
    said = {"Said": "words", "Chose": "a choice"}
    names = [said.get(name) or re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower() for name in _classes(event)]
    return " or ".join(names) or "anything"


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def main() -> None:
    """Write all diagrams."""
    for name in NAMES:
        (DRAWN / f"{name}.mmd").write_text(draw(name), encoding="utf-8")


if __name__ == "__main__":
    main()
