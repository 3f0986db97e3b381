# -*- test-case-name: ugate.test.test_keys -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
SSH keys of people, in a file like C{authorized_keys} of OpenSSH, where the comment is the name.

Of the options C{expiry-time}, C{permitopen}, C{permitlisten}, C{no-port-forwarding} and C{restrict} hold, and
C{cert-authority} and C{principals} for a CA, whose users need not be in the file; and for keys in FIDO tokens
C{no-touch-required} and C{verify-required}.
Those that forbid what is not there anyway (C{no-pty} and the like) may stand there.  A line with any other is
a mistake, since without it the line would allow more than it says: C{from} and the like are matters of
C{policy.rules}.
"""

from __future__ import annotations

import re
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from ugate.errors import StringError
from ugate.protocols.credentials import ALL, Permits
from ugate.protocols.sshpackets import Reader
from ugate.protocols.sshsignatures import FIDO, TOUCH, Demands, isSigned, keyFromBlob
from ugate.tenancy.credentialfiles import Reread, checked, checkName, readEach

_TYPES: Final = frozenset(
    ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
) | {each.decode() for each in FIDO}
_HARMLESS: Final = frozenset(("no-agent-forwarding", "no-pty", "no-user-rc", "no-x11-forwarding"))
_SWITCHES: Final = frozenset(
    (
        "restrict",
        "no-port-forwarding",
        "port-forwarding",
        "cert-authority",
        "no-touch-required",
        "verify-required",
    )
)
_OPTION: Final = re.compile(r'([A-Za-z0-9-]+)(?:="((?:[^"\\]|\\.)*)")?')
_EXPIRY: Final = re.compile(r"(\d{8})(\d{4})?(\d{2})?(Z?)")
_WANTED: Final = "wanted KEY-TYPE BASE64 NAME, as in the .pub file that ssh-keygen writes"


@dataclass(frozen=True, slots=True)
class SSHKey:
    """
    Somebody's public key.

    @since: ugate NEXT
    """

    name: str
    """Whose it is."""

    blob: bytes
    """The key as SSH sends it."""

    expires: float | None = None
    """From when on it is good no more, in seconds since 1970."""

    permits: Permits = ALL
    """What it is good for."""

    isAuthority: bool = False
    """Whether it certifies others, and lets nobody in itself."""

    principals: tuple[str, ...] | None = None
    """The only names that it may certify; L{None} for any."""

    demands: Demands = TOUCH
    """What a FIDO token has to say of its owner; of a CA, that of whom it certifies."""

    @classmethod
    def fromLine(cls, line: bytes) -> SSHKey:
        """
        Read a line of C{authorized_keys}.

        @raise StringError: it is wrong, and why.
        """
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise StringError("not UTF-8; wanted the file saved as UTF-8") from error
        options = _Options()
        if text.partition(" ")[0] not in _TYPES:
            options, text = _options(text)
        parts = text.split(None, 2)
        if not parts or parts[0] not in _TYPES:
            kind = parts[0][:40] if parts else ""
            raise StringError(f"{kind!r} is no type of key that is known here ({', '.join(sorted(_TYPES))})")
        if len(parts) < 3:
            raise StringError(f"no name after the key: its comment says whose it is; {_WANTED}")
        blob = _decoded(parts[0], parts[1])
        if options.principals is not None and not options.isAuthority:
            raise StringError("principals= is for a CA: write cert-authority before it, or take it out")
        isToken = parts[0].encode() in FIDO
        if isToken and options.isAuthority:
            raise StringError("a key in a FIDO token certifies nobody here; wanted a CA with another key")
        if options.demands != TOUCH and not (isToken or options.isAuthority):
            raise StringError("no-touch-required and verify-required are for keys in FIDO tokens (sk-...)")
        name = checkName(parts[2].strip().encode(), colons=True)
        authority = options.isAuthority
        return cls(
            name, blob, options.expires, options.permits, authority, options.principals, options.demands
        )


def _decoded(kind: str, text: str) -> bytes:
    """
    @raise StringError: it is no key of that type.
    """
    try:
        blob = b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise StringError(f"the key is not base64; {_WANTED}") from error
    keyFromBlob(kind.encode(), blob)
    return blob


def blobFrom(line: bytes) -> bytes:
    """
    The key of a line C{KEY-TYPE BASE64}, with whatever behind it.

    @raise StringError: it is none.
    """
    parts = line.decode("utf-8", "replace").split(None, 2)
    if len(parts) < 2 or parts[0] not in _TYPES:
        raise StringError(f"no type of key and key; {_WANTED}")
    return _decoded(parts[0], parts[1])


@dataclass(slots=True)
class _Options:
    """
    What stands in front of a key.
    """

    expires: float | None = None
    opens: list[tuple[str, int]] | None = None
    listens: list[tuple[str, int]] | None = None
    isForwarding: bool = True
    isAuthority: bool = False
    principals: tuple[str, ...] | None = None
    demands: Demands = TOUCH

    def take(self, name: str, value: str | None) -> bool:
        """
        Hold one.

        @return: whether that can be.
        """
        if value is None:
            if name == "cert-authority":
                self.isAuthority = True
            if name == "no-touch-required":
                self.demands = replace(self.demands, touch=False)
            if name == "verify-required":
                self.demands = replace(self.demands, pin=True)
            if name in ("restrict", "no-port-forwarding", "port-forwarding"):
                self.isForwarding = name == "port-forwarding"
            return name in _HARMLESS or name in _SWITCHES
        if name == "expiry-time":
            until = _expiry(value)
            self.expires = until if self.expires is None else min(until, self.expires)
        elif name == "permitopen":
            self.opens = [*(self.opens or ()), _place(name, value)]
        elif name == "principals":
            self.principals = tuple(each.strip() for each in value.split(","))
        elif name == "permitlisten":
            self.listens = [*(self.listens or ()), _place(name, value, "*")]
        else:
            return False
        return True

    @property
    def permits(self) -> Permits:
        """
        What the key may then.
        """
        if not self.isForwarding:
            return Permits((), ())
        opens, listens = self.opens, self.listens
        if opens is None and listens is None:
            return ALL
        return Permits(None if opens is None else tuple(opens), None if listens is None else tuple(listens))


def _options(text: str) -> tuple[_Options, str]:
    """
    Read the options in front of a key.

    @return: them, and the rest of the line.
    @raise StringError: there is one that has no effect here.
    """
    options = _Options()
    position = 0
    while True:
        match = _OPTION.match(text, position)
        if match is None:
            raise StringError(
                f"neither a type of key nor an option at {text[position : position + 20]!r}; {_WANTED}"
            )
        if not options.take(match[1].lower(), match[2]):
            raise StringError(
                f"the option {match[1]!r} has no effect here: take it out; policy.rules say who may go where"
            )
        position = match.end()
        if text[position : position + 1] != ",":
            break
        position += 1
    return options, text[position:]


def _place(name: str, text: str, default: str = "") -> tuple[str, int]:
    """
    C{HOST:PORT}, either of which may be C{*}.

    @param default: the host of a port alone.
    @raise StringError: it is none.
    """
    host, colon, port = text.rpartition(":")
    host = host if colon else default
    number = "0" if port == "*" else port
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    isPort = number.isascii() and number.isdigit() and len(number) <= 5 and int(number) < 65536
    if not host or not isPort or (number == "0" and port != "*"):
        raise StringError(f"{name}={text[:80]!r}; wanted HOST:PORT, with * for any host or port")
    return host.lower(), int(number)


def _expiry(text: str) -> float:
    """
    C{YYYYMMDD[HHMM[SS]][Z]}, in local time without the C{Z}.

    @raise StringError: it is no such time.
    """
    from calendar import timegm

    match = _EXPIRY.fullmatch(text) if text.isascii() else None
    if match is not None and (match[2] or not match[3]):
        try:
            wanted = time.strptime(match[1] + (match[2] or "0000") + (match[3] or "00"), "%Y%m%d%H%M%S")
            return float(timegm(wanted)) if match[4] else time.mktime(wanted)
        except (ValueError, OverflowError):
            pass
    raise StringError(f"expiry-time={text[:20]!r}; wanted YYYYMMDD or YYYYMMDDHHMM[SS], with a Z for UTC")


def readKeys(path: str) -> dict[bytes, SSHKey]:
    """
    Read a file of keys.

    @return: by what SSH sends of them.
    @raise ConfigError: it cannot be used; with every mistake.
    @since: ugate NEXT
    """

    def readLine(line: bytes) -> tuple[bytes, SSHKey]:
        key = SSHKey.fromLine(line)
        return key.blob, key

    return readEach(path, "file of SSH keys", "key", readLine)


checkKeys = checked(readKeys)
"""A check for the C{keys} of a policy."""


class KeyFile:
    """
    Whose keys are whose, by a file that is read again when it changes.

    @since: ugate NEXT
    """

    def __init__(self, path: str, now: Callable[[], float] = time.time) -> None:
        """
        @param now: the time of day.
        @raise ConfigError: the file cannot be used.
        """
        self._now = now
        self._file = Reread(path, readKeys, "SSH keys")

    def find(self, blob: bytes, signed: bytes, signature: bytes | None) -> SSHKey | None:
        """
        Whose key that is; L{None} if it is of nobody here, has expired, or did not sign.

        @param signed: what was to be signed.
        @param signature: of that; L{None} to ask only whether the key is known.
        """
        key = self._good(blob)
        if key is None or key.isAuthority:
            return None
        isGood = signature is None or isSigned(blob, signed, signature, key.demands)
        return key if isGood else None

    def why(self, blob: bytes) -> str:
        """
        Why a key that is in the file lets nobody in; nothing if it did not sign, or is not there.  Of one in
        a FIDO token it is said what may be wrong with how it did.
        """
        key = self._file.value.get(blob)
        if key is None:
            return ""
        if key.isAuthority:
            return f"the key of {key.name} certifies others, and lets nobody in"
        if not self._good(blob):
            return f"the key of {key.name} has ended: see its expiry-time"
        isToken = Reader(blob).string() in FIDO
        return f"the token of {key.name} was not touched, or wants its PIN" if isToken else ""

    def authority(self, blob: bytes) -> SSHKey | None:
        """
        The CA of that key; L{None} if there is none, or it has expired.
        """
        key = self._good(blob)
        return key if key is not None and key.isAuthority else None

    def _good(self, blob: bytes) -> SSHKey | None:
        self._file.refresh()
        key = self._file.value.get(blob)
        return None if key is None or (key.expires is not None and self._now() >= key.expires) else key

    def nameFor(self, blob: bytes, signed: bytes, signature: bytes | None) -> str | None:
        """
        The name of whose key that is, as for L{find}.
        """
        key = self.find(blob, signed, signature)
        return None if key is None else key.name
