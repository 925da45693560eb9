"""A cheap HTTP client: it shares two cores with what it measures.

One thread, one epoll, plain sockets; requests are bytes that were made before the clock starts.
Each connection sends its next request when the answer to the last one is complete: keep-alive, no
pipelining.
"""

import re
import select
import socket
import time
from collections.abc import Iterable, Sequence

from msgspec import Struct

RECEIVE_BYTES = 256 * 1024
SEND_BUFFER_BYTES = 512 * 1024
STALLED_S = 60
LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)
HEAD_END = b"\r\n\r\n"


class Drive(Struct, kw_only=True):
    """What came of some requests. Times in seconds; `client_cpu_s` is what this client took."""

    requests: int
    seconds: float
    client_cpu_s: float
    latencies: list[float]

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


class Unexpected(Exception):
    """The server answered something else than a 200."""


class Connection:
    """A socket and the answer that is coming in on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.received = b""
        self.sent_at = 0.0

    def send(self, request: bytes) -> None:
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def is_answered(self) -> bool:
        """Read what is there; True when the answer is complete."""
        chunk = self.socket.recv(RECEIVE_BYTES)
        if not chunk:
            raise Unexpected("the server closed the connection")
        self.received += chunk
        head, end, body = self.received.partition(HEAD_END)
        if not end:
            return False
        length = LENGTH.search(head)
        if length is None:
            raise Unexpected(f"an answer without a length: {head!r}")
        if len(body) < int(length[1]):
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            raise Unexpected(self.received[:500].decode(errors="replace"))
        return True


def drive(
    port: int, requests: Sequence[bytes], *, connections: int, seconds: float = STALLED_S
) -> Drive:
    """Send requests over `connections`, each once, until they or the `seconds` are used up; all
    that were sent are answered then. Raises Unexpected.
    """
    opened = [Connection(port) for _ in range(min(connections, len(requests)))]
    poll = select.epoll()
    by_file = {each.socket.fileno(): each for each in opened}
    try:
        for file in by_file:
            poll.register(file, select.EPOLLIN)
        return exchange(poll, by_file, requests, seconds)
    finally:
        poll.close()
        for each in opened:
            each.socket.close()


def exchange(
    poll: select.epoll, by_file: dict[int, Connection], requests: Iterable[bytes], seconds: float
) -> Drive:
    rest = iter(requests)
    latencies: list[float] = []
    busy = 0
    began, cpu_began = time.perf_counter(), time.process_time()
    for connection in by_file.values():
        connection.send(next(rest))
        busy += 1
    while busy:
        ready = poll.poll(STALLED_S)
        if not ready:
            raise Unexpected(f"no answer for {STALLED_S} seconds")
        for file, _ in ready:
            connection = by_file[file]
            if not connection.is_answered():
                continue
            latencies.append(time.perf_counter() - connection.sent_at)
            connection.received = b""
            request = next(rest, None) if time.perf_counter() - began < seconds else None
            if request is None:
                busy -= 1
            else:
                connection.send(request)
    return Drive(
        requests=len(latencies),
        seconds=time.perf_counter() - began,
        client_cpu_s=time.process_time() - cpu_began,
        latencies=latencies,
    )


def request(method: str, path: str, *, body: bytes = b"", headers: Sequence[str] = ()) -> bytes:
    """The bytes of one request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + HEAD_END + body


def last_answer(port: int, text: bytes) -> bytes:
    """The body that the server gives to one request. Raises Unexpected."""
    connection = Connection(port)
    try:
        connection.send(text)
        while not connection.is_answered():
            pass
        return connection.received.partition(HEAD_END)[2]
    finally:
        connection.socket.close()
