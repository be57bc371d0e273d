"""The keys of one direction, renewed with the packet number.

Packet number ``n`` is sealed with the key of epoch ``n >> shift``, so both ends
change keys at the same number and nothing has to be agreed. Each epoch's secret
is a one-way function of the one before it; old ones are forgotten.
"""

import hmac
from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from sidereal.transport.settings import Cipher

REKEY_SHIFT: Final = 22
"""4 million packets a key: a sixth of what AES-GCM allows at 2^-57 advantage (RFC 9001, 6.6)."""

Encrypt = Callable[[Any, Any, Any, Any], Any]
Decrypt = Callable[[Any, Any, Any], bytes]
DecryptInto = Callable[[Any, Any, Any, Any], Any]


class KeyChain:
    """The keys of one direction of one connection.

    Parameters
    ----------
    secret
        32 bytes, one direction's output of the handshake.
    cipher
        Which AEAD.
    shift
        Packet numbers a key lasts, as a power of two.
    """

    __slots__ = ("_aeads", "_cipher", "_secret", "_secret_epoch", "epoch", "shift")

    def __init__(self, secret: bytes, cipher: Cipher, shift: int = REKEY_SHIFT) -> None:
        self.shift = shift
        self.epoch = 0
        self._cipher: Cipher = cipher
        self._secret = secret
        self._secret_epoch = 0
        self._aeads: dict[int, AESGCM | ChaCha20Poly1305] = {}
        self._derive()

    def _derive(self) -> None:
        key = hmac.digest(self._secret, b"sidereal packet key", "sha256")
        self._aeads[self._secret_epoch] = (
            AESGCM(key[:16]) if self._cipher == "aes-128-gcm" else ChaCha20Poly1305(key)
        )
        self._secret = hmac.digest(self._secret, b"sidereal next epoch", "sha256")
        self._secret_epoch += 1

    def _aead(self, epoch: int) -> AESGCM | ChaCha20Poly1305 | None:
        if epoch == self._secret_epoch and epoch == self.epoch + 1:
            self._derive()
        return self._aeads.get(epoch)

    def encryptor(self, epoch: int) -> Encrypt:
        """Return ``encrypt_into`` under the key of ``epoch``, this one or the next; moves there."""
        aead = self._aead(epoch)
        assert aead is not None, f"epoch {epoch} does not follow {self.epoch}"
        self.advance(epoch)
        return aead.encrypt_into

    def decryptor(self, epoch: int) -> Decrypt | None:
        """Return ``decrypt`` under the key of the epoch before, this one or the next, or None."""
        aead = self._aead(epoch)
        return None if aead is None else aead.decrypt

    def decryptor_into(self, epoch: int) -> DecryptInto | None:
        """As `decryptor`, but what it returns decrypts into a buffer of the exact length."""
        aead = self._aead(epoch)
        return None if aead is None else aead.decrypt_into

    def advance(self, epoch: int) -> None:
        """A packet of ``epoch`` was authentic: older keys but the last one are forgotten."""
        if epoch > self.epoch:
            self.epoch = epoch
            for old in [known for known in self._aeads if known < epoch - 1]:
                del self._aeads[old]
