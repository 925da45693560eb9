"""The port that a server will listen on: held from the start, so that a taken one is told first."""

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from personhood.errors import InvalidSetting

# The workers of a server that was killed need a moment to notice and go.
PATIENCE_S = 2
PAUSE_S = 0.05

Address = tuple[str, int]


@contextmanager
def held(host: str, port: int) -> Iterator[Address]:
    """The IP address and port, not listening yet. Port 0 gives any free one.

    Workers share a port by SO_REUSEPORT, which would as happily share it with another server of
    the same account: so it is first asked for without.
    """
    family, address = resolve(host, port)
    wait_until_free(family, address)
    with socket.socket(family) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(address)
        yield holder.getsockname()[:2]


def resolve(host: str, port: int) -> tuple[socket.AddressFamily, Address]:
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise InvalidSetting(f"There is no address {host}: {error.strerror}.") from None
    return family, (str(address[0]), int(address[1]))


def wait_until_free(family: socket.AddressFamily, address: Address) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (refusal := bind_error(family, address)) is not None:
        if refusal.errno != errno.EADDRINUSE:
            raise InvalidSetting(f"Cannot listen on {shown(address)}: {refusal.strerror}.")
        if time.monotonic() > deadline:
            raise InvalidSetting(
                f"Something else listens on {shown(address)}; choose another port with --port."
            )
        time.sleep(PAUSE_S)


def bind_error(family: socket.AddressFamily, address: Address) -> OSError | None:
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            return error
    return None


def local(address: Address) -> Address:
    """Where this machine reaches `address`, which may stand for every interface."""
    host, port = address
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port


def shown(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
