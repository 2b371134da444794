"""A small splitter for C, C++ and CUDA.

A full parser gives up on whole files as soon as a macro stands where it expects a type, and CUDA
sources are full of such macros. So this looks only at comments, strings, preprocessor lines,
braces and semicolons, and names a `{ … }` by the text before it.
"""

import re

from avo_tui.knowledge.model import Section
from avo_tui.knowledge.text import heading

_TOKENS = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))
      | (?P<raw>R"(?P<mark>[^(\s\\"]{0,16})\(.*?(?:\)(?P=mark)"|\Z))
      | (?P<string>"(?:\\.|[^"\\\n])*"?|(?<!\w)'(?:\\.|[^'\\\n])*'?)
      | (?P<directive>^[ \t]*\#(?:\\\n|[^\n])*)
      | (?P<brace>[{};])""",
    re.S | re.M | re.X,
)
_NAMESPACE = re.compile(r"\bnamespace\b((?:\w|::|\s|\[\[.*?\]\])*)$|\bextern\s*$")
_TYPE = re.compile(r"\b(class|struct|union|enum)\b(?:\s+(?:class|struct)\b)?")
_ATTRIBUTE = re.compile(
    r"\b(?:__launch_bounds__|__attribute__|__declspec|alignas|__align__|__cluster_dims__|"
    r"__maxnreg__|__block_size__|requires|noexcept|decltype|explicit)\s*\("
)
_MACRO = re.compile(r"(?<![(\w])\b[A-Z][A-Z0-9_]{3,}\s*\(")
_NAME = re.compile(
    r"((?:\w+\s*(?:<[^<>]*>)?\s*::\s*)*"
    r"(?:~\s*\w+|operator\s*(?:\(\)|\[\]|\"\"\s*\w+|[^\s\w(]{1,3}|\w+)|\w+))\s*$"
)
_CONTROL = frozenset({"if", "for", "while", "switch", "return", "sizeof", "catch", "do", "else"})
_TYPES = frozenset({"class", "struct", "union", "enum"})


class _Open:
    """An open brace: what kind of construct it belongs to, its name, and where that begins."""

    __slots__ = ("body", "depth", "label", "name", "start")

    def __init__(self, depth: int, start: int, body: int, label: str, name: str) -> None:
        self.depth, self.start, self.body, self.label, self.name = depth, start, body, label, name


class _Branches:
    """Follows #if … #else … #endif; only the first branch counts, or braces would count twice."""

    def __init__(self) -> None:
        self._skipped: list[bool] = []

    @property
    def skipping(self) -> bool:
        return any(self._skipped)

    def directive(self, line: str) -> None:
        word = re.match(r"\s*#\s*(\w+)", line)
        kind = word.group(1) if word else ""
        if kind in ("if", "ifdef", "ifndef"):
            self._skipped.append(False)
        elif kind in ("else", "elif") and self._skipped:
            self._skipped[-1] = True
        elif kind == "endif" and self._skipped:
            self._skipped.pop()


def c_symbols(text: str, big: int) -> list[Section]:
    """Functions, types and kernels in order; types longer than `big` give their members."""
    return _symbols(text, 0, len(text), (), big)


def _symbols(text: str, low: int, high: int, above: tuple[str, ...], big: int) -> list[Section]:
    sections: list[Section] = []
    scopes: list[tuple[str, int]] = []  # namespaces being looked into: (name, depth)
    branches = _Branches()
    open_: _Open | None = None
    depth = 0
    start = last = low  # of the construct now being read; end of the previous token
    code: list[str] = []  # the construct's text so far, without comments and strings

    for token in _TOKENS.finditer(text, low, high):
        if open_ is None and not branches.skipping:
            code.append(text[last : token.start()])
        last = token.end()
        if token.lastgroup == "directive":
            branches.directive(token.group())
            if open_ is None and not "".join(code).strip():
                start, code = last, []
            continue
        if branches.skipping:
            continue
        brace = token.group("brace")
        if brace is None:
            if token.lastgroup != "comment" and open_ is None:
                code.append('""')
        elif brace == "{":
            depth += 1
            if open_ is None:
                label, name = _describe("".join(code).strip())
                if label == "namespace":
                    scopes.append((name, depth))
                    start, code = last, []
                else:
                    open_ = _Open(depth, start, last, label, name)
        elif brace == "}":
            if open_ and open_.depth == depth:
                if open_.name:
                    path = (*above, *(name for name, _ in scopes if name))
                    sections += _section(text, open_, last, path, big)
                    start, code = last, []
                else:
                    code.append("{}")
                open_ = None
            elif scopes and scopes[-1][1] == depth:
                scopes.pop()
                start, code = last, []
            depth = max(0, depth - 1)
        elif open_ is None:
            start, code = last, []
    return sections


def _section(text: str, opened: _Open, end: int, above: tuple[str, ...], big: int) -> list[Section]:
    start = opened.start
    while start < end and text[start] in " \t\n;":
        start += 1
    if text[end : end + 1] == ";":
        end += 1
    if opened.label in _TYPES and opened.label != "enum" and end - start > big:
        inner = _symbols(text, opened.body, end, (*above, opened.name), big)
        if inner:
            return inner
    path = (*above, f"{opened.label} {opened.name}".strip())
    return [Section(path, start, end, "::".join((*above, opened.name)))]


def _describe(header: str) -> tuple[str, str]:
    """(kind, name) of what a `{` opens; two empty strings for initialisers and what is unknown."""
    namespace = _NAMESPACE.search(header.replace('""', "").rstrip())
    if namespace:
        return "namespace", re.sub(r"\[\[.*?\]\]|\s", "", namespace.group(1) or "")
    flat = _without_attributes(_without_templates(header))
    bracket = flat.find("(")
    head = flat if bracket < 0 else flat[:bracket]
    kind = _TYPE.search(head)
    if kind:
        bases = re.split(r"(?<!:):(?!:)|<", head[kind.end() :])[0]
        names = [word for word in re.findall(r"\w+(?:::\w+)*", bases) if word != "final"]
        if names and (bracket < 0 or (len(names) == 1 and ":" in flat[bracket:])):
            return kind.group(1), heading(names[-1])
    if bracket < 0 or "=" in head.split("operator")[0] or _is_initialiser(flat, bracket):
        return "", ""
    if re.search(r"\boperator\s*$", head):
        head += "()"
    named = _NAME.search(head)
    if not named or named.group(1) in _CONTROL:
        return "", ""
    label = "kernel" if "__global__" in header else ""
    return label, heading(re.sub(r"\s*(::|<|>|~)\s*", r"\1", named.group(1)))


def _is_initialiser(flat: str, bracket: int) -> bool:
    """True where the brace belongs to a default argument or to a member's initialiser."""
    end = _closing(flat, bracket + 1)
    if flat.count("(") != flat.count(")"):
        return True
    tail = flat[end:].rstrip()
    return bool(re.match(r"\s*:(?!:)", tail)) and not tail.endswith((")", "}"))


def _without_templates(header: str) -> str:
    """The header without its leading `template <…>` lists, which hold commas and classes."""
    match = re.match(r"(?:[^<(]*\s)??template\s*<", header)
    while match:
        depth, position = 1, match.end()
        while position < len(header) and depth:
            depth += {"<": 1, ">": -1}.get(header[position], 0)
            position += 1
        header = header[position:]
        match = re.match(r"\s*template\s*<", header)
    return header


def _without_attributes(flat: str) -> str:
    """The header without `__launch_bounds__(…)`, `alignas(…)` and macros used in their place."""
    match = _ATTRIBUTE.search(flat) or _MACRO.search(flat)
    while match:
        rest = flat[_closing(flat, match.end()) :]
        if match.re is _MACRO and "(" not in rest:
            break
        flat = flat[: match.start()] + rest
        match = _ATTRIBUTE.search(flat) or _MACRO.search(flat)
    return flat


def _closing(text: str, position: int) -> int:
    """Index just after the parenthesis that closes the one before `at`."""
    depth = 1
    while position < len(text) and depth:
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        position += 1
    return position
