"""The tables of facts are YAML: one way to read them."""

from typing import Any

import yaml

__all__ = ["BadYaml", "read"]

BadYaml = yaml.YAMLError
# libyaml reads ten times as fast; PyYAML has it wherever it is installed from a wheel.
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(text: bytes) -> Any:
    """What stands in a table. Raises BadYaml, and RecursionError or ValueError for what is odd in other ways."""
    return yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader, the faster of two
