"""One clear line for a mistake in the configuration: the file, the key, what is wrong, and the nearest valid name."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

TAGS = ("mosaic", "folder", "model-name", "weights-file")
"""Which of several sections was chosen at a place: pydantic names it among the keys."""
UNITS = ("arcsec", "px", "minutes", "mag", "mb")


def nearest(name: str, valid: Iterable[str]) -> str:
    """What to write in place of an unknown name: the nearest valid one, or all of them."""
    valid = list(valid)
    near = difflib.get_close_matches(name, valid, n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(valid)}"


def problem_line(problem: Mapping[str, Any], files: Sequence[str | Path], raw: Mapping[str, Any], root: type[BaseModel]) -> str:
    """What pydantic found, as one line: file, key, what is wrong, nearest valid name."""
    loc = [str(part) for part in problem["loc"] if part not in TAGS]
    key = tuple(loc)
    text = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        text = f"unknown key; {nearest(loc[-1], _valid_keys(problem['loc'], root))}"
    elif problem["type"] == "missing":
        text = "this key is missing"
    elif problem["type"] in ("float_type", "float_parsing", "int_type", "int_parsing"):
        unit = loc[-1].rsplit("_", 1)[-1] if "_" in loc[-1] else ""
        text = f"{problem['input']!r} is not a number" + (f" (in {unit}, without the unit)" if unit in UNITS else "")
    elif problem["type"] == "literal_error":
        expected = problem["ctx"]["expected"]
        instead = nearest(str(problem["input"]), re.findall("'([^']*)'", expected))
        text = f"{problem['input']!r} is not one of {expected}; {instead}"
    elif problem["type"] in ("union_tag_not_found", "union_tag_invalid"):
        text = "'kind' must be mosaic or folder"
    elif "input" in problem and not isinstance(problem["input"], dict | list | tuple):
        text = f"{text} (got {problem['input']!r})"
    return f"{file_with(key, files, raw)}: {'.'.join(key)}: {text}"


def _valid_keys(loc: Sequence[Any], root: type[BaseModel]) -> list[str]:
    """Keys that may stand where the unknown one at `loc` stands."""
    kinds: list[Any] = [root]  # what may stand at this place: several models where it is a union
    for part in loc[:-1]:
        tagged = [kind for kind in kinds if "kind" in getattr(kind, "model_fields", {}) and part in get_args(kind.model_fields["kind"].annotation)]
        kinds = tagged or [inner for kind in kinds for inner in _inside(kind, str(part))]
    return [field.alias or name for kind in kinds for name, field in kind.model_fields.items()]


def _inside(kind: type[BaseModel], key: str) -> list[type[BaseModel]]:
    """Models that may stand under a key of a model, whatever optional, union or mapping they are wrapped in."""
    field = kind.model_fields.get(key) or next((field for field in kind.model_fields.values() if field.alias == key), None)
    return _models(field.annotation) if field else [kind]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def file_with(key: Sequence[str], files: Sequence[str | Path], raw: Mapping[str, Any]) -> str:
    """The file that says `key` as the merged configuration has it; the command line if none does; for a missing key, where its section is."""
    said, wanted = _at(raw, key)
    deepest, best = 0, str(files[-1]) if files else "--config"
    for file in files:
        try:
            own = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError):
            continue
        depth, value = _at(own, key)
        if depth == len(key) == said and value == wanted:
            return str(file)
        if depth >= deepest:
            deepest, best = depth, str(file)
    return "--config" if said == len(key) else best


def _at(node: Any, key: Sequence[str]) -> tuple[int, Any]:
    """How much of `key` leads somewhere in nested mappings and lists, and what stands there."""
    depth = 0
    for part in key:
        if isinstance(node, Mapping) and part in node:
            node = node[part]
        elif isinstance(node, list | tuple) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            break
        depth += 1
    return depth, node
