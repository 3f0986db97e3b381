# -*- test-case-name: ugate.test.test_jwts -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
JWTs that others issue (RFC 7519, 8725), as logins: a file with a line C{ISSUER AUDIENCE KEYS} for each that
is believed, where KEYS is the path of a file of its public keys, and maybe C{CLAIM} behind it, which says who
it is: C{sub} unless given.

Keys are not fetched: whoever runs the gateway has to bring them, as by C{curl} in a timer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ugate.errors import StringError
from ugate.tenancy.config.mistakes import ConfigError, Mistake
from ugate.tenancy.config.tree import Place, Source
from ugate.tenancy.credentialfiles import Reread, checked, checkName, readEach, readWhole
from ugate.tenancy.jwks import WebKey, fromBase64, keysFromJSON

MAX: Final = 8192
"""Bytes of a JWT."""

SKEW: Final = 60.0
"""Seconds that the clock of who issues may be ahead."""

_MAX_FILE: Final = 1 << 20
_WANTED: Final = "wanted ISSUER AUDIENCE PATH-OF-KEYS, and maybe CLAIM"


@dataclass(frozen=True, slots=True)
class Issuer:
    """
    One that is believed.

    @since: ugate NEXT
    """

    name: str
    """What its tokens say in C{iss}."""

    audience: str
    """What they have to say in C{aud}."""

    path: str
    """The file of its keys."""

    claim: str = "sub"
    """What says in them who somebody is."""

    @classmethod
    def fromLine(cls, line: bytes) -> Issuer:
        """
        Read a line.

        @raise StringError: it is wrong.
        """
        try:
            parts = line.decode().split()
        except UnicodeDecodeError as error:
            raise StringError("not UTF-8; wanted the file saved as UTF-8") from error
        if not 3 <= len(parts) <= 4:
            raise StringError(f"{len(parts)} words; {_WANTED}")
        if not parts[2].startswith("/"):
            raise StringError(f"{parts[2]}: not a whole path; {_WANTED}")
        try:
            readWebKeys(parts[2])
        except ConfigError as error:
            raise StringError("; ".join(map(str, error.mistakes))) from error
        return cls(*parts)


def readWebKeys(path: str) -> tuple[WebKey, ...]:
    """
    Read a file of keys.

    @raise ConfigError: it cannot be used, and why.
    """
    data = readWhole(path, "set of keys (JWKS)", _MAX_FILE)
    try:
        return keysFromJSON(data)
    except StringError as error:
        raise ConfigError([Mistake(Place(Source(path, numbered=False)), str(error))]) from error


def readIssuers(path: str) -> dict[bytes, Issuer]:
    """
    Read a file of those who are believed.

    @return: by their names.
    @raise ConfigError: it cannot be used; with every mistake.
    @since: ugate NEXT
    """

    def readLine(line: bytes) -> tuple[bytes, Issuer]:
        issuer = Issuer.fromLine(line)
        return issuer.name.encode(), issuer

    return readEach(path, "file of issuers", "issuer", readLine)


checkIssuers = checked(readIssuers)
"""A check for the C{issuers} of a policy."""


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str = ""
    crit: Any = None


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    aud: str | tuple[str, ...]
    exp: float
    nbf: float = 0.0


@dataclass(frozen=True, slots=True)
class Issued:
    """
    A JWT that was believed.

    @since: ugate NEXT
    """

    name: str
    """Who it is."""

    issuer: Issuer
    """By whom."""

    key: WebKey
    """Whose signature it has."""

    expires: float
    """From when on it is good no more, in seconds since 1970."""


class IssuerFile:
    """
    Whose JWTs are believed, by a file that is read again when it or one with keys changes.

    @since: ugate NEXT
    """

    def __init__(self, path: str, now: Callable[[], float] = time.time) -> None:
        """
        @param now: the time of day.
        @raise ConfigError: a file cannot be used.
        """
        self._now = now
        self._file = Reread(path, readIssuers, "issuers")
        self._use()

    def _use(self) -> None:
        paths = dict.fromkeys(issuer.path for issuer in self._file.value.values())
        self._keys = {path: Reread(path, readWebKeys, "keys") for path in paths}

    def _refresh(self) -> None:
        if self._file.refresh():
            self._use()

    def find(self, text: bytes) -> Issued:
        """
        Who that is.

        @raise StringError: nobody, and why, for the log; without a part of it that is secret.
        """
        if len(text) > MAX:
            raise StringError(f"a token of {len(text)} bytes; wanted at most {MAX}")
        self._refresh()
        head, payload, signature = _parts(text)
        header = _decoded(fromBase64(head), _Header)
        claims = _decoded(fromBase64(payload), _Claims)
        issuer = self._file.value.get(claims.iss.encode())
        if issuer is None:
            raise StringError("it is by nobody who is believed")
        if header.crit is not None:
            raise StringError("it demands what is not known here (crit)")
        keys = self._keysOf(issuer)
        key = _signer(keys, header, fromBase64(signature), head + b"." + payload)
        self._check(claims, issuer)
        return Issued(_nameIn(payload, issuer), issuer, key, claims.exp)

    def has(self, issued: Issued) -> bool:
        """
        Whether one that was believed still is.
        """
        self._refresh()
        isThere = self._file.value.get(issued.issuer.name.encode()) == issued.issuer
        return isThere and issued.key in self._keysOf(issued.issuer) and self._now() < issued.expires

    def _keysOf(self, issuer: Issuer) -> Sequence[WebKey]:
        keys = self._keys[issuer.path]
        keys.refresh()
        return keys.value

    def _check(self, claims: _Claims, issuer: Issuer) -> None:
        now = self._now()
        audience = (claims.aud,) if isinstance(claims.aud, str) else claims.aud
        if issuer.audience not in audience:
            raise StringError(f"it is for others than {issuer.audience}")
        # Not the other way round: a number may be none.
        if not now < claims.exp:
            raise StringError("it has ended")
        if not claims.nbf <= now + SKEW:
            raise StringError("it is not good yet")


def _parts(text: bytes) -> tuple[bytes, bytes, bytes]:
    parts = text.split(b".")
    if len(parts) != 3:
        raise StringError("it is no signed JWT")
    return parts[0], parts[1], parts[2]


def _decoded(data: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StringError("it is no JWT, or has not all of iss, aud and exp") from error


def _signer(keys: Sequence[WebKey], header: _Header, signature: bytes, signed: bytes) -> WebKey:
    """
    Whose signature it is.  The key says by what it signs: what the token says of that chooses nothing else.

    @raise StringError: nobody's.
    """
    from cryptography.exceptions import InvalidSignature

    for key in keys:
        if header.alg in key.algorithms and (not header.kid or key.name in ("", header.kid)):
            try:
                key.verify(header.alg, signature, signed)
            except InvalidSignature:
                continue
            return key
    raise StringError("no key of who issued it has signed it")


def _nameIn(payload: bytes, issuer: Issuer) -> str:
    name = _decoded(fromBase64(payload), dict).get(issuer.claim)
    if not isinstance(name, str):
        raise StringError(f"it does not say who it is for: {issuer.claim}")
    return checkName(name.encode("utf-8", "replace"), colons=True)
