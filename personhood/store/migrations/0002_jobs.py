"""The tables of the job queue, as procrastinate defines them.

depends: 0001_persons
"""

from procrastinate.schema import SchemaManager
from yoyo import step

__depends__ = {"0001_persons"}

steps = [step(SchemaManager.get_schema())]
