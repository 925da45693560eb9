"""The route table of the API. Trailing slashes are optional everywhere."""

from typing import Any

from litestar import Router
from litestar.types import ControllerRouterHandler

from personhood import access
from personhood.api import (
    activity,
    actors,
    batch,
    bulk_delete,
    bulk_deletions,
    cohort_persons,
    cohorts,
    deletion_status,
    deletions,
    docs_page,
    events,
    explain,
    history,
    ingestion_warnings,
    merges,
    once,
    person_properties,
    persons,
    properties_at_time,
    properties_timeline,
    receipts,
    reset_distinct_id,
    schema,
    session_recordings,
    snapshots,
    splits,
    throttle,
    values,
)
from personhood.http.accept import OFFERS_CSV
from personhood.http.json_body import BODY_BYTES_MAX
from personhood.http.negotiated import in_form

PERSONS: list[ControllerRouterHandler] = [
    persons.persons_list,  #      GET         /
    persons.persons_create,  #    POST        /         405: persons come from events
    persons.persons_search,  #    POST        /search
    persons.persons_retrieve,  #  GET         /:id
    person_properties.persons_update,  # PATCH, PUT /:id
    person_properties.persons_update_property,  # POST /:id/update_property
    person_properties.persons_delete_property,  # POST /:id/delete_property
    activity.persons_activity,  # GET         /:id/activity
    activity.persons_activity_all,  # GET     /activity
    deletions.persons_delete,  #  DELETE      /:id
    deletions.persons_delete_events,  # POST  /:id/delete_events
    deletions.persons_delete_recordings,  # POST /:id/delete_recordings
    bulk_delete.persons_bulk_delete,  # POST  /bulk_delete
    bulk_deletions.bulk_deletions_list,  # GET /bulk_deletions
    bulk_deletions.bulk_deletions_retrieve,  # GET /bulk_delete/:id
    bulk_deletions.bulk_deletions_cancel,  # POST /bulk_delete/:id/cancel
    deletion_status.persons_deletion_status,  # GET /deletion_status
    history.persons_history,  #   GET         /:id/history
    explain.persons_explain,  #   GET         /:id/explain
    merges.merges_list,  #        GET         /:id/merges
    merges.merges_undo,  #        POST        /:id/merges/:merge_id/undo
    splits.persons_split,  #      POST        /:id/split
    splits.splits_list,  #        GET         /:id/splits
    splits.splits_undo,  #        POST        /:id/splits/:split_id/undo
    cohort_persons.persons_cohorts,  # GET    /cohorts
    values.persons_values,  #     GET         /values
    batch.persons_batch_by_distinct_ids,  # POST /batch_by_distinct_ids
    batch.persons_batch_by_uuids,  # POST     /batch_by_uuids
    properties_at_time.persons_properties_at_time,  # GET /properties_at_time
    properties_timeline.persons_properties_timeline,  # GET /:id/properties_timeline
    reset_distinct_id.persons_reset_distinct_id,  # POST /reset_person_distinct_id
    actors.persons_actors,  #     GET         /funnel, /funnel/correlation, /trends
    actors.persons_actors_create,  # POST     /funnel, /funnel/correlation
    actors.persons_lifecycle,  #  GET         /lifecycle
    actors.persons_stickiness,  # GET         /stickiness
]
COHORTS: list[ControllerRouterHandler] = [
    cohorts.cohorts_list,  #      GET         /
    cohorts.cohorts_create,  #    POST        /
    cohorts.cohorts_retrieve,  #  GET         /:id
    cohorts.cohorts_update,  #    PATCH, PUT  /:id
    cohorts.cohorts_destroy,  #   DELETE      /:id
    cohort_persons.cohorts_persons,  # GET    /:id/persons
    cohort_persons.cohorts_add_persons,  # POST, PATCH /:id/add_persons_to_static_cohort
    cohort_persons.cohorts_remove_person,  # POST, PATCH /:id/remove_person_from_static_cohort
]
DELETIONS: list[ControllerRouterHandler] = [
    receipts.deletions_list,  #   GET         /
    receipts.deletions_retrieve,  # GET       /:id
    receipts.deletions_cancel,  # POST        /:id/cancel
]
RECORDINGS: list[ControllerRouterHandler] = [
    session_recordings.session_recordings_list,  #     GET    /
    session_recordings.session_recordings_retrieve,  # GET    /:id
    session_recordings.session_recordings_destroy,  #  DELETE /:id
    snapshots.session_recordings_snapshots,  #         GET    /:id/snapshots
]
EVENTS: list[ControllerRouterHandler] = [
    events.events_list,  #        GET         /
    events.events_retrieve,  #    GET         /:uuid
]
WARNINGS: list[ControllerRouterHandler] = [
    ingestion_warnings.ingestion_warnings_list,  # GET /
]


def under(path: str, handlers: list[ControllerRouterHandler], *, tag: str) -> Router:
    """Handlers that need a key: who asks and for which project is settled before they run."""
    security: list[dict[str, list[Any]]] = [{schema.BEARER: []}]
    return Router(
        path,
        route_handlers=handlers,
        before_request=once.begin,
        middleware=[once.Once],
        guards=[access.guard, throttle.guard],
        after_request=in_form,
        opt={OFFERS_CSV: True},
        request_max_body_size=BODY_BYTES_MAX,
        security=security,
        tags=[tag],
    )


route_handlers: list[ControllerRouterHandler] = [
    under("/api/projects/{project_id:str}/persons", PERSONS, tag="Persons"),
    under("/api/environments/{project_id:str}/persons", PERSONS, tag="Persons (environments)"),
    under("/api/projects/{project_id:str}/cohorts", COHORTS, tag="Cohorts"),
    under("/api/environments/{project_id:str}/cohorts", COHORTS, tag="Cohorts (environments)"),
    under("/api/projects/{project_id:str}/deletions", DELETIONS, tag="Deletions"),
    under(
        "/api/environments/{project_id:str}/deletions", DELETIONS, tag="Deletions (environments)"
    ),
    under(
        "/api/projects/{project_id:str}/session_recordings", RECORDINGS, tag="Session recordings"
    ),
    under(
        "/api/environments/{project_id:str}/session_recordings",
        RECORDINGS,
        tag="Session recordings (environments)",
    ),
    under("/api/projects/{project_id:str}/events", EVENTS, tag="Events"),
    under("/api/environments/{project_id:str}/events", EVENTS, tag="Events (environments)"),
    under("/api/projects/{project_id:str}/ingestion_warnings", WARNINGS, tag="Ingestion warnings"),
    under(
        "/api/environments/{project_id:str}/ingestion_warnings",
        WARNINGS,
        tag="Ingestion warnings (environments)",
    ),
    docs_page.page,
    docs_page.assets,
]
