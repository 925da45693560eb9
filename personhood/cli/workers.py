"""Worker processes: how they are started, how they stop, and what they do when left alone."""

import functools
import gc
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import MPServer

from personhood import logs
from personhood.cli.port import Address, local
from personhood.errors import PersonhoodError
from personhood.settings import Settings

# A connection that idles between two requests counts too, and browsers keep theirs open.
CONNECTIONS_MAX = 4096
DRAIN_TIMEOUT_S = 30
PARENT_CHECK_S = 0.25
LOOK_EVERY_S = 0.5
GC_OBJECTS = 20_000
FIRST_ANSWER_CHECK_S = 0.01
ANSWER_TIMEOUT_S = 5
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

# Granian's own log goes where ours goes.
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {},
    "handlers": {},
    "loggers": {"_granian": {"propagate": True}},
}


def run(
    settings: Settings,
    database_url: str,
    *,
    address: Address,
    announce: Callable[[], None],
    look_after: Callable[[], None],
) -> None:
    """Serve until SIGINT or SIGTERM; `announce` is called when the first answer has come.

    `look_after` is called again and again from then on; what it raises ends the server.
    """
    hold_signals_while_forking()
    server = Server(settings, address, announce)
    server.main_loop_interrupt = Patience(server, look_after)
    try:
        server.serve(
            target_loader=functools.partial(load, settings, database_url, os.getpid()),
            wrap_loader=False,
        )
    except SystemExit:
        # Granian's way to say that a worker ended; after a signal they all may.
        if not server.stop_was_asked:
            raise PersonhoodError("The workers ended by themselves; see the log above.") from None
    if server.failure is not None:
        raise server.failure


class Server(MPServer):
    """Granian, and a word to the outside once it answers."""

    def __init__(self, settings: Settings, address: Address, announce: Callable[[], None]) -> None:
        super().__init__(
            target="personhood",
            address=address[0],
            port=address[1],
            interface=Interfaces.ASGI,
            workers=settings.workers,
            websockets=False,
            backlog=CONNECTIONS_MAX,
            backpressure=CONNECTIONS_MAX,
            log_level=LogLevels.warning,
            log_dictconfig=LOGGING,
            respawn_failed_workers=True,
            workers_kill_timeout=DRAIN_TIMEOUT_S,
        )
        self.announce = announce
        self.failure: PersonhoodError | None = None
        self.local_address = local(address)

    def startup(self, spawn_target: Any, target_loader: Any) -> None:
        super().startup(spawn_target, target_loader)
        # Here and not in a thread: workers are forked, and threads do not survive that well.
        while not self.main_loop_interrupt.wait(FIRST_ANSWER_CHECK_S):
            if answers(self.local_address):
                self.announce()
                return
        # A worker that fails before the first answer will fail again: do not respawn it.
        self.respawn_failed_workers = False

    @property
    def stop_was_asked(self) -> bool:
        return self.interrupt_signal


class Patience(threading.Event):
    """What Granian's main loop waits on; while nothing happens, it looks after the rest.

    In the main thread, because that is the one that forks: a worker that is started anew must not
    find a lock which another thread held at that moment. A pipe, because signal handlers set it:
    they come between any two steps of that thread, and a threading.Event has a lock.
    """

    def __init__(self, server: Server, look_after: Callable[[], None]) -> None:
        super().__init__()
        self.server = server
        self.look_after = look_after
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        os.set_blocking(self.writing, False)

    def set(self) -> None:
        with suppress(BlockingIOError):  # full: that will do
            os.write(self.writing, b"!")

    def clear(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self.reading, 1024):
                pass

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None:
            return self.is_set(timeout)
        # Granian may clear this just when it is told to stop.
        while not (self.server.stop_was_asked or self.is_set(LOOK_EVERY_S)):
            try:
                self.look_after()
            except PersonhoodError as error:
                self.server.failure = error
                self.server.signal_handler_interrupt()
        return True

    def is_set(self, timeout: float = 0) -> bool:
        return bool(select.select([self.reading], [], [], timeout)[0])


def hold_signals_while_forking() -> None:
    """Let a signal end a worker from its first moment until its event loop takes over.

    The handlers that it inherits would only note it there, and Python drops one that comes just
    after the fork: the server would wait for that worker until it kills it.
    """

    def in_child() -> None:
        end_on_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS),
        after_in_child=in_child,
    )


def end_on_signals() -> None:
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_DFL)


def answers(address: Address) -> bool:
    """Whether a GET of the readiness gives 200. By hand: an HTTP client takes longer to import."""
    try:
        with socket.create_connection(address, timeout=ANSWER_TIMEOUT_S) as connection:
            connection.sendall(b"GET /_readiness HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return connection.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


def load(settings: Settings, database_url: str, parent: int) -> Any:
    """The application; Granian calls this in each new worker, before anything else."""
    end_on_signals()  # also where workers are not forked
    logs.configure(settings.log_format)
    threading.Thread(target=follow, args=(parent,), daemon=True).start()

    from personhood.app import served

    # What is loaded by now stays; and a group of events makes thousands of objects that live only
    # as long as it does, which the collector need not look through again and again.
    gc.freeze()
    gc.set_threshold(GC_OBJECTS)

    return served(settings, database_url)


def follow(parent: int) -> None:
    """End this process when its parent has: nobody else would, and it holds the port."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(DRAIN_TIMEOUT_S)
    os._exit(1)
