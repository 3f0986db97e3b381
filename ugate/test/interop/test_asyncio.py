# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A node whose module uses asyncio.
"""

from __future__ import annotations

import os

from ugate.test.interop.asking import connected, socks5
from ugate.test.interop.processes import CHECKOUT, HOST, twistd
from ugate.test.interop.targets import StreamServer, echo, readExactly
from ugate.test.interop.test_admin import CONFIG, AdminCase

MODULE = """\
import asyncio
from typing import Any

from msgspec import Struct
from zope.interface import implementer

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from ugate.interfaces import IModule, IServesHTTP


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Page(Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> int:
        async def answer() -> bytes:
            await asyncio.sleep(0.01)
            return type(asyncio.get_running_loop()).__name__.encode()

        def done(name: bytes) -> None:
            request.write(name)
            request.finish()

        Deferred.fromFuture(asyncio.ensure_future(answer())).addCallback(done)
        return NOT_DONE_YET


@implementer(IServesHTTP)
class Sleeping(Service):
    isPublic = True

    def resource(self) -> Page:
        return Page()


class SleeperModule:
    schema = Section

    def makeService(self, tenant: Any, name: str, section: Section) -> Sleeping:
        return Sleeping()
"""

PLUGIN = """\
from ugate.modules.lazy import LazyModule

sleeper = LazyModule("sleeper", "ugate_sleeper:SleeperModule", asyncio=True)
"""


class AsyncioTests(AdminCase):
    """
    C{twistd ugate} with a module that needs asyncio.
    """

    def test_chosen(self) -> None:
        """
        Its tasks run and streams pass; where another reactor was asked for, the start ends with a sentence.
        """
        package = self.directory / "site"
        plugins = package / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        (package / "ugate_sleeper.py").write_text(MODULE)
        (plugins / "ugate_sleeper_plugin.py").write_text(PLUGIN)
        env = {"PYTHONPATH": os.pathsep.join([str(package), str(CHECKOUT)])}
        self.start(CONFIG + "sleeper: {{late: {{}}}}\n", env)
        self.assertIn(b"EventLoop", self.ask("/modules/sleeper/late/").body)
        with connected(self.gate.port) as stream:
            socks5(stream, HOST, StreamServer(self, echo).port)
            stream.sendall(b"as it is")
            self.assertEqual(b"as it is", readExactly(stream, 8))
        asked = twistd("--reactor=poll", "ugate", "--check", "--config", str(self.config))
        done = self.finish(asked, env=env)
        self.assertEqual(1, done.returncode)
        wanted = "sleeper.late: it needs the reactor of asyncio, and the node runs on PollReactor"
        self.assertIn(wanted, done.stderr.decode())
