"""JSON schemas out of typed definitions, and the types that many of those share."""

from __future__ import annotations

import inspect
import json
import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Amount = Annotated[float, Meta(ge=0)]
AboveZero = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Device = Annotated[str, Meta(pattern="^(cpu|cuda:[0-9]+)$")]
Dtype = Literal["float64", "float32"]


def Says(description: str) -> Meta:  # noqa: N802 - it is read as a part of a type
    """Describe one field."""
    return Meta(description=description)


def text(kind: Any, title: str) -> str:
    """Return the schema of the objects that a ``TypedDict`` defines, in one line.

    A class ``SomeRowJson`` is ``$defs/some_row``, described by its docstring. An object has no
    other fields than those of its class.
    """
    _, parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    root = _tidy(parts.pop(kind.__name__), parts)
    defs = {_name(name): _tidy(part, parts) for name, part in parts.items() if "enum" not in part}
    draft = "https://json-schema.org/draft/2020-12/schema"
    whole = {"$schema": draft, "title": title, **root, **({"$defs": defs} if defs else {})}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")) + "\n"


def _tidy(part: Any, parts: dict[str, Any]) -> Any:
    """Return a part without titles, with enumerations in place and closed objects."""
    if isinstance(part, list):
        return [_tidy(item, parts) for item in part]
    if not isinstance(part, dict):
        return part
    tidy: dict[str, Any] = {}
    for key, value in part.items():
        if key == "properties":
            tidy[key] = {name: _tidy(of, parts) for name, of in value.items()}
        elif key == "$ref":
            name = value.rpartition("/")[2]
            enum = parts[name].get("enum")
            tidy |= {"enum": enum} if enum else {key: f"#/$defs/{_name(name)}"}
        elif key == "description":
            tidy[key] = " ".join(inspect.cleandoc(value).split())
        elif key != "title":
            tidy[key] = _tidy(value, parts)
    if "properties" in tidy:
        tidy.setdefault("additionalProperties", False)
    return tidy


def _name(kind: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.removesuffix("Json")).lower()
