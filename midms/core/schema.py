"""What a file says, checked where it comes in: read within bounds, described by a pydantic model."""

from __future__ import annotations

import json
import re
import reprlib
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from midms.core.errors import brief
from midms.core.files import MAX_BYTES, read_regular

_FEW = 3
"""Complaints that a line has before it counts the rest."""
_SAID = {
    "model_type": "expected values by name",
    "dict_type": "expected values by name",
    "extra_forbidden": "there is no such setting",
    "list_type": "expected a list",
    "tuple_type": "expected a list",
    "string_type": "expected text",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "int_type": "expected a whole number",
    "bool_type": "expected true or false",
}
"""What pydantic says in words of Python, for people who write JSON or YAML."""
_PIECES = {"tuple": "list", "dictionary": "mapping", "input should": "must", "should": "must", " after validation": ""}
"""The same of words in what else it says."""
BRIEF = reprlib.Repr()
"""Shows a value in a few words, however much it holds."""
BRIEF.maxlevel, BRIEF.maxlist, BRIEF.maxtuple, BRIEF.maxdict, BRIEF.maxstring, BRIEF.maxother = 2, 3, 3, 3, 60, 60


class Schema(BaseModel):
    """What a mapping in a file must hold: types are taken strictly, unknown keys are errors."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def matching_text(pattern: str, expected: str) -> AfterValidator:
    """For a text that must be written so; an error says what is expected in words."""
    written = re.compile(pattern)

    def check(text: str) -> str:
        if not written.fullmatch(text):
            raise ValueError(f"expected {expected}, got {BRIEF.repr(text)}")
        return text

    return AfterValidator(check)


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
    said = message[0].lower() + message[1:]
    for python, plain in _PIECES.items():
        said = said.replace(python, plain)
    said = _SAID.get(kind, said)
    return f"{name}: {said}, got {BRIEF.repr(value)}" if name else f"{said}, got {BRIEF.repr(value)}"


def read_json(path: Path, error: type[Exception], most: int = MAX_BYTES) -> object:
    """What a JSON file holds; whatever cannot be read as such is raised as `error`, in a line that names the file."""
    try:
        return parse_json(read_regular(path, most).decode("utf-8-sig"))
    except OSError as reason:
        raise error(f"{path}: cannot be read ({reason.strerror or reason})") from None
    except (ValueError, RecursionError) as reason:
        raise error(f"{path}: cannot be read as JSON ({reason})") from None


def parse_json(text: str | bytes) -> Any:
    """What a text in JSON says.

    Raises:
        ValueError: it is none, or a mapping has a name twice, of which one would be lost.
        RecursionError: it is too deep.
    """
    return json.loads(text, object_pairs_hook=_mapping)


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError(_twice(Counter(name for name, _ in pairs).most_common(1)[0][0]))
    return found


def _twice(name: object) -> str:
    return f"has {BRIEF.repr(name)} twice in a mapping"


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
    """Plain values without references, of which a few lines can hold more than any memory; 1e-4 is a number.

    A mapping that has a name twice is an error, for one of them would be lost.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping of a node."""
        names = Counter((key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if names and (most := names.most_common(1)[0])[1] > 1:
            raise yaml.YAMLError(_twice(most[0][1]))
        return super().construct_mapping(node, deep)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next value, which no reference stands for."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"*{self.peek_event().anchor} is a reference, which is not read")
        return super().compose_node(parent, index)


_Plain.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), [*"-+0123456789"])
