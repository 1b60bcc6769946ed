"""The text of a configuration file: YAML in which every value is text, and every mistake has its place."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from gateway.errors import ConfigError

Shape = TypeVar("Shape", bound=BaseModel)
MOST_BYTES = 1 << 20


def read(text: str, shape: type[Shape]) -> Shape:
    """The document of that shape. ConfigError names the line and the key of each mistake, and repeats no value.

    Nothing is taken for a number or a date that the shape does not want so: a code `05` stays `05`.
    """
    root = _tree(text)
    for key, node in _twice(root):
        raise _invalid([f"line {node.start_mark.line + 1}: {key} stands there twice"])
    value = yaml.BaseLoader("").construct_document(root)
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        raise _invalid([_problem(root, one) for one in error.errors(include_input=False, include_url=False)]) from None


def written(value: Any, comment: str) -> str:
    """A document as text."""
    body = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110)
    return "".join(f"# {line}\n" for line in comment.splitlines()) + body


def _tree(text: str) -> yaml.Node:
    if len(text) > MOST_BYTES:
        raise _invalid([f"it has more than {MOST_BYTES} bytes"])
    try:
        for event in yaml.parse(text, yaml.BaseLoader):
            if isinstance(event, yaml.AliasEvent):
                raise _invalid([f"write out what *{event.anchor} stands for"])
        root = yaml.compose(text, yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise _invalid([f"{line}{error.problem or 'it cannot be read'}"]) from None
    except yaml.YAMLError:
        raise _invalid(["it holds characters that no text has"]) from None
    if not isinstance(root, yaml.MappingNode):
        raise _invalid(["it is no list of keys with values"])
    return root


def _twice(node: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
    """Keys that stand twice in one mapping: one of the two would be lost."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                yield str(key.value), key
            seen.add(key.value)
            yield from _twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _twice(item)


def _problem(root: yaml.Node, error: Any) -> str:
    place, line = _place(root, error["loc"])
    if error["type"] == "extra_forbidden":
        return f"line {line}: {place} is not known here"
    return f"line {line}: {place}: {str(error['msg']).removeprefix('Value error, ')}"


def _place(node: yaml.Node, location: Sequence[int | str]) -> tuple[str, int]:
    """Where a mistake stands: its path as far as the document has it, what is missing behind it, and the line."""
    path, line = [], node.start_mark.line + 1
    for step in location:
        found = _inner(node, step)
        if found is None:
            if isinstance(step, str) and isinstance(node, yaml.MappingNode) and step.isidentifier():
                path.append(step)
            break
        path.append(str(step))
        key, node = found
        line = key.start_mark.line + 1
    return ".".join(path) or "the document", line


def _inner(node: yaml.Node, step: int | str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == str(step)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def _invalid(problems: Sequence[str]) -> ConfigError:
    return ConfigError(
        "configuration-invalid",
        f"The configuration cannot be used: {'; '.join(problems[:10])}.",
        "Correct it; nothing was changed. `planbridge export-config` shows how one looks.",
    )
