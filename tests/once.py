"""What takes long and comes out the same in each test is done once a process.

An installation does it once anyway; a test has engines and pages of its own.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jinja2 import Environment
from sqlalchemy import Engine, create_engine
from werkzeug.routing import Rule


def compiled_once() -> Iterator[None]:
    """Session fixture: statements, addresses of pages and templates are compiled when they are met first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bot.store.engine.create_engine", _with_known_statements())
        patch.setattr(Rule, "_compile_builder", _known_rules(Rule._compile_builder))
        patch.setattr(Environment, "compile", _known_templates(Environment.compile))
        yield


def _with_known_statements() -> Callable[..., Engine]:
    """SQLAlchemy keeps what it compiled with the engine and its dialect; all engines of tests are alike."""
    made: list[Engine] = []

    def create(*address: Any, **how: Any) -> Engine:
        new = create_engine(*address, **how)
        known: Any = next((one for one in made if one.dialect.server_version_info), None)  # it has met a server
        if known is None:
            made.append(new)
        else:
            new.dialect, new.pool._dialect, new._compiled_cache = known.dialect, known.dialect, known._compiled_cache
        return new

    return create


def _known_rules(compile_builder: Callable[..., Any]) -> Callable[..., Any]:
    """Werkzeug makes a function of each address; it is given the rule that it is for whenever it is called."""
    known: dict[Any, Any] = {}

    def compiled(self: Any, append_unknown: bool = True) -> Any:
        converters = tuple((name, type(one)) for name, one in self._converters.items())
        key = (self.rule, append_unknown, tuple(self._trace), repr(self.defaults), converters)
        if key not in known:
            known[key] = compile_builder(self, append_unknown)
        return known[key]

    return compiled


def _known_templates(compile_template: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[Any, Any] = {}

    def compiled(self: Any, source: Any, name: Any = None, filename: Any = None, **more: Any) -> Any:
        key = (source, name, filename, repr(more), str(self.autoescape))
        if key not in known:
            known[key] = compile_template(self, source, name, filename, **more)
        return known[key]

    return compiled
