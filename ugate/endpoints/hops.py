# -*- test-case-name: ugate.test.test_hops -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A hop, as text and as a value: how to reach a proxy or a peer that carries
streams on.

The text is C{PREFIX:HOST:PORT[:keyword=value...]}, with the escapes of Twisted's
endpoint strings.  C{KINDS} holds what can be written before the first colon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from socket import AF_INET6, inet_pton
from typing import Any, Final

from ugate.endpoints.nearkeyid import checkNoNearKeyid
from ugate.endpoints.quoting import quoteValue, split, splitArrows
from ugate.errors import StringError
from ugate.stream import Target

MAX_TIMEOUT: Final = 3600.0
MAX_ATTEMPTS: Final = 10
MAX_NESTED: Final = 8
_PORT_DIGITS: Final = 5
_MOST_ALPN: Final = 16
_LONGEST_NAME: Final = 255
_ALWAYS: Final = frozenset(("to", "timeout", "attempts", "proxyproto"))
_PROXY: Final = _ALWAYS | {"via", "tls", "user"}
_PASSWORD: Final = frozenset(("passwordFile", "passwordEnv"))


@dataclass(frozen=True, slots=True)
class HopKind:
    """
    What can be written of the hops of one prefix.
    """

    name: str
    """The prefix in the normal form."""

    keywords: frozenset[str]
    """The keywords that it takes."""

    speaks: str = ""
    """What is spoken to the proxy, in words."""

    addressed: bool = True
    """Whether C{HOST:PORT} follows."""

    leads: bool = False
    """Whether streams go to C{HOST:PORT} itself, and not on from there."""


_SOCKS: Final = HopKind("socks", _PROXY | _PASSWORD, "SOCKS5")

KINDS: Final[Mapping[str, HopKind]] = {
    "socks": _SOCKS,
    "socks5": _SOCKS,
    "socks4": HopKind("socks4", _PROXY, "SOCKS4A"),
    "connect": HopKind("connect", _PROXY | _PASSWORD, "HTTP CONNECT"),
    "mtls": HopKind(
        "mtls", frozenset(("name", "alpn", "via", "timeout", "attempts", "proxyproto")), "TLS", leads=True
    ),
    "forward": HopKind(
        "forward", frozenset(("tls", "via", "timeout", "attempts", "proxyproto")), "nothing", leads=True
    ),
    "h2connect": HopKind("h2connect", _ALWAYS | {"via", "name", "h2c"}, "HTTP/2 CONNECT"),
    "websocket": HopKind("websocket", _PROXY | _PASSWORD | {"path", "alpn"}, "WebSocket"),
    "ssh": HopKind("ssh", _ALWAYS | _PASSWORD | {"via", "user", "key", "known", "agent"}, "SSH"),
    "direct": HopKind("direct", _ALWAYS | {"asClient"}, addressed=False),
}
"""
The prefixes.  A new one has a line here, and its dialer a line in
C{ugate.endpoints.upstream.MAKERS}.
"""


@dataclass(frozen=True, slots=True)
class Hop:
    """
    One hop.  C{str()} gives its normal form, which reads back as an equal value.

    @since: ugate NEXT
    """

    prefix: str
    """The name of its L{HopKind}."""

    host: str = ""
    """The name or address of the proxy; empty if the kind has none."""

    port: int = 0
    """Its TCP port; 0 if the kind has none."""

    user: str = ""
    """Who to log in as, or empty."""

    passwordFile: str = ""
    """The file that holds the password, read at each connect, or empty."""

    passwordEnv: str = ""
    """The environment variable that holds the password, or empty."""

    tls: bool = False
    """Whether the proxy is spoken to in TLS; its certificate must be good for C{host}."""

    h2c: bool = False
    """Whether a gateway in HTTP/2 is spoken to in clear text, where TLS with both certificates is usual."""

    key: str = ""
    """The file of a private key to log in with by SSH, or empty for that of our identity."""

    known: str = ""
    """The file that says which keys hosts of SSH have, or empty for those that C{ssh} looks into."""

    agent: str = ""
    """The UNIX socket of an agent with keys of SSH; C{env} for that in C{SSH_AUTH_SOCK}; or empty."""

    name: str = ""
    """Who it has to be, by its certificate, if that is not C{host}: a KEYID, a DNS name or a SPIFFE id."""

    alpn: tuple[bytes, ...] = ()
    """The protocols to offer inside of TLS, best first."""

    path: str = ""
    """What is asked for of a server of WebSocket, if that is not C{/}."""

    asClient: bool = False
    """Whether to connect from the address of who asks for the stream."""

    timeout: float | None = None
    """Seconds for the connection, and again for each handshake; L{None} for the default."""

    attempts: int = 1
    """How often to try before giving up."""

    proxyproto: int = 0
    """The version of the PROXY header in front of what goes through, or 0 for none."""

    via: Hop | str | None = None
    """
    What carries the connection to the proxy: a hop, the name of one that the config has, or (with a
    colon in it) an endpoint string of Twisted's that connects to it.
    """

    to: Target | None = None
    """Where to go through it, which makes it a whole client string."""

    @classmethod
    def fromText(cls, text: str) -> Hop:
        """
        Read a hop.

        @raise StringError: if it cannot be read; the message names the part and
            the wanted shape.
        """
        return _read(text, MAX_NESTED)

    @property
    def target(self) -> Target:
        """
        Where the proxy is.
        """
        return Target(self.host, self.port)

    @property
    def place(self) -> str:
        """
        The hop without its keywords: what a refusal names.
        """
        if not self.host:
            return self.prefix
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.prefix}:{host}:{self.port}"

    def __str__(self) -> str:
        words = [self.place]
        for name, keyword in _KEYWORDS.items():
            value = getattr(self, name)
            if value != _DEFAULTS[name]:
                words.append(f"{name}={quoteValue(keyword.write(value))}")
        return ":".join(words)


def _read(text: str, depth: int) -> Hop:
    if len(splitArrows(text)) > 1:
        raise StringError("this is a chain: one hop without an arrow is wanted here")
    parts, given = split(text)
    kind = KINDS.get(parts[0] if parts else "")
    if kind is None:
        raise StringError(_unknown(parts[0] if parts else ""))
    host, port, values = "", 0, dict[str, Any]()
    try:
        if kind.addressed:
            host, port = _address(kind.name, parts[1:], given)
        elif len(parts) > 1:
            raise StringError(f"{parts[1]!r} is one part too many: it has keywords only")
        for name, value in given.items():
            values[name] = _value(kind, name, value, depth)
        if values.keys() & _PASSWORD and "user" not in values:
            raise StringError("a password wants user= too")
        if values.keys() >= _PASSWORD:
            raise StringError("passwordFile= and passwordEnv= exclude each other")
        if values.get("h2c") and "name" in values:
            raise StringError("h2c= is clear text, in which nobody proves the name of name=")
        if "alpn" in values and "tls" in kind.keywords and not values.get("tls"):
            raise StringError("alpn= is what to offer in TLS: it wants tls=yes")
    except StringError as e:
        raise StringError(f"{Hop(kind.name, host, port).place}: {e}") from e
    return Hop(kind.name, host, port, **values)


def _unknown(prefix: str) -> str:
    known = ", ".join(KINDS)
    if prefix == "tcp":
        return f"tcp is where a chain ends: a hop begins with one of {known}"
    return f"{prefix!r} is no kind of hop: wanted one of {known}"


def _address(prefix: str, parts: list[str], given: dict[str, str]) -> tuple[str, int]:
    """
    The host and the port; a user in front of the host becomes a keyword.
    """
    shape = f"wanted {prefix}:HOST:PORT"
    if len(parts) != 2:
        if any("@" in part for part in parts):
            raise StringError(f"{shape}; a password is never in a string, see passwordFile=")
        what = "too few parts" if len(parts) < 2 else f"{parts[2]!r} is one part too many"
        raise StringError(f"{what}: {shape}; a colon inside a part is written \\:, an IPv6 address [::1]")
    user, _, host = parts[0].rpartition("@")
    if not user:
        host = parts[0]
    elif given.setdefault("user", user) != user:
        raise StringError("the user is given twice")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if ":" in host:
        try:
            inet_pton(AF_INET6, host)
        except OSError as e:
            raise StringError(f"{host!r} is no IPv6 address: {shape}") from e
    port = parts[1]
    if not (port.isascii() and port.isdigit() and len(port) <= _PORT_DIGITS):
        raise StringError(f"port {port[: 2 * _PORT_DIGITS]!r}: {shape}")
    target = Target.checked(host, int(port))
    return target.host, target.port


def _value(kind: HopKind, name: str, text: str, depth: int) -> object:
    if name not in kind.keywords:
        if name == "password":
            raise StringError("a password is never in a string: write passwordFile=PATH or passwordEnv=NAME")
        raise StringError(f"no keyword {name}=: it takes {', '.join(sorted(kind.keywords))}")
    if not text:
        raise StringError(f"{name}= is empty")
    try:
        return _readVia(text, depth) if name == "via" else _KEYWORDS[name].read(text)
    except StringError as e:
        raise StringError(f"{name}=: {e}") from e


def _readVia(text: str, depth: int) -> Hop | str:
    if isName(text):
        return text
    prefix = text.partition(":")[0]
    if prefix not in KINDS:
        if ":" in text:
            return text
        raise StringError(f"{text!r}: wanted the name of a hop, a hop or an endpoint string")
    if not depth:
        raise StringError(f"more than {MAX_NESTED} hops in one another")
    hop = _read(text, depth - 1)
    if hop.to is not None:
        raise StringError("the hop before has no to=: it leads to this one")
    return hop


def isName(text: str) -> bool:
    """
    Whether a text can be the name of a hop in the config: letters, digits, C{_},
    C{-} and dots, and no word that begins a hop.
    """
    return (
        bool(text)
        and text not in KINDS
        and text[0] not in "-."
        and text.isascii()
        and all(c.isalnum() or c in "-_." for c in text)
    )


def _readTimeout(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_TIMEOUT:
        raise StringError(f"{text!r}: wanted seconds, more than 0 and at most {MAX_TIMEOUT:g}")
    return seconds


def _readAttempts(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and 0 < int(text) <= MAX_ATTEMPTS):
        raise StringError(f"{text!r}: wanted a number from 1 to {MAX_ATTEMPTS}")
    return int(text)


def _readYesNo(text: str) -> bool:
    if text not in ("yes", "no"):
        raise StringError(f"{text!r}: wanted yes or no")
    return text == "yes"


def readALPN(text: str) -> tuple[bytes, ...]:
    """
    The names of protocols inside of TLS, with commas between.

    @raise StringError: they are none.
    """
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if not (0 < len(name) <= _LONGEST_NAME and name.isascii() and name.isprintable() and " " not in name):
            raise StringError(f"alpn={text[:80]}: wanted names with commas between, as in h2,http/1.1")
    if len(names) > _MOST_ALPN or len(set(names)) < len(names):
        raise StringError(f"alpn={text[:80]}: wanted at most {_MOST_ALPN} names, each once")
    return tuple(name.encode("ascii") for name in names)


def _readName(text: str) -> str:
    host = text.removeprefix("spiffe://").replace("/", "")
    try:
        Target.checked(host, 1)
    except StringError as e:
        raise StringError(f"{text[:80]!r}: wanted a KEYID, a DNS name or spiffe://...") from e
    checkNoNearKeyid(text)
    if len(text) > _LONGEST_NAME:
        raise StringError(f"{len(text)} characters: wanted at most {_LONGEST_NAME}")
    return text


def readPath(text: str) -> str:
    """
    A path, as it stands in a request.

    @raise StringError: it is none.
    """
    if not (text.startswith("/") and text.isascii() and text.isprintable() and not set(text) & set(" ?#")):
        raise StringError(f"{text[:200]!r}: wanted a path, as in /tunnel")
    return text


def readProxyproto(text: str) -> int:
    """
    The version of a PROXY header.

    @raise StringError: if it is none.
    """
    if text not in ("v1", "v2"):
        raise StringError(f"{text!r}: wanted v1 or v2")
    return int(text[1])


@dataclass(frozen=True, slots=True)
class _Keyword:
    """
    How the value of a keyword is read and written.
    """

    read: Callable[[str], Any] = str
    """Its value; raises L{StringError}."""

    write: Callable[[Any], str] = str
    """Its text."""


_KEYWORDS: Final[Mapping[str, _Keyword]] = {
    "user": _Keyword(),
    "passwordFile": _Keyword(),
    "passwordEnv": _Keyword(),
    "tls": _Keyword(_readYesNo, lambda _: "yes"),
    "h2c": _Keyword(_readYesNo, lambda _: "yes"),
    "key": _Keyword(),
    "known": _Keyword(),
    "agent": _Keyword(),
    "name": _Keyword(_readName),
    "alpn": _Keyword(readALPN, lambda names: b",".join(names).decode()),
    "path": _Keyword(readPath),
    "asClient": _Keyword(_readYesNo, lambda _: "yes"),
    "timeout": _Keyword(_readTimeout, lambda seconds: repr(seconds).removesuffix(".0")),
    "attempts": _Keyword(_readAttempts),
    "proxyproto": _Keyword(readProxyproto, lambda version: f"v{version}"),
    "via": _Keyword(),
    "to": _Keyword(Target.fromText),
}

_DEFAULTS: Final[Mapping[str, object]] = {name: Hop.__dataclass_fields__[name].default for name in _KEYWORDS}
