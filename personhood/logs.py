"""Logs: one line for each thing, on stderr; colour in a terminal, JSON elsewhere.

Ours come by structlog, those of libraries by `logging`; both leave through one handler. Requests
are not logged (they are counted, see `metrics`), and what looks like a key or a password is
blackened wherever it came from.
"""

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

SECRETS = re.compile(r"(?<=phx_)[\w-]+|(?<=://)[^/@\s]+(?=@)|(?<=Bearer )\S+")


def configure(log_format: str = "auto") -> None:
    """Set up both worlds; called once in each process, before anything is logged."""
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                blacken,
                renderer(console=console),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("personhood").setLevel(logging.INFO)


def renderer(*, console: bool) -> Processor:
    if console:
        # The plain traceback: the pretty one prints the values of local variables.
        return structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.processors.JSONRenderer()


def blacken(_logger: Any, _method: str, event: EventDict) -> EventDict:
    return {
        key: SECRETS.sub("***", value) if isinstance(value, str) else value
        for key, value in event.items()
    }
