"""Which project a token names, without asking the database for each request."""

from time import monotonic

from personhood.model import Project
from personhood.store import project as project_store
from personhood.store.pool import Pool

AGE_MAX_S = 5.0  # a changed setting of a project is in force after this long
TOKENS_MAX = 10_000


class Projects:
    """The projects of the tokens seen lately. A token nobody has is asked for anew each time, so
    that a project takes events from the moment it is made."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.found: dict[str, tuple[float, Project]] = {}

    async def by_token(self, token: str) -> Project | None:
        now = monotonic()
        read_at, project = self.found.get(token, (0.0, None))
        if project is not None and now - read_at < AGE_MAX_S:
            return project
        async with self.pool.connection() as conn:
            project = await project_store.by_token(conn, token)
        if project is None:
            self.found.pop(token, None)
            return None
        if len(self.found) >= TOKENS_MAX:
            self.found.clear()
        self.found[token] = (now, project)
        return project
