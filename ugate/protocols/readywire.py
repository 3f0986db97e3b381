# -*- test-case-name: ugate.test.test_readywire -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a gate and a node say to each other on a connection that is kept ready for a stream.

All is in frames: one byte for its kind, two for the size of what follows.  The gate speaks first::

    gate  H   the version, 32 random bytes, the KEYID of the gate
    node  P   MessagePack: [KEYID, [certificate in DER, ...], signature of all that the gate has said]
    gate  A   welcome; or R, and why not
    gate  K   are you there?
    node  L   yes
    gate  G   a stream begins; who the client is, in words
    node  B   let it begin

From then on all bytes are the stream's.  What is signed is different each time, and names the gate: so a
proof is none a second time, nor anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import urandom
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta, Struct
from msgspec.msgpack import Decoder, encode
from zope.interface import implementer

from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.interfaces import IIdentity, INegotiation, Step
from ugate.keyid import KEYID
from ugate.protocols.signed import isSigned
from ugate.stream import Principal, StreamInfo

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

HELLO: Final = b"H"
PROOF: Final = b"P"
WELCOME: Final = b"A"
REFUSED: Final = b"R"
ASK: Final = b"K"
THERE: Final = b"L"
GO: Final = b"G"
BEGIN: Final = b"B"

MAX_PROOF: Final = 15000
"""Bytes of what a node says to prove who it is."""

MAX_SAID: Final = 1000
"""Bytes of any other frame."""

MAX_CERTIFICATES: Final = 8
"""Certificates of a node."""

_HEAD: Final = 3
_VERSION: Final = b"\x01"
_NONCE: Final = 32
_KEYID: Final = 52
_SIGNED: Final = b"ugate ready connection, version 1\0"
"""In front of what is signed: so a proof is no signature of anything else."""

Believe = Callable[[str, "Sequence[Certificate]"], Principal]
"""Who a KEYID with these certificates is; raises L{Refused}."""

_MORE: Final = Step()


def frame(kind: bytes, data: bytes = b"") -> bytes:
    """
    One frame.
    """
    return kind + len(data).to_bytes(2, "big") + data


def unframe(data: bytes, most: int = MAX_SAID) -> tuple[bytes, bytes, bytes] | None:
    """
    The first frame.

    @param most: bytes that may be in it.
    @return: its kind, what is in it, and what comes after; L{None} if it is not whole.
    @raise ProtocolError: it is too long.
    """
    if len(data) < _HEAD:
        return None
    end = _HEAD + int.from_bytes(data[1:_HEAD], "big")
    if end > _HEAD + most:
        raise ProtocolError(f"a frame of {end - _HEAD} bytes: wanted at most {most}")
    return None if len(data) < end else (data[:1], data[_HEAD:end], data[end:])


class _Proof(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    keyid: Annotated[str, Meta(max_length=_KEYID, pattern=f"^{KEYID}$")]
    chain: Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=MAX_CERTIFICATES)]
    signature: bytes


_PROOF: Final = Decoder(_Proof)


class _Silent:
    """
    What neither side of this has.
    """

    __slots__ = ()

    def login(self, principal: Principal | None) -> Step:
        """
        Never asked for: a proof is no login.
        """
        return _MORE

    def accept(self) -> bytes:
        """
        Nothing: the stream has its own words.
        """
        return b""

    def refuse(self, reason: Refused) -> bytes:
        """
        Nothing: the same.
        """
        return b""


@implementer(INegotiation)
class ReadyGate(_Silent):
    """
    The side of the gate: ask who it is.

    @ivar keyid: who it is, once that is proven.
    @ivar chain: the certificates of it.
    @since: ugate NEXT
    """

    __slots__ = ("_believe", "_hello", "_info", "_seen", "chain", "keyid")

    def __init__(
        self,
        info: StreamInfo,
        keyid: str,
        believe: Believe,
        random: Callable[[int], bytes] = urandom,
    ) -> None:
        """
        @param info: what is known of the connection.
        @param keyid: who we are.
        @param believe: says who it is, and whether there is room for it.
        @param random: makes bytes that nobody knows before.
        """
        self._info = info
        self._believe = believe
        self._hello = frame(HELLO, _VERSION + random(_NONCE) + keyid.encode())
        self._seen = b""
        self.keyid = ""
        self.chain: Sequence[Certificate] = ()

    def start(self) -> bytes:
        """
        What has to be signed.
        """
        return self._hello

    def receive(self, data: bytes) -> Step:
        """
        Take more of the proof.

        @raise ProtocolError: it is none, or it is not believed.
        """
        self._seen += data
        try:
            if self._seen and not PROOF.startswith(self._seen[:1]):
                raise ProtocolError(f"no proof, it begins with {self._seen[:1]!r}: let behind: connect here")
            found = unframe(self._seen, MAX_PROOF)
            if found is None:
                return _MORE
            principal = self._check(found[1])
        except ProtocolError as error:
            raise ProtocolError(str(error), _why(str(error))) from error
        except Refused as refused:
            raise ProtocolError(str(refused), _why(refused.detail or refused.cause.value)) from refused
        info = self._info
        known = info.but(principal=principal, protocol="ready", layers=(*info.layers, "ready"))
        return Step(send=frame(WELCOME), done=True, rest=found[2], info=known)

    def _check(self, data: bytes) -> Principal:
        from cryptography.x509 import load_der_x509_certificate

        try:
            proof = _PROOF.decode(data)
            chain = [load_der_x509_certificate(each) for each in proof.chain]
            key: Any = chain[0].public_key()
        except Exception as error:
            # What cryptography raises for a broken certificate is of many types.
            raise ProtocolError(f"its proof cannot be read: {type(error).__name__}") from error
        if not isSigned(key, proof.signature, _SIGNED + self._hello):
            raise ProtocolError("its signature is wrong")
        principal = self._believe(proof.keyid, chain)
        self.keyid, self.chain = proof.keyid, chain
        return principal


def _why(text: str) -> bytes:
    return frame(REFUSED, text.encode()[:MAX_SAID])


@implementer(INegotiation)
class ReadyNode(_Silent):
    """
    The side of the node: prove who we are.

    @since: ugate NEXT
    """

    __slots__ = ("_gate", "_hasProven", "_hop", "_identity", "_seen")

    def __init__(self, identity: IIdentity, hop: str, gate: str = "") -> None:
        """
        @param identity: who we are.
        @param hop: what refusals name.
        @param gate: the KEYID that the gate has to say that it has; empty for any.
        """
        self._identity = identity
        self._hop = hop
        self._gate = gate
        self._seen = b""
        self._hasProven = False

    def start(self) -> bytes:
        """
        Nothing: the gate speaks first.
        """
        return b""

    def receive(self, data: bytes) -> Step:
        """
        Take more of what the gate says.

        @raise ProtocolError: it is no gate.
        @raise Refused: it does not want us, or is another one.
        """
        seen = self._seen = self._seen + data
        wanted = (WELCOME, REFUSED) if self._hasProven else (HELLO, REFUSED)
        if seen and seen[:1] not in wanted:
            raise ProtocolError(f"no gate, it begins with {seen[:1]!r}: see which port has ready: there")
        found = unframe(seen)
        if found is None:
            return _MORE
        kind, said, rest = found
        self._seen = rest
        if kind == REFUSED:
            raise Refused(Cause.AUTHENTICATION, Phase.NEGOTIATE, self._hop, _words(said), "see its log")
        if kind == WELCOME:
            return Step(done=True, rest=rest)
        if rest:
            raise ProtocolError("the gate goes on before it knows who we are")
        return Step(send=self._proof(said))

    def _proof(self, said: bytes) -> bytes:
        from cryptography.hazmat.primitives.serialization import Encoding

        if said[:1] != _VERSION or len(said) != 1 + _NONCE + _KEYID:
            raise ProtocolError("a gate of another version")
        gate = said[-_KEYID:].decode("ascii", "replace")
        if self._gate and gate != self._gate:
            detail = f"it says that it is {_words(said[-_KEYID:])}, and not {self._gate}"
            raise Refused(Cause.AUTHENTICATION, Phase.NEGOTIATE, self._hop, detail, "see gate=")
        self._hasProven = True
        identity = self._identity
        chain = tuple(each.public_bytes(Encoding.DER) for each in identity.chain)
        signature = identity.sign(_SIGNED + frame(HELLO, said))
        proof = encode(_Proof(identity.keyid, chain, signature))
        if len(proof) > MAX_PROOF or len(chain) > MAX_CERTIFICATES:
            detail = f"our {len(chain)} certificates have {len(proof)} bytes: wanted at most {MAX_PROOF}"
            raise Refused(Cause.UNSUPPORTED, Phase.NEGOTIATE, self._hop, detail, "leave the root out")
        return frame(PROOF, proof)


def _words(said: bytes) -> str:
    """
    What the other side says, as it may stand in a log.
    """
    return "".join(each for each in said[:300].decode("utf-8", "replace") if each.isprintable())
