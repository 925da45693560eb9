"""What every request looks up, each kind shared by all requests of a worker."""

from msgspec import Struct

from personhood.model import ApiKey, Project
from personhood.store import api_key, person_lookup, project
from personhood.store.person_lookup import Name, Owner
from personhood.store.pool import Pool
from personhood.store.together import Together


class Lookups(Struct, frozen=True):
    """Keys by their text, projects by id, persons by any name."""

    keys: Together[str, ApiKey]
    projects: Together[int, Project]
    persons: Together[Name, Owner]


def lookups(pool: Pool) -> Lookups:
    return Lookups(
        keys=Together(pool, api_key.by_keys),
        projects=Together(pool, project.by_ids),
        persons=Together(pool, person_lookup.owners),
    )
