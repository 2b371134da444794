"""Describes a tool's arguments as text: name, type, bounds and default, from the JSON schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_SIMPLE = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
    "array": "list",
}
"""Type name in a JSON schema → the word shown."""


def type_text(schema: Mapping[str, Any], definitions: Mapping[str, Any] | None = None) -> str:
    """The type in a JSON schema as text, such as `whole number, 1 to 4` or `[text, …]`.

    `definitions` maps the last part of a `$ref` path to the schema it refers to.
    """
    definitions = definitions or schema.get("$defs", {})
    if "$ref" in schema:
        return type_text(definitions.get(schema["$ref"].rpartition("/")[2], {}), definitions)
    if "anyOf" in schema:
        choices = [s for s in schema["anyOf"] if s.get("type") != "null"]
        return " or ".join(type_text(s, definitions) for s in choices)
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    kind = schema.get("type", "")
    if kind == "array":
        least = f", {schema['minItems']} at least" if schema.get("minItems") else ""
        most = f", {schema['maxItems']} at most" if "maxItems" in schema else ""
        return f"[{type_text(schema.get('items', {}), definitions)}, …]{least}{most}"
    if kind == "object" and "properties" in schema:
        required = schema.get("required", ())
        fields = (
            f"{name}{'' if name in required else '?'}: {type_text(field, definitions)}"
            for name, field in schema["properties"].items()
        )
        return "{" + ", ".join(fields) + "}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"{{NAME: {type_text(schema['additionalProperties'], definitions)}, …}}"
    return _SIMPLE.get(kind, "any value") + _bounds(schema)


def _value(value: Any) -> str:
    """A default value as it is written on the command line."""
    return value if isinstance(value, str) else json.dumps(value)


def _bounds(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f", {least} to {most}"
    if least is not None:
        return f", {least} or more"
    shortest, longest = schema.get("minLength"), schema.get("maxLength")
    if shortest and longest is not None:
        return f", {shortest} to {longest} characters"
    if shortest:
        return f", {shortest} characters at least"
    return f", {longest} characters at most" if longest is not None else ""


def signature(schema: Mapping[str, Any]) -> str:
    """All arguments on one line, such as `title: text, pairs?: whole number, 1 to 4`; empty for
    none."""
    return "; ".join(f"{name}: {kind}" for name, kind, _ in _rows(schema))


def argument_lines(schema: Mapping[str, Any]) -> list[str]:
    """One line for each argument: `name: type (default). Meaning`; `?` marks optional ones."""
    return [f"{name}: {kind}{meaning}" for name, kind, meaning in _rows(schema)]


def _rows(schema: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(name, with `?` if optional; type; default and meaning) for each argument."""
    required = schema.get("required", ())
    definitions = schema.get("$defs", {})
    rows = []
    for name, field in schema.get("properties", {}).items():
        kind = type_text(field, definitions)
        default = field.get("default")
        shown = f" (default {_value(default)})" if default not in (None, "") else ""
        words = " ".join(field.get("description", "").split())
        rows.append((
            name if name in required else f"{name}?",
            kind,
            f"{shown}{'. ' if words else ''}{words}",
        ))  # fmt: skip
    return rows
