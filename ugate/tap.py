# -*- test-case-name: ugate.test.test_tap -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{twistd ugate}: the options, which are one more config store, and the service.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Final

from twisted.application.service import IService
from twisted.internet.endpoints import StandardIOEndpoint, serverFromString
from twisted.logger import Logger
from twisted.python import usage

from ugate.errors import ListenRefused, StringError, UgateError
from ugate.stream import Target
from ugate.tenancy.config.stack import openStores
from ugate.tenancy.config.whole import Config, readConfig

_log: Final = Logger()


class Options(usage.Options):
    """
    What C{twistd ugate} takes.
    """

    synopsis = "[options]"
    longdesc = (
        "Carry streams from one protocol to another. With no options it listens on 127.0.0.1:1080 "
        "for SOCKS4, SOCKS5 and HTTP proxy clients, and connects them from here."
    )
    optFlags: ClassVar = [
        ["check", None, "Check the whole configuration, print its normal form, and end."],
    ]
    optParameters: ClassVar = [
        ["explain", None, None, "Say which rule and which hops a stream to HOST:PORT would take, and end."],
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["config"] = []
        self["listen"] = []
        self["route"] = []

    def opt_config(self, path: str) -> None:
        """
        Read a YAML or JSON file, or all such files of a folder. May be repeated; later ones win.
        """
        self["config"].append(path)

    def opt_listen(self, value: str) -> None:
        """
        NAME=STRING: listen by an endpoint string, as in main=auto:tcp:1080:interface=127.0.0.1.
        May be repeated.
        """
        self["listen"].append(value)

    def opt_route(self, value: str) -> None:
        """
        PATTERN=HOPS: the way of streams to matching targets, as in *.corp=socks:proxy:1080 or *=direct.
        May be repeated; the first that matches wins.
        """
        self["route"].append(value)

    def postOptions(self) -> None:
        """
        Check everything before anything is opened.

        @raise SystemExit: with 1 after the mistakes were printed; with 0 after
            C{--check} or C{--explain} have said what they were asked.
        """
        from twisted.internet import reactor  # the one place that starts from nothing

        try:
            self["read"] = config = self._read(reactor)
            if self["explain"] is not None:
                print("\n".join(explanation(reactor, config, self["explain"])))
            if self["check"]:
                from ugate.tenancy.config.normal import normalForm

                sys.stdout.write(normalForm(config))
        except UgateError as error:
            sys.stderr.write(f"{error}\n")
            raise SystemExit(1) from error
        if self["check"] or self["explain"] is not None:
            raise SystemExit(0)

    def _read(self, reactor: Any) -> Config:
        from ugate.checks import stringChecks

        stores = openStores(self["config"], self["listen"], self["route"])
        config = readConfig(stores, stringChecks(reactor))
        checkWhole(reactor, config)
        return config


def checkWhole(reactor: Any, config: Config) -> None:
    """
    What no single section shows: whether the listeners may start, and whether the
    hops can be made of one another.

    @raise ListenRefused: every listener that may not.
    @raise StringError: a hop or a route that cannot be.
    """
    from ugate.node import listenerEndpoint, tenantFrom
    from ugate.tenancy.egress import OwnListeners

    tenant = tenantFrom(reactor, config, OwnListeners())
    troubles = []
    for name, listener in config.listen.items():
        try:
            listenerEndpoint(tenant, name, listener)
        except (ListenRefused, StringError) as error:
            troubles.append(f"{config.origins.get(('listen', name), name)}: {error}")
    if troubles:
        raise ListenRefused("\n".join(troubles))


def explanation(reactor: Any, config: Config, target: str) -> list[str]:
    """
    The lines of C{--explain}.

    @raise StringError: C{target} is not HOST:PORT.
    """
    from ugate.node import explain, tenantFrom
    from ugate.tenancy.egress import OwnListeners

    return explain(tenantFrom(reactor, config, OwnListeners()), Target.fromText(target))


def speaksOnStdio(reactor: Any, config: Config) -> bool:
    """
    Whether a listener serves its stream on standard input and output.
    """
    from ugate.endpoints.reach import innermost

    endpoints = (serverFromString(reactor, each.endpoint) for each in config.listen.values())
    return any(isinstance(innermost(endpoint), StandardIOEndpoint) for endpoint in endpoints)


def cutBySignal(reactor: Any, cut: Callable[[], object]) -> None:
    """
    While streams are waited for: let the next SIGINT or SIGTERM end the wait, of
    which the reactor would only say that it stops already.

    @param cut: ends the wait.
    """

    def cutNow(number: int, frame: object) -> None:
        reactor.callFromThread(cut)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, cutNow)
    _log.info("another Ctrl-C or SIGTERM cuts them at once")


def makeService(options: Options) -> IService:
    """
    The service of a node; twistd calls it.
    """
    from twisted.internet import reactor  # as above

    from ugate.limits import raiseDescriptorLimit
    from ugate.node import Node
    from ugate.welcome import greet

    def started(node: Node) -> None:
        # Not before the reactor has its signal handlers: who reads the lines may send one.
        reactor.callWhenRunning(greet, node)
        # What is here now stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()

    config: Config = options["read"]
    raiseDescriptorLimit(config.node.streams)
    if speaksOnStdio(reactor, config):
        # The log that twistd is about to begin must not go between the bytes of a stream.
        sys.stdout = sys.stderr
    node: IService = Node(reactor, config, started=started, draining=partial(cutBySignal, reactor))
    return node
