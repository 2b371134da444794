"""Tools in words: what each argument is, for who reads a list and not a schema."""

import pytest

from avo_tui.operators.toolbox import ALL_TOOLS, ToolError, check_arguments
from avo_tui.operators.toolbox.signature import argument_lines, signature, type_text

SCHEMAS = {tool.name: tool.schema() for tool in ALL_TOOLS}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "maxLength": 9}, "text, 9 characters at most"),
        ({"type": "string", "maxLength": 9, "minLength": 3}, "text, 3 to 9 characters"),
        ({"type": "string", "minLength": 3}, "text, 3 characters at least"),
        ({"type": "integer", "minimum": 1, "maximum": 4}, "whole number, 1 to 4"),
        ({"type": "integer", "minimum": 0}, "whole number, 0 or more"),
        ({"type": "boolean"}, "true or false"),
        ({"enum": ["a", "b"], "type": "string"}, "a | b"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "whole number"),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 3}, "[text, …], 3 at most"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "{NAME: text, …}"),
        ({"$ref": "#/$defs/X", "$defs": {"X": {"enum": [1, 2]}}}, "1 | 2"),
        ({}, "any value"),
    ],
)
def test_a_type_in_words(schema: dict[str, object], words: str) -> None:
    assert type_text(schema) == words


def test_every_argument_of_every_tool_has_a_type() -> None:
    for name, schema in SCHEMAS.items():
        lines = argument_lines(schema)
        assert len(lines) == len(schema.get("properties", {})), name
        assert not any("any value" in line or "object" in line for line in lines), (name, lines)


def test_nested_types_are_told_to_the_end() -> None:
    assert "{NAME: [text, …], …}" in signature(SCHEMAS["bench"])
    assert "status?: todo | doing | done | dropped" in signature(SCHEMAS["set_plan"])
    (line,) = argument_lines(SCHEMAS["evaluate"])
    assert line.startswith("title: text, 3 to 200 characters. What is tried")
    summary = argument_lines(SCHEMAS["submit"])[0]
    assert summary.startswith("summary: text, 10 to 2000 characters. What changed")
    flag = next(x for x in argument_lines(SCHEMAS["replace_text"]) if x.startswith("all?"))
    assert "true or false (default false)" in flag


def test_arguments_are_checked_without_a_run() -> None:
    check_arguments("evaluate", {"title": "rows as lanes"})
    with pytest.raises(ToolError, match=r"pairs.*It takes: sweep.*whole number, 1 to 32"):
        check_arguments("bench", {"pairs": 99})
    with pytest.raises(ToolError, match="Did you mean evaluate"):
        check_arguments("evalute", {})
