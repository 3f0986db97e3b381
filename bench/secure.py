# -*- test-case-name: bench.test_contestants -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
TLS as the rows in TLS need it: a certificate for those who end it, and clients that cost little.

Who speaks to whom is not what these rows measure, so clients believe everybody.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

from bench.contestants import RELAY, SNI, TLS
from bench.dial import HOST, DialFailed, Way, exactly

NAME = "localhost"
"""The name that clients ask for; it has to resolve, since what passes through goes there."""

_MAKE = (
    "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
    "-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},IP:{HOST}",
)  # fmt: skip


def certificate(directory: Path) -> tuple[Path, Path]:
    """
    A P-256 certificate and its key, made when they are first asked for.

    @param directory: where they are kept.
    @return: the file of the certificate, and that of the key.
    @raise OSError: if there is no openssl program.
    @raise subprocess.CalledProcessError: if it fails.
    """
    made, key = directory / "cert.pem", directory / "key.pem"
    if not made.exists():
        subprocess.run([*_MAKE, "-keyout", str(key), "-out", str(made)], capture_output=True, check=True)
    return made, key


def believing() -> ssl.SSLContext:
    """
    @return: what makes clients of TLS 1.3, as curl or a browser would, that believe everybody.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def nameOf(front: str, target: str) -> str:
    """
    @param front: what stands before a target: see L{bench.contestants}.
    @param target: the target's name.
    @return: the name that clients ask for.
    """
    return f"{target}.bench.example" if front == RELAY else NAME


def greeting(front: str = SNI, target: str = "") -> bytes:
    """
    @param front: what stands before a target.
    @param target: the target's name.
    @return: a ClientHello that asks for it: all that is read of TLS that passes through; for other fronts,
        nothing.
    """
    if front not in (SNI, RELAY):
        return b""
    out = ssl.MemoryBIO()
    shaking = believing().wrap_bio(ssl.MemoryBIO(), out, server_hostname=nameOf(front, target))
    try:
        shaking.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def opener(context: ssl.SSLContext, way: Way) -> Callable[[ssl.SSLSession | None], ssl.SSLSocket]:
    """
    @param context: what L{believing} made.
    @param way: a port that ends TLS.
    @return: opens a stream with a handshake, a short one if there is a session to go on with.
    """

    def opened(session: ssl.SSLSession | None) -> ssl.SSLSocket:
        return context.wrap_socket(way.open(), server_hostname=NAME, session=session)

    return opened


def leave(stream: ssl.SSLSocket) -> None:
    """
    Say in TLS that this was all, and go, as clients do that have their answer.

    @param stream: one that is up.
    """
    stream.setblocking(False)
    try:
        stream.unwrap()
    except (ssl.SSLWantReadError, OSError):
        # Whether the other side says goodbye, too, is not waited for.
        pass
    stream.close()


def echoed(front: str, way: Way, message: bytes) -> bytes:
    """
    Send something to the echo target.

    @param front: what stands before it: see L{bench.contestants}.
    @param way: the way there.
    @param message: what to send.
    @return: what came back.
    @raise OSError: it does not accept.
    @raise DialFailed: it refuses, or ends too early.
    """
    before = greeting(front, "echo")
    with opener(believing(), way)(None) if front == TLS else way.open() as stream:
        stream.sendall(before + message)
        back = exactly(stream, len(before + message))
    if not back.startswith(before):
        raise DialFailed("the ClientHello came through changed")
    return back[len(before) :]


def raw(stream: ssl.SSLSocket) -> socket.socket:
    """
    The connection below TLS, of which nothing is read any more but how much comes.

    @param stream: one that is up.
    @return: a socket.
    """
    return socket.socket(fileno=stream.detach())
