"""The clicked element and its ancestors as one text, the `elements_chain` (contract: 2.5).

`tag.class.class:attribute="value"attribute="value"`, innermost element first, joined by `;`.
"""

from typing import cast

from personhood.model import JSON, Properties


def chain(properties: Properties) -> str | None:
    """The chain that the client sent, or the one made of its `$elements`; None without either."""
    given = properties.get("$elements_chain")
    if isinstance(given, str):
        return given
    elements = properties.get("$elements")
    if not isinstance(elements, list):
        return None
    found = cast(list[JSON], elements)
    return ";".join(link(cast(Properties, item)) for item in found if isinstance(item, dict))


def link(element: Properties) -> str:
    classes = class_names(element.get("attr__class") or element.get("attr_class"))
    attributes: dict[str, str] = {
        "nth-child": text(element.get("nth_child", 0)),
        "nth-of-type": text(element.get("nth_of_type", 0)),
    }
    if element.get("$el_text"):
        attributes["text"] = text(element["$el_text"])
    if element.get("attr__href"):
        attributes["href"] = text(element["attr__href"])
    if element.get("attr__id"):
        attributes["attr_id"] = text(element["attr__id"])
    attributes |= {key: text(value) for key, value in element.items() if key.startswith("attr__")}
    dotted = "".join(f".{quoted(name)}" for name in sorted(classes))
    pairs = "".join(f'{key}="{quoted(attributes[key])}"' for key in sorted(attributes))
    return f"{text(element.get('tag_name', ''))}{dotted}:{pairs}"


def class_names(value: JSON) -> list[str]:
    if isinstance(value, str):
        return value.split()
    return [text(name) for name in cast(list[JSON], value)] if isinstance(value, list) else []


def text(value: JSON) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def quoted(value: str) -> str:
    return value.replace('"', '\\"')
