"""Everything a caller can be told.

    PersonhoodError
      + InvalidSetting           a setting, option or environment variable does not fit
      + DataFolderInUse          another server holds the data folder
      + DatabaseFailed           the embedded database would not start
      + CaptureError             a request of an SDK that is refused whole
        x BadCapture             it can never succeed as it is
        x TokenRefused           no token, two tokens, or a malformed one
        x CaptureTooLarge        body, decompressed body or one event is over its limit
        x Overloaded             the queue is full or the database away: send it again
          + StorageAway          so is the storage of recordings
      + ApiError                 a request to the API that is refused
        x InvalidInput           a parameter or the body does not fit
        x BrokenJson             the body is no JSON
        x NotAuthenticated       no key
        x AuthenticationFailed   a key that is not one of ours
        x PermissionDenied       a key without the scope or the project
        x NotFound               no such project, person, …
        x MethodNotAllowed
        x NotAcceptable
        x Conflict               at odds with another request, or with what is there
        x PreconditionFailed     the person is no longer what If-Match says
        x UnsupportedMediaType
        x Unprocessable          an Idempotency-Key that was used for another request
        x Throttled

The docstring is the default message. `code` is stable; no error knows a status, see
`http.envelope`.
"""

from collections.abc import Mapping


class PersonhoodError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__ or "")


class InvalidSetting(PersonhoodError):
    """A setting does not fit."""


class DataFolderInUse(PersonhoodError):
    """Another server uses this data folder."""


class DatabaseFailed(PersonhoodError):
    """The embedded PostgreSQL did not start."""


class CaptureError(PersonhoodError):
    """The request cannot be captured."""


class BadCapture(CaptureError):
    """request missing data payload"""


class TokenRefused(CaptureError):
    """event submitted without an api_key"""


class CaptureTooLarge(CaptureError):
    """request body is too large"""


class Overloaded(CaptureError):
    """transient error, please retry"""


class StorageAway(Overloaded):
    """The storage of recordings cannot be used. Please try again; if this lasts, check \
PERSONHOOD_BLOB_URL and its credentials, or that <data>/recordings can be read and written."""


class ApiError(PersonhoodError):
    """A server error occurred."""

    type = "server_error"
    code = "error"

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        attr: str | None = None,
        body: Mapping[str, str] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        """`body` is told in place of the usual one, where the contract has another. The same
        request may succeed after `retry_after_s`, if that is known.
        """
        super().__init__(message)
        self.code = code or type(self).code
        self.attr = attr
        self.body = body
        self.retry_after_s = retry_after_s


class InvalidInput(ApiError):
    """The request does not fit."""

    type = "validation_error"
    code = "invalid_input"


class BrokenJson(ApiError):
    """JSON parse error"""

    type = "invalid_request"
    code = "parse_error"


class NotAuthenticated(ApiError):
    """Authentication credentials were not provided."""

    type = "authentication_error"
    code = "not_authenticated"


class AuthenticationFailed(ApiError):
    """Personal API key found in request Authorization header is invalid."""

    type = "authentication_error"
    code = "authentication_failed"


class PermissionDenied(ApiError):
    """You don't have access to the project."""

    type = "authentication_error"
    code = "permission_denied"


class NotFound(ApiError):
    """Not found."""

    type = "invalid_request"
    code = "not_found"


class MethodNotAllowed(ApiError):
    """Method not allowed."""

    type = "invalid_request"
    code = "method_not_allowed"


class UnsupportedMediaType(ApiError):
    """Unsupported media type in request."""

    type = "invalid_request"
    code = "unsupported_media_type"


class NotAcceptable(ApiError):
    """Could not satisfy the request Accept header."""

    type = "invalid_request"
    code = "not_acceptable"


class Conflict(ApiError):
    """Another request is at odds with this one."""

    type = "invalid_request"
    code = "conflict"


class PreconditionFailed(ApiError):
    """The person has changed since it was read. Read it again, and decide anew."""

    type = "invalid_request"
    code = "precondition_failed"


class Unprocessable(ApiError):
    """The request cannot be processed."""

    type = "invalid_request"
    code = "unprocessable"


class Throttled(ApiError):
    """Request was throttled."""

    type = "throttled_error"
    code = "throttled"
