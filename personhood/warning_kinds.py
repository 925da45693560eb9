"""What ingestion warnings are about, and how bad they are (contract: capture-and-identity, 3.10).

An *error* cost an event, or a whole batch; after a *warning* the event is stored, but not all that
it asked for was done; *info* is for those who look.
"""

from msgspec import Struct


class Kind(Struct, frozen=True):
    category: str
    severity: str


_TYPES = {
    ("size", "error"): """
        message_size_too_large event_too_big group_key_too_long event_name_too_long
        distinct_id_too_large
        """,
    ("size", "warning"): """
        person_properties_size_violation person_upsert_message_size_too_large
        group_upsert_message_size_too_large
        """,
    ("merge", "warning"): """
        cannot_merge_already_identified cannot_merge_with_illegal_distinct_id merge_race_condition
        merge_settled_failure
        """,
    ("merge", "error"): "merge_move_limit_exceeded",
    ("client", "info"): "client_ingestion_warning",
    ("event", "error"): """
        missing_event_name missing_distinct_id invalid_event_timestamp malformed_event_properties
        invalid_options empty_batch invalid_batch missing_event_uuid invalid_event_uuid
        duplicate_event_uuid schema_validation_failed skipping_event_invalid_distinct_id
        invalid_event_when_process_person_profile_is_false event_dropped_person_processing_disabled
        event_dropped_too_old event_dropped_by_transformation dropped_performance_event
        """,
    ("event", "warning"): """
        ignored_invalid_timestamp invalid_ai_token_property invalid_process_person_profile
        """,
    ("event", "info"): "event_uuid_timestamp_divergent",
    ("cookieless", "error"): """
        cookieless_missing_timestamp cookieless_timestamp_out_of_range cookieless_missing_user_agent
        cookieless_missing_ip cookieless_missing_host
        """,
    ("heatmap", "warning"): """
        invalid_heatmap_data rejecting_heatmap_data_with_invalid_url
        rejecting_heatmap_data_with_invalid_items
        """,
    ("error_tracking", "warning"): "error_tracking_exception_processing_errors",
    ("replay", "error"): """
        message_contained_no_valid_rrweb_events missing_session_id invalid_session_id
        missing_snapshot_data
        """,
    ("replay", "warning"): """
        replay_lib_version_too_old message_timestamp_diff_too_large replay_session_too_long
        """,
}
KINDS = {
    type: Kind(category, severity)
    for (category, severity), types in _TYPES.items()
    for type in types.split()
}
OTHER = Kind("other", "warning")


def kind_of(type: str) -> Kind:
    return KINDS.get(type, OTHER)
