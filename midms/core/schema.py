"""What a file says, checked where it comes in: read within bounds, described by a pydantic model."""

from __future__ import annotations

import json
import re
import reprlib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from midms.core.errors import brief
from midms.core.files import MAX_BYTES, read_regular

_FEW = 3
"""Complaints that a line has before it counts the rest."""
_SAID = {
    "model_type": "expected values by name",
    "dict_type": "expected values by name",
    "extra_forbidden": "there is no such setting",
}
"""What pydantic says in words of Python, for people."""
BRIEF = reprlib.Repr()
"""Shows a value in a few words, however much it holds."""
BRIEF.maxlevel, BRIEF.maxlist, BRIEF.maxtuple, BRIEF.maxdict, BRIEF.maxstring, BRIEF.maxother = 2, 3, 3, 3, 60, 60


class Schema(BaseModel):
    """What a mapping in a file must hold: types are taken strictly, unknown keys are errors."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


M = TypeVar("M", bound=BaseModel)


def checked(model: type[M], content: object, where: str, error: type[Exception]) -> M:
    """The content as the model, or one error that names every field that is wrong, what came and what was expected.

    Args:
        model: what the content must be.
        content: what came from JSON or YAML.
        where: what errors call it, such as a path.
        error: the kind to raise.
    """
    try:
        return model.model_validate(content)
    except ValidationError as wrong:
        found = wrong.errors(include_url=False, include_context=False)
        lines = [_line(entry["loc"], entry["type"], entry["msg"], entry["input"]) for entry in found]
        more = f" and {len(lines) - _FEW:,} more" if len(lines) > _FEW else ""
        raise error(f"{where}: {'; '.join(map(brief, lines[:_FEW]))}{more}") from None


def _line(place: tuple[int | str, ...], kind: str, message: str, value: object) -> str:
    name = ".".join(map(str, place))
    if kind == "missing":
        return f"has no {name}"
    if kind == "value_error":  # of a validator of ours, which says what came; one of a whole mapping names the field
        said = message.removeprefix("Value error, ")
        return said if isinstance(value, dict) or not name else f"{name}: {said}"
    said = _SAID.get(kind, message[0].lower() + message[1:])
    return f"{name}: {said}, got {BRIEF.repr(value)}" if name else f"{said}, got {BRIEF.repr(value)}"


def read_json(path: Path, error: type[Exception], most: int = MAX_BYTES) -> object:
    """What a JSON file holds; whatever cannot be read as such is raised as `error`, in a line that names the file."""
    try:
        return json.loads(read_regular(path, most).decode("utf-8-sig"))
    except OSError as reason:
        raise error(f"{path}: cannot be read ({reason.strerror or reason})") from None
    except (ValueError, RecursionError) as reason:
        raise error(f"{path}: cannot be read as JSON ({reason})") from None


def read_yaml(path: Path, error: type[Exception], most: int) -> object:
    """What a YAML file holds, plain values alone; whatever cannot be read as such is raised as `error`, in a line."""
    try:
        return yaml.load(read_regular(path, most).decode("utf-8-sig"), Loader=_Plain)
    except OSError as reason:
        raise error(f"{path}: cannot be read ({reason.strerror or reason})") from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as reason:
        text = " ".join(str(reason).split())[:200]  # a tag such as !!bool finds whatever it finds in its text
        raise error(f"{path}: cannot be read as YAML ({text})") from None


class _Plain(yaml.SafeLoader):
    """Plain values without references, of which a few lines can hold more than any memory; 1e-4 is a number."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next value, which no reference stands for."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"*{self.peek_event().anchor} is a reference, which is not read")
        return super().compose_node(parent, index)


_Plain.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), [*"-+0123456789"])
