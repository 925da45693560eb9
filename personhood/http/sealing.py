"""What is kept of a request with an `Idempotency-Key`, so that only its client can read it.

All keys come from the API key, of which the database has nothing but a hash, and the client's own
text: a dump tells neither whom a request was about nor what it was answered. Pure, but for a nonce.
"""

import hashlib
import hmac
import os
import zlib

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

NONCE_BYTES = 12


class Answer(Struct, frozen=True, array_like=True):
    """An answer as it was sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Seal(Struct, frozen=True):
    """What one API key can do with one of its idempotency keys."""

    secret: bytes

    def hash(self) -> bytes:
        """By what the request is known."""
        return self.derived(b"hash")

    def fingerprint(self, *parts: bytes) -> bytes:
        """The same for the same request, and for no other."""
        digest = hmac.new(self.derived(b"fingerprint"), digestmod=hashlib.sha256)
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()

    def close(self, answer: Answer) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        plain = zlib.compress(msgspec.msgpack.encode(answer), level=1)
        return nonce + AESGCM(self.derived(b"answer")).encrypt(nonce, plain, None)

    def open(self, sealed: bytes) -> Answer:
        nonce, encrypted = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        plain = AESGCM(self.derived(b"answer")).decrypt(nonce, encrypted, None)
        return msgspec.msgpack.decode(zlib.decompress(plain), type=Answer)

    def derived(self, purpose: bytes) -> bytes:
        return hmac.digest(self.secret, purpose, "sha256")


def seal(*, api_key: str, idempotency_key: str, project_id: int) -> Seal:
    told = f"{project_id} {idempotency_key}".encode("utf-8", "surrogatepass")
    return Seal(hmac.digest(api_key.encode("utf-8", "surrogatepass"), told, "sha256"))
