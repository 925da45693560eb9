"""`personhood demo`: two real sets of data through the official SDK, and what came of them."""

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from cyclopts import App, Parameter
from msgspec import Struct
from psycopg import AsyncConnection
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from personhood import tokens
from personhood.cli import demo_data, options, tables
from personhood.cli.database import run_once
from personhood.cli.demo_data import Sample, SampleEvent
from personhood.cli.demo_server import Target, target
from personhood.errors import PersonhoodError
from personhood.model import Project
from personhood.store import api_key, event_count, person_lookup
from personhood.store.person_lookup import Name

if TYPE_CHECKING:
    from posthog import Posthog

KEY_LABEL = "demo"
KEY_SCOPES = ["person:read"]
BATCH_EVENTS = 1000
QUEUE_EVENTS_MAX = 10_000
PAUSE_S = 0.01
TIMEOUT_S = 120
SHOWN = ("user_0000", "user_0001", "user_0004", "customer_00003", "customer_00004")
IDS_SHOWN_MAX = 3

app = App(
    name="demo",
    help_epilogue=options.examples("personhood demo", "personhood demo --data-dir /tmp/demo"),
)


class Group(Struct, frozen=True, kw_only=True):
    """One of the two sets: what its persons are called, and how to search for them."""

    title: str
    search: str
    sample: Sample


@app.default
def demo(
    *,
    persons: Annotated[int | None, Parameter(show=False)] = None,
    host: options.Host = None,
    port: options.Port = None,
    data_dir: options.DataDir = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """`persons` bounds each set of data, for those who test this."""
    settings = options.settings(host=host, port=port, data_dir=data_dir, database_url=database_url)
    groups = [
        Group(title="shop users", search="user_0", sample=demo_data.shop(persons)),
        Group(title="customers", search="customer_", sample=demo_data.customers(persons)),
    ]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with target(settings) as found, without_proxy(found.base):
            key = run_once(found.database_url, lambda conn: new_key(conn, found.project))
            api = Api(found.base, found.project, key)
            api.check()
            send(found, [event for group in groups for event in group.sample.events])
            show(found, groups, api)
    except KeyboardInterrupt:
        raise PersonhoodError("Stopped; doing it again goes on from there.") from None


# To the server


def send(found: Target, events: list[SampleEvent]) -> None:
    """By the SDK as anybody uses it, in the order of `events`: it has one sending thread."""
    failures: list[str] = []
    client = sdk(found, failures)
    try:
        with progress() as bar, stoppable() as stop_if_asked:
            if bar.disable:
                print(f"Sending {len(events):,} events to {found.base}", file=sys.stderr)
            task = bar.add_task("Sending", total=len(events))
            for number, event in enumerate(events, 1):
                if (
                    client.capture(
                        event.name,
                        distinct_id=event.distinct_id,
                        timestamp=event.timestamp,
                        uuid=event.uuid,
                        properties=event.properties,
                    )
                    is None
                ):
                    raise PersonhoodError(f"The SDK does not take the event {event.uuid}.")
                while client.queue.qsize() >= QUEUE_EVENTS_MAX and not failures:
                    stop_if_asked()
                    time.sleep(PAUSE_S)
                if number % BATCH_EVENTS == 0:
                    bar.update(task, completed=number - client.queue.qsize())
                    stop_if_asked()
                    stop_at(failures)
            while client.queue.qsize() and not failures:
                stop_if_asked()
                time.sleep(PAUSE_S)
            client.flush(timeout_seconds=None)
            bar.update(task, completed=len(events))
    finally:
        client.shutdown()
    stop_at(failures)


@contextmanager
def stoppable() -> Iterator[Callable[[], None]]:
    """A function that raises KeyboardInterrupt once SIGINT or SIGTERM has come.

    Raised by a signal, between any two steps of the SDK, it could leave a lock held for ever.
    """
    asked: list[int] = []

    def stop_if_asked() -> None:
        if asked:
            raise KeyboardInterrupt

    before = {
        each: signal.signal(each, lambda number, frame: asked.append(number))
        for each in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop_if_asked
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def sdk(found: Target, failures: list[str]) -> "Posthog":
    try:
        from posthog import Posthog
    except ImportError:
        raise PersonhoodError(
            "The demo sends by PostHog's Python SDK: pip install 'personhood[demo]'."
        ) from None

    def failed(error: Exception, batch: list[Any]) -> None:
        failures.append(f"{len(batch)} events were not taken: {error}")

    return Posthog(
        found.project.token,
        host=found.base,
        on_error=failed,
        flush_at=BATCH_EVENTS,
        max_queue_size=2 * QUEUE_EVENTS_MAX,
        timeout=TIMEOUT_S,
    )


def stop_at(failures: list[str]) -> None:
    if failures:
        raise PersonhoodError(failures[0])


def progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@contextmanager
def without_proxy(base: str) -> Iterator[None]:
    """A proxy for the outer world cannot reach the server; the SDK asks the environment."""
    before = {name: os.environ.get(name) for name in ("no_proxy", "NO_PROXY")}
    os.environ |= dict.fromkeys(before, urlsplit(base).hostname or "*")
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


# From the server


async def new_key(conn: AsyncConnection, project: Project) -> str:
    """A key that may only read this project's persons, in place of the last demo's."""
    for each in await api_key.all_keys(conn):
        mine = each.label == KEY_LABEL and each.scopes == KEY_SCOPES
        if mine and each.project_id == project.id and each.revoked_at is None:
            await api_key.revoke(conn, each.id)
    key = tokens.new_key()
    await api_key.insert(conn, key, label=KEY_LABEL, scopes=KEY_SCOPES, project_id=project.id)
    return key


class Api:
    """The persons of a project, as anybody reads them."""

    def __init__(self, base: str, project: Project, key: str) -> None:
        self.base = base
        self.persons = f"{base}/api/projects/{project.id}/persons/"
        self.key = key

    def check(self) -> None:
        """Raise unless the server has the key that was just put into the database."""
        try:
            self.read(limit=1)
        except urllib.error.HTTPError as error:
            raise PersonhoodError(
                f"The server at {self.base} is on another database ({error}). Choose another port "
                "with --port, or its data folder with --data-dir."
            ) from None

    def read(self, **query: str | int) -> Any:
        with urllib.request.urlopen(self.url(**query), timeout=TIMEOUT_S) as answer:
            return json.load(answer)

    def url(self, person: str = "", /, **query: str | int) -> str:
        """Opens in a browser, key and all."""
        return f"{self.persons}{person}?{urlencode({**query, 'personal_api_key': self.key})}"


def show(found: Target, groups: list[Group], api: Api) -> None:
    for group in groups:
        count = api.read(search=group.search, limit=1, include_total=1)["count"]
        sent = group.sample.persons
        print(f"{count:,} {group.title}" + ("" if count == sent else f" (of {sent:,} sent)"))
    persons = [person for id in SHOWN for person in api.read(distinct_id=id)["results"]]
    print()
    tables.print_rows(
        ["NAME", "DISTINCT IDS", "PROPERTIES", "EVENTS"],
        [
            [person["name"], ids_of(person), properties_of(person), events]
            for person, events in zip(persons, counts(found, persons), strict=True)
        ],
    )
    print("\nLook at them:")
    for group in groups:
        print(f"  all {group.title:<11} {api.url(search=group.search)}")
    for person in persons:
        print(f"  {person['name']:<15} {api.url(person['uuid'])}")
    if found.first_key is not None:
        print(f"\nA key for everything, shown once: {found.first_key}")
    if found.started:
        print("\nThe server ran for the demo only. `make serve` (or `personhood serve`) shows it.")


def counts(found: Target, persons: list[dict[str, Any]]) -> list[int]:
    """How many events each has; the API does not tell."""

    async def count(conn: AsyncConnection) -> list[int]:
        names = [Name(found.project.id, UUID(person["uuid"])) for person in persons]
        owners = await person_lookup.owners(conn, names)
        roots = [owners[name].person.id for name in names]
        events = await event_count.by_root(conn, found.project.id, roots)
        return [events[root] for root in roots]

    return run_once(found.database_url, count)


def ids_of(person: dict[str, Any]) -> str:
    ids = sorted(person["distinct_ids"], key=lambda id: (id != person["name"], id))
    more = len(ids) - IDS_SHOWN_MAX
    return ", ".join(ids[:IDS_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


def properties_of(person: dict[str, Any]) -> str:
    shown = {key: value for key, value in person["properties"].items() if not key.startswith("$")}
    return ", ".join(f"{key}: {value}" for key, value in shown.items() if key != "name")
