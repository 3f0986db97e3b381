# -*- test-case-name: ugate.test.interop -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Real processes for tests: C{twistd ugate} as a user starts it, and the programs of others, each with a
deadline and each ended when its test is over.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import ugate

HOST = "127.0.0.1"
LOOPBACK = f"interface={HOST}"

DEADLINE = 30.0
"""Seconds that one thing may take on a busy machine."""

CHECKOUT = Path(ugate.__file__).resolve().parents[1]
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/sbin"])
_GRACE = 3.0
_LOW, _HIGH = 10240, 32767
_TAKEN = (1080, 2024)
_BAD = ("Traceback (most recent call last)", "Unhandled error", "Unhandled Error", "Task was destroyed")


class Late(AssertionError):
    """
    Something did not happen in time.
    """


def program(name: str, package: str = "") -> str:
    """
    The path of a program that a test needs.

    @param package: what to install, if it has another name.
    @raise SkipTest: it is not here.
    """
    path = shutil.which(name, path=_PATH)
    if path is None:
        raise SkipTest(f"no {name} here: install {package or name}")
    return path


def needDescriptors(count: int) -> None:
    """
    Let this process have so many descriptors.

    @raise SkipTest: it may not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise SkipTest(f"only {hard} descriptors here, and {count} are needed: ulimit -Hn raises it")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def freePort(host: str = HOST) -> int:
    """
    A port that nothing uses, below those that the system gives out for connections.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(200):
        port = random.randint(_LOW, _HIGH)
        if port in _TAKEN:
            continue
        with socket.socket(family) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise Late("no free port")


def waitUntil(condition: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """
    Ask again and again.

    @return: the first answer that is true.
    @raise Late: there was none in time.
    """
    until = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > until:
            raise Late(f"not within {seconds:g} s: {what}")
        time.sleep(0.01)


def accepts(port: int, host: str = HOST) -> bool:
    """
    Whether something listens there.
    """
    try:
        socket.create_connection((host, port), DEADLINE).close()
    except OSError:
        return False
    return True


def localName() -> str:
    """
    A name for L{HOST} and nothing else: C{localhost}, but where that is another address as
    well, as Debian has it, the address itself.
    """
    found = {each[4][0] for each in socket.getaddrinfo("localhost", None)}
    return "localhost" if found == {HOST} else HOST


def hasIPv6() -> bool:
    """
    Whether this machine has C{::1}.
    """
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """
    The variables of a process: those of this one, without what says how to reach the network.
    """
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    # Where our own modules are comes first, whatever is installed beside.
    path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH", "")]))
    return {**kept, "PATH": _PATH, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **(changes or {})}


def twistd(*arguments: str) -> list[str]:
    """
    The command line of C{twistd ARGUMENTS} in this Python.
    """
    script = Path(sys.executable).with_name("twistd")
    if script.exists():
        return [str(script), *arguments]
    return [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", *arguments]


@dataclass
class Child:
    """
    A process with its output in a file.
    """

    process: subprocess.Popen[bytes]
    """The process."""

    log: Path
    """What it prints."""

    @property
    def pid(self) -> int:
        """Its id."""
        return self.process.pid

    def said(self) -> str:
        """
        What it has printed so far.
        """
        return self.log.read_text("utf-8", "replace")

    def waitFor(self, text: str, seconds: float = DEADLINE) -> str:
        """
        Wait until it has printed something.

        @return: all that it has printed.
        """
        try:
            waitUntil(lambda: text in self.said() or self.process.poll() is not None, text, seconds)
        except Late as late:
            raise Late(f"{late}; it said:\n{self.said()}") from late
        said = self.said()
        if text not in said:
            raise AssertionError(f"it ended with {self.process.returncode} and said:\n{said}")
        return said

    def wait(self, seconds: float = DEADLINE) -> int:
        """
        Wait until it ends.

        @return: its exit status.
        """
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired as late:
            raise Late(f"it did not end within {seconds:g} s; it said:\n{self.said()}") from late

    def kill(self) -> None:
        """
        End it at once: it cannot say a word to anybody.
        """
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """
        End it, the hard way if need be.
        """
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self.kill()


@dataclass
class Gateway(Child):
    """
    A C{twistd ugate} that is up.
    """

    ports: dict[str, int] = field(default_factory=dict)
    """The ports that its listeners have, by their names."""

    @property
    def port(self) -> int:
        """The port of the listener C{main}."""
        return self.ports["main"]

    def url(self, scheme: str, login: str = "") -> str:
        """
        The listener C{main} as the URL of a proxy.
        """
        return f"{scheme}://{login}{'@' if login else ''}{HOST}:{self.port}"

    def descriptors(self) -> int:
        """
        How many descriptors it has.
        """
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident(self) -> int:
        """
        Its resident memory, in KiB.
        """
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    def end(self) -> None:
        """
        End it without a drain.
        """
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def _listeners(said: str) -> Iterator[tuple[str, int]]:
    for line in said.splitlines():
        name, found, where = line.partition(": listening on ")
        if found:
            port = where.rpartition(":")[2]
            yield name, int(port) if port.isdigit() else 0


class InteropTestCase(SynchronousTestCase):
    """
    A test with processes.  It has a directory of its own, and is cut off after C{limit} seconds.
    """

    limit = 60.0

    def setUp(self) -> None:
        """
        Start the clock.
        """
        self.directory = Path(tempfile.mkdtemp(prefix="ug-"))
        self.addCleanup(shutil.rmtree, self.directory, True)
        self._children = 0

        def expired(number: int, frame: FrameType | None) -> NoReturn:
            raise Late(f"the test took more than {self.limit:g} s")

        before = signal.signal(signal.SIGALRM, expired)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, self.limit)
        self.addCleanup(signal.setitimer, signal.ITIMER_REAL, 0)

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        """
        Make a file in the directory of the test.
        """
        path = self.directory / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def spawn(self, argv: Sequence[str | Path], env: Mapping[str, str] | None = None, **more: Any) -> Child:
        """
        Start a process that ends with the test.
        """
        self._children += 1
        log = self.directory / f"{self._children}-{Path(argv[0]).name}.log"
        with log.open("wb") as out:
            options = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": subprocess.STDOUT, **more}
            process = subprocess.Popen(argv, env=environment(env), cwd=self.directory, **options)
        child = Child(process, log)
        self.addCleanup(child.end)
        return child

    def serve(self, argv: Sequence[str | Path], port: int, env: Mapping[str, str] | None = None) -> Child:
        """
        Start a process that listens, and wait until it does.
        """
        child = self.spawn(argv, env)
        waitUntil(lambda: accepts(port) or child.process.poll() is not None, f"{argv[0]} on {port}")
        if child.process.poll() is not None:
            raise AssertionError(f"{argv[0]} ended with {child.process.returncode}: {child.said()}")
        return child

    def finish(
        self, argv: Sequence[str | Path], data: bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """
        Run a program to its end.

        @param data: its standard input.
        @raise Late: it does not end.
        """
        try:
            return subprocess.run(
                argv,
                input=data,
                capture_output=True,
                timeout=self.limit / 2,
                env=environment(env),
                cwd=self.directory,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise Late(f"{late}: {late.stdout!r} {late.stderr!r}") from late

    def ugate(
        self,
        *arguments: str,
        config: str = "",
        listen: str = f"auto:tcp:0:{LOOPBACK}",
        env: Mapping[str, str] | None = None,
        inside: Callable[..., list[str]] = lambda *argv: [*argv],
    ) -> Gateway:
        """
        Start C{twistd ugate} and wait until it listens; in the end nothing unexpected may be in its log.

        @param arguments: more options.
        @param config: the text of a configuration file; it has the listeners.
        @param listen: the listener C{main}, unless there is a configuration.
        @param inside: makes of a command line another one, which runs it elsewhere.
        """
        options = [*arguments]
        if config:
            path = self.write(f"gate-{self._children}.yaml", config)
            options += ["--config", str(path)]
        if listen and not config:
            options += ["--listen", f"main={listen}"]
        child = self.spawn(inside(*twistd("-n", "--pidfile=", "ugate", *options)), env)
        gateway = Gateway(child.process, child.log)
        self.addCleanup(self._checkLog, gateway)
        # Cleanups run last in, first out: ended before its log is read.
        self.addCleanup(gateway.end)
        gateway.ports.update(_listeners(gateway.waitFor("listening on")))
        return gateway

    def _checkLog(self, gateway: Gateway) -> None:
        said = gateway.said()
        for bad in _BAD:
            if bad in said:
                raise AssertionError(f"{bad!r} in the log:\n{said[-8000:]}")
