"""The merges that make two leaves one person. Pure.

The merges of a family are a tree whose nodes are leaves, so there is one way between two of them,
and without any merge of it they are apart.
"""

from collections import deque
from collections.abc import Iterable, Sequence

Edge = tuple[int, int, int]  # a merge, and the two leaves that it rests on


def chain(edges: Iterable[Edge], start: int, end: int) -> Sequence[int] | None:
    """The merges on the way from one leaf to the other; None if nothing tells of one."""
    around: dict[int, list[tuple[int, int]]] = {}
    for merge, one, other in edges:
        around.setdefault(one, []).append((merge, other))
        around.setdefault(other, []).append((merge, one))
    came: dict[int, tuple[int, int]] = {start: (0, start)}
    waiting = deque([start])
    while waiting and end not in came:
        leaf = waiting.popleft()
        for merge, other in around.get(leaf, []):
            if other not in came:
                came[other] = merge, leaf
                waiting.append(other)
    if end not in came:
        return None
    way: list[int] = []
    while end != start:
        merge, end = came[end]
        way.append(merge)
    return way[::-1]
