"""As much of JSON Schema as the interface's document uses; what it does not know is a failure."""

from __future__ import annotations

from typing import Any

_KINDS: dict[str, tuple[type, ...]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}
_SAYS_NOTHING = {"title", "description", "default", "example"}


def mismatches(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> list[str]:
    """What is wrong with the value; empty where it is what the schema says. No member is extra."""
    found: list[str] = []
    for keyword, said in schema.items():
        match keyword:
            case "$ref":
                name = said.removeprefix("#/components/schemas/")
                found += mismatches(value, document["components"]["schemas"][name], document)
            case "type":
                if not isinstance(value, _KINDS[said]) or (
                    isinstance(value, bool) and said != "boolean"
                ):
                    found.append(f"{value!r} is no {said}")
            case "anyOf":
                if all(mismatches(value, each, document) for each in said):
                    found.append(f"{value!r} is none of {said}")
            case "enum" if value not in said:
                found.append(f"{value!r} is none of {said}")
            case "const" if value != said:
                found.append(f"{value!r} is not {said!r}")
            case "minimum" if value < said:
                found.append(f"{value!r} is below {said}")
            case "maximum" if value > said:
                found.append(f"{value!r} is above {said}")
            case "minItems" if len(value) < said:
                found.append(f"{value!r} has fewer than {said} items")
            case "maxItems" if len(value) > said:
                found.append(f"{value!r} has more than {said} items")
            case "items":
                found += [each for item in value for each in mismatches(item, said, document)]
            case "prefixItems":
                for item, wanted in zip(value, said, strict=True):
                    found += mismatches(item, wanted, document)
            case "required":
                found += [f"{name} is missing" for name in said if name not in value]
            case "properties":
                found += [f"{name} is no member" for name in value if name not in said]
                for name, wanted in said.items():
                    if name in value:
                        found += mismatches(value[name], wanted, document)
            case "additionalProperties":
                found += [each for v in value.values() for each in mismatches(v, said, document)]
            case "enum" | "const" | "minimum" | "maximum" | "minItems" | "maxItems":
                pass
            case _:
                assert keyword in _SAYS_NOTHING, f"what does {keyword} mean?"
    return found
