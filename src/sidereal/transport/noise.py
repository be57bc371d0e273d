"""Noise_NNpsk0: a handshake of two messages from fresh keys and a shared secret.

After the Noise Protocol Framework, revision 34 (noiseprotocol.org). Both ends
draw fresh X25519 keys, so no session repeats another's keys, and the recorded
past stays closed when the shared key leaks. Pattern::

    -> psk, e
    <- e, ee
"""

import hashlib
import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from sidereal.errors import HandshakeError

KEY_BYTES: Final = 32
MESSAGE_OVERHEAD_BYTES: Final = 32 + 16
"""What a handshake message adds to its payload: a public key and a tag."""


class NoiseNNpsk0:
    """One side of one handshake.

    Parameters
    ----------
    initiator
        True for the side that writes first.
    psk
        32 bytes that both ends know.
    prologue
        Bytes that both ends must agree on, but that are not sent here.
    ephemeral
        32 random bytes: this side's fresh private key.
    cipher, digest
        ``AESGCM`` or ``ChaChaPoly``, and ``SHA256`` or ``BLAKE2s``, by Noise's names.
    """

    def __init__(
        self,
        *,
        initiator: bool,
        psk: bytes,
        prologue: bytes,
        ephemeral: bytes,
        cipher: str = "AESGCM",
        digest: str = "SHA256",
    ) -> None:
        self._digest = digest.lower()
        self._cipher = cipher
        self._initiator = initiator
        self._ephemeral = ephemeral
        self._private: X25519PrivateKey | None = None
        self._remote: bytes | None = None
        name = f"Noise_NNpsk0_25519_{cipher}_{digest}".encode()
        self._hash = name.ljust(32, b"\0") if len(name) <= 32 else self._sum(name)
        self._chaining = self._hash
        self._key: bytes | None = None
        self._nonce = 0
        self._mix_hash(prologue)
        self._mix_key_and_hash(psk)

    @property
    def handshake_hash(self) -> bytes:
        """What names this session: a hash over all that both ends said."""
        return self._hash

    def write(self, payload: bytes) -> bytes:
        """Build this side's message around ``payload``."""
        # Only now: who answers has seen by then that the other side knows the key, and a
        # stranger's message costs no curve operation.
        self._private = X25519PrivateKey.from_private_bytes(self._ephemeral)
        public = self._private.public_key().public_bytes_raw()
        self._mix_hash(public)
        self._mix_key(public)
        if not self._initiator:
            self._mix_ee()
        return public + self._encrypt_and_hash(payload)

    def read(self, message: bytes) -> bytes:
        """Take the other side's message and return its payload.

        Raises
        ------
        HandshakeError
            It was not made with the same key and prologue, or is malformed.
        """
        if len(message) < MESSAGE_OVERHEAD_BYTES:
            raise HandshakeError(f"handshake message of {len(message)} bytes is too short")
        self._remote = message[:32]
        self._mix_hash(self._remote)
        self._mix_key(self._remote)
        if self._initiator:
            self._mix_ee()
        return self._decrypt_and_hash(message[32:])

    def split(self) -> tuple[bytes, bytes]:
        """Return the secrets ``(initiator to responder, responder to initiator)``."""
        return self._hkdf2(b"")

    def _sum(self, data: bytes) -> bytes:
        return hashlib.new(self._digest, data).digest()

    def _hmac(self, key: bytes, data: bytes) -> bytes:
        return hmac.digest(key, data, self._digest)

    def _hkdf2(self, material: bytes) -> tuple[bytes, bytes]:
        secret = self._hmac(self._chaining, material)
        first = self._hmac(secret, b"\1")
        return first, self._hmac(secret, first + b"\2")

    def _mix_hash(self, data: bytes) -> None:
        self._hash = self._sum(self._hash + data)

    def _mix_key(self, material: bytes) -> None:
        self._chaining, self._key = self._hkdf2(material)
        self._nonce = 0

    def _mix_key_and_hash(self, material: bytes) -> None:
        secret = self._hmac(self._chaining, material)
        first = self._hmac(secret, b"\1")
        second = self._hmac(secret, first + b"\2")
        self._chaining, self._key = first, self._hmac(secret, second + b"\3")
        self._nonce = 0
        self._mix_hash(second)

    def _mix_ee(self) -> None:
        assert self._remote is not None, "the other side's key comes first"
        assert self._private is not None, "whoever mixes has written its message, or is writing it"
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(self._remote))
        except ValueError as error:  # a low-order point: the shared secret would be zero
            raise HandshakeError("the peer's public key is a low-order point") from error
        self._mix_key(shared)

    def _aead(self) -> tuple[AESGCM | ChaCha20Poly1305, bytes]:
        assert self._key is not None, "psk0 sets a key before the first payload"
        nonce, self._nonce = self._nonce, self._nonce + 1
        if self._cipher == "AESGCM":
            return AESGCM(self._key), b"\0\0\0\0" + nonce.to_bytes(8, "big")
        return ChaCha20Poly1305(self._key), b"\0\0\0\0" + nonce.to_bytes(8, "little")

    def _encrypt_and_hash(self, payload: bytes) -> bytes:
        aead, nonce = self._aead()
        sealed = aead.encrypt(nonce, payload, self._hash)
        self._mix_hash(sealed)
        return sealed

    def _decrypt_and_hash(self, sealed: bytes) -> bytes:
        aead, nonce = self._aead()
        try:
            payload = aead.decrypt(nonce, sealed, self._hash)
        except InvalidTag as error:
            raise HandshakeError("the handshake message was made with another key") from error
        self._mix_hash(sealed)
        return payload
