# -*- test-case-name: bench.test_apart -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Network namespaces for contestants that change rules or routes: those of this machine are none of theirs.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from bench.child import SampleFailed, dieWithParent
from bench.contestants import onPath
from bench.dial import HOST

FAR = "203.0.113.5"
"""Where targets are that are on another host."""

NETWORK = "203.0.113.0/24"
"""What leads there."""

LINK = "l0"
"""The link to it."""

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_NAMESPACE = "/proc/self/ns/net"
_LIBC = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


def _call(name: str, *arguments: int) -> None:
    if getattr(_LIBC, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _ip(*arguments: str) -> None:
    done = subprocess.run([onPath("ip"), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SampleFailed(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def _enter() -> None:
    """
    Have a network namespace, with a user namespace if that is what it takes.
    """
    user, group = os.getuid(), os.getgid()
    try:
        _call("unshare", _NEW_NETWORK)
    except PermissionError:
        _call("unshare", _NEW_USER | _NEW_NETWORK)
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    _ip("link", "set", "lo", "up")


def apart(work: Callable[[], T]) -> T:
    """
    Do something in a process with a network namespace of its own, which goes with it.

    @param work: what; what it returns or raises has to be fit for L{pickle}.
    @raise OSError: there can be none here.
    @raise SampleFailed: the process ended.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _tell(work, writing)
    os.close(writing)
    try:
        with open(reading, "rb") as pipe:
            told = pipe.read()
    finally:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
    if not told:
        raise SampleFailed("the process in a network namespace ended")
    isGood, value = pickle.loads(told)
    if isGood:
        return value  # type: ignore[no-any-return]
    raise value


def _tell(work: Callable[[], object], writing: int) -> None:
    """
    Be that process, to its end.
    """
    try:
        dieWithParent()
        try:
            _enter()
            told = True, work()
        except (OSError, SampleFailed) as error:
            told = False, error
        except Exception as error:
            told = False, SampleFailed(repr(error))
        with open(writing, "wb") as pipe:
            pickle.dump(told, pipe)
    finally:
        os._exit(0)


@cache
def cannot() -> str:
    """
    @return: why there are no network namespaces here; empty if there are.
    """
    if not onPath("ip"):
        return "no ip: apt install iproute2"
    try:
        apart(lambda: None)
    except (OSError, SampleFailed) as error:
        return f"it needs a network namespace, as root or with user namespaces: {error}"
    return ""


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where targets are.
    """

    host: str = HOST
    """Their address."""

    namespace: int = -1
    """The descriptor of their network namespace, if it is not ours."""

    @contextmanager
    def entered(self) -> Iterator[None]:
        """
        Start processes there.
        """
        if self.namespace < 0:
            yield
            return
        here = os.open(_NAMESPACE, os.O_RDONLY)
        _call("setns", self.namespace, _NEW_NETWORK)
        try:
            yield
        finally:
            _call("setns", here, _NEW_NETWORK)
            os.close(here)


@contextmanager
def linked() -> Iterator[Place]:
    """
    Another host, on a link to this one, by which alone it is reached; for L{apart}.
    """
    here = os.open(_NAMESPACE, os.O_RDONLY)
    _call("unshare", _NEW_NETWORK)
    place = Place(FAR, os.open(_NAMESPACE, os.O_RDONLY))
    _call("setns", here, _NEW_NETWORK)
    os.close(here)
    peer = ("peer", "name", LINK, "netns", f"/proc/{os.getpid()}/fd/{place.namespace}")
    try:
        _ip("link", "add", LINK, "type", "veth", *peer)
        with place.entered():
            _ip("link", "set", "lo", "up")
            _ip("address", "add", f"{FAR}/32", "dev", "lo")
            _ip("address", "add", "192.0.2.2/24", "dev", LINK)
            _ip("link", "set", LINK, "up")
        _ip("address", "add", "192.0.2.1/24", "dev", LINK)
        _ip("link", "set", LINK, "up")
        _ip("route", "add", "default", "via", "192.0.2.2")
        yield place
    finally:
        os.close(place.namespace)


def leads(device: str) -> bool:
    """
    @return: whether what is for L{FAR} goes into a device.
    """
    asked = [onPath("ip"), "route", "get", FAR]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return f" {device} " in done.stdout
