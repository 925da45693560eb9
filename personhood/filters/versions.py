"""Versions in filters, as numbers that stand in the same order: 1.2.3, v1.2, 7.

What follows the third number (a pre-release, a build) does not count.
"""

import re

from personhood.filters.tree import Span

# The same as VERSION in `store.property_filter`.
VERSION = re.compile(r"[vV=]?([0-9]{1,9})(?:\.([0-9]{1,9}))?(?:\.([0-9]{1,9}))?(?:[-+.].*)?", re.S)
WILDCARD = re.compile(r"[vV=]?([0-9]{1,9}(?:\.[0-9]{1,9}){0,2})(?:\.[*xX]){0,2}")
PART = 10**9


def number(major: int, minor: int = 0, patch: int = 0) -> int:
    return (major * PART + minor) * PART + patch


def span(operator: str, text: str) -> Span[int] | None:
    """The versions that stand so to `text`; None if it is no version."""
    if operator == "wildcard":
        match = WILDCARD.fullmatch(text.strip())
        return match and whole([int(part) for part in match[1].split(".")])
    match = VERSION.fullmatch(text.strip())
    if match is None:
        return None
    parts = [int(part) for part in match.groups() if part is not None]
    at = number(*parts)
    match operator:
        case "<":
            return Span(None, at)
        case "<=":
            return Span(None, at + 1)
        case ">":
            return Span(at + 1, None)
        case ">=":
            return Span(at, None)
        case "tilde":
            return Span(at, whole(parts[:2]).high)
        case "caret":
            return Span(at, whole(parts[: leading(parts)]).high)
        case _:
            return Span(at, at + 1)


def whole(parts: list[int]) -> Span[int]:
    """All versions that begin with `parts`."""
    step = PART ** (3 - len(parts))
    return Span(number(*parts), number(*parts) + step)


def leading(parts: list[int]) -> int:
    """How many parts a caret holds fast: those up to the first that is not 0."""
    return next((n for n, part in enumerate(parts, 1) if part), len(parts))
