# -*- test-case-name: ugate.test.test_tap,ugate.test.test_tap_service -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{twistd ugate}: the options, which are one more config store, and the service.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, Final

from twisted.application.service import IService
from twisted.internet.endpoints import StandardIOEndpoint, serverFromString
from twisted.logger import Logger
from twisted.plugin import getPlugins
from twisted.python import usage

from ugate.errors import ListenRefused, StringError, UgateError, suggestion
from ugate.interfaces import IModule, IStoreModule
from ugate.reactors import chooseReactor
from ugate.stream import ROOT, Target
from ugate.tenancy.config.kinds import kindsOf
from ugate.tenancy.config.stack import openStores
from ugate.tenancy.config.whole import Config, readConfigs
from ugate.tenancy.usage import ForgottenUsage, Usage, UsageFile

_log: Final = Logger()

_YOUNG: Final = 10000
"""New objects after which the collector looks for rings among them: a stream leaves few, and it costs."""


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
        ["state", None, "", "A folder for what outlives the process, such as the node's key: node.state."],
        ["tenant", None, ROOT, "The path of the tenant that --explain is about."],
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["config"] = []
        self["listen"] = []
        self["route"] = []

    @property
    def reactor(self) -> Any:
        """
        What the node will run on.
        """
        from twisted.internet import reactor  # the one place that starts from nothing

        return reactor

    def opt_config(self, path: str) -> None:
        """
        Read a YAML or JSON file, or all such files of a folder. May be repeated; later ones win.
        """
        self["config"].append(path)

    def opt_listen(self, value: str) -> None:
        """
        NAME=STRING: listen by an endpoint string, as in main=auto:tcp:1080:interface=127.0.0.1. Repeatable.
        """
        self["listen"].append(value)

    def opt_route(self, value: str) -> None:
        """
        PATTERN=HOPS: the way to matching targets, as in *.corp=socks:proxy:1080. Repeatable; the first wins.
        """
        self["route"].append(value)

    def parseArgs(self, *more: str) -> None:
        """
        There is nothing beside the options; mostly it is a file.
        """
        if more:
            raise usage.UsageError(f"{more[0]!r} is no option; wanted --config {more[0]}, if it is a file")

    def postOptions(self) -> None:
        """
        Check everything before anything is opened.

        @raise SystemExit: with 1 after the mistakes were printed; with 0 after
            C{--check} or C{--explain} have said what they were asked.
        """
        try:
            configs = self._read()
            if self["explain"] is not None:
                lines = explanation(self.reactor, configs, self["explain"], self["tenant"])
                print("\n".join(lines))
            if self["check"]:
                from ugate.tenancy.config.normal import normalForm

                sys.stdout.write(normalForm(configs))
        except UgateError as error:
            sys.stderr.write(f"{error}\n")
            raise SystemExit(1) from error
        if self["check"] or self["explain"] is not None:
            raise SystemExit(0)
        if self.parent is not None:
            for mistake in unwritable(self.parent):
                sys.stderr.write(f"{mistake}\n")
                raise SystemExit(1)

    def _read(self) -> Mapping[str, Config]:
        from ugate.checks import stringChecks

        self["modules"] = modules = list(getPlugins(IModule))
        kinds = kindsOf(modules)
        stores = getPlugins(IStoreModule)
        self["store"] = store = openStores(
            self["config"],
            self["listen"],
            self["route"],
            kinds,
            stores,
            os.path.abspath(self["state"]) if self["state"] else "",
        )
        chooseReactor(store, modules)
        reactor = self.reactor
        self["reading"] = partial(readConfigs, store, stringChecks(reactor), kinds)
        configs: Mapping[str, Config] = self["reading"]()
        self["configs"] = configs
        self["read"] = configs[ROOT]
        checkWhole(reactor, configs, modules)
        return configs


def unwritable(given: Mapping[str, Any]) -> Iterator[str]:
    """
    What twistd itself could not write, of which it would make a traceback.

    @param given: its own options.
    @return: a sentence each.
    """
    daemon = not given.get("nodaemon")
    log = given.get("logfile") or ("twistd.log" if daemon and not given.get("syslog") else "-")
    hasPid = given.get("pidfile") and not given.get("chroot")
    pid = os.path.join(given.get("rundir") or ".", given["pidfile"]) if hasPid else "-"
    for path, advice in (
        (pid, "twistd --pidfile= writes none"),
        (log, "name another with twistd --logfile=FILE"),
    ):
        folder = os.path.dirname(path) or "."
        if path != "-" and not os.access(path if os.path.exists(path) else folder, os.W_OK):
            trouble = "it may not be written" if os.path.isdir(folder) else "there is no such folder"
            yield f"{os.path.abspath(path)}: {trouble}; go to another folder, or {advice}"


def checkWhole(reactor: Any, configs: Mapping[str, Config], modules: Iterable[IModule] = ()) -> None:
    """
    What no single section shows: whether the listeners may start, and whether the
    hops can be made of one another.

    @raise ListenRefused: every listener that may not.
    @raise UgateError: a hop or a route that cannot be.
    """
    from ugate.node import Node

    troubles = Node(reactor, configs, modules=modules).mistakes()
    if troubles:
        raise ListenRefused("\n".join(troubles))


def explanation(reactor: Any, configs: Mapping[str, Config], target: str, tenant: str = ROOT) -> list[str]:
    """
    The lines of C{--explain}.

    @param tenant: the path of the tenant whose listener the stream comes in by.
    @raise StringError: C{target} is not HOST:PORT, or there is no such tenant.
    """
    from ugate.explaining import explainListed
    from ugate.node import Node, explain

    known = Node(reactor, configs).tenants
    if tenant not in known:
        raise StringError(f"there is no tenant {tenant!r}{suggestion(tenant, known)}")
    wanted = Target.anyFromText(target, paths=True)
    listeners = configs[tenant].listen
    return [*explain(known[tenant], wanted), *explainListed(known[tenant], wanted, listeners)]


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


def handleSignals(reactor: Any, node: Any, isTerminal: Callable[[], bool] = lambda: os.isatty(0)) -> None:
    """
    Let SIGHUP reload, and SIGTERM end the process as a success: by Twisted's own way
    it would end by that signal, after the streams have had their time.

    SIGHUP says also that the terminal is gone where all of this was started, and then it
    stops; and whoever uses standard input as a stream, as ssh does, ends it so.

    @param reactor: runs, so that it has its own handlers already.
    @param isTerminal: whether standard input is one, which it is not any more when that is gone.
    """
    began = isTerminal()

    def hungUp(number: int, frame: object) -> None:
        if began and not isTerminal():
            reactor.callFromThread(ended)
        else:
            reactor.callFromThread(node.reload, "SIGHUP")

    def stop(number: int, frame: object) -> None:
        reactor.callFromThread(ended)

    told: list[bool] = []

    def ended() -> None:
        # Two may come at once, as a supervisor sends them to a process and to its group.
        if not told and reactor.running:
            told.append(True)
            _log.info("told to stop")
            reactor.stop()

    if not node.stdio:
        signal.signal(signal.SIGHUP, hungUp)
    signal.signal(signal.SIGTERM, stop)


def makeService(options: Options) -> IService:
    """
    The service of a node; twistd calls it.
    """
    from ugate.limits import raiseDescriptorLimit
    from ugate.node import Node
    from ugate.welcome import greet

    def running(node: Node) -> None:
        # Before the lines: who reads them may send a signal.
        handleSignals(reactor, node)
        greet(node)

    def started(node: Node) -> None:
        given = (each for config in node.configs.values() for each in config.tenants.values())
        if any(each.limits.month is not None for each in given):
            usage.claim()
        # Not before the reactor has its signal handlers.
        reactor.callWhenRunning(running, node)
        # What is here now stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])

    reactor = options.reactor
    config: Config = options["read"]
    raiseDescriptorLimit(config.node.streams)
    if speaksOnStdio(reactor, config):
        # The log that twistd is about to begin must not go between the bytes of a stream.
        sys.stdout = sys.stderr
    usage = usageOf(reactor, config)
    node: IService = Node(
        reactor,
        options["configs"],
        started=started,
        draining=partial(cutBySignal, reactor),
        store=options["store"],
        read=options["reading"],
        modules=options["modules"],
        usage=usage,
    )
    if config.node.log == "json" and options.parent is not None:
        from ugate.logs import JsonLogged

        return JsonLogged(node, options.parent)
    return node


def usageOf(reactor: Any, config: Config) -> Usage:
    """
    What keeps the bytes of the month: a file, if there is a folder for it.
    """
    folder = config.node.state or os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if not folder:
        return ForgottenUsage()
    return UsageFile(os.path.join(folder, "usage.json"), reactor, inThread=reactor.callInThread)
