# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{ssh:} with asyncssh on either side.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from typing import Any

from ugate.test.interop.asking import connected
from ugate.test.interop.processes import DEADLINE, HOST, LOOPBACK, Gateway, freePort
from ugate.test.interop.sshlibraries import DATA, NAME, LibraryTestCase, answered
from ugate.test.interop.sshpeers import package
from ugate.test.interop.targets import StreamServer, readAll

REKEY = 1 << 20
"""Bytes after which new keys are wanted."""


class AsyncSSHTests(LibraryTestCase):
    """
    asyncssh, on either side.
    """

    def setUp(self) -> None:
        super().setUp()
        self.asyncssh = package("asyncssh")

    def test_client(self) -> None:
        """
        By each kind of key, a certificate and a password it gets in, and by no others; what it sends and gets
        is whole while it wants new keys all the time, also on four streams at once, and what comes for a name
        that it publishes.
        """
        gateway = self.closedGate()
        asyncio.run(self._comes(gateway))
        self.assertLogged(gateway)

    def _connect(self, port: int, **ways: Any) -> Any:
        ways = {"client_keys": None, "rekey_bytes": REKEY, "login_timeout": DEADLINE, **ways}
        alone = {"known_hosts": None, "config": None, "agent_path": None}
        return self.asyncssh.connect(HOST, port, username="bob", **alone, **ways)

    async def _comes(self, gateway: Gateway) -> None:
        port = gateway.port
        certificate = (str(self.certified), f"{self.certified}-cert.pub")
        ways: list[tuple[dict[str, Any], str]]
        ways = [({"client_keys": [str(key)]}, "key") for key in self.keys]
        ways += [({"client_keys": [certificate]}, "certificate"), ({"password": "secret"}, "password")]
        for way, means in ways:
            async with self._connect(port, **way) as client:
                done = await client.run("status")
                self.assertEqual(0, done.exit_status)
                self.assertIn(f"You are bob ({means})", done.stdout)
        async with self._connect(port, **ways[0][0]) as client:
            for answer in await asyncio.gather(*(self._asks(client) for _ in range(4))):
                self.assertAnswer(answer)
            with self.assertRaises(self.asyncssh.ChannelOpenError) as caught:
                await client.open_connection(HOST, freePort())
            self.assertEqual((2, "connection refused"), (caught.exception.code, caught.exception.reason))
            listening = await client.forward_remote_port(NAME, 80, HOST, self.server.port)
            await asyncio.to_thread(self.assertVisited, gateway)
            listening.close()
            await listening.wait_closed()
            self.assertNotEqual(b"200", (await asyncio.to_thread(self.visit, gateway))[:3])
            await self._paths(client)
        for wrong in ({"client_keys": [str(self.stranger)]}, {"password": "wrong"}):
            with self.assertRaises(self.asyncssh.PermissionDenied):
                await self._connect(port, **wrong)

    async def _paths(self, client: Any) -> None:
        """
        UNIX sockets of the gate, which it asks for, and which it has made.
        """
        app, published = f"{self.directory}/app.sock", f"{self.directory}/published.sock"

        async def served(reader: Any, writer: Any) -> None:
            writer.write(await reader.read())
            writer.close()

        async with await asyncio.start_unix_server(served, app):
            self.assertTrue(await self._says(await client.open_unix_connection(app)) == DATA)
            listening = await client.forward_remote_path(published, app)
            self.assertTrue(await self._says(await asyncio.open_unix_connection(published)) == DATA)
            listening.close()
            await listening.wait_closed()
            self.assertFalse(os.path.exists(published))
            for path, code in ((published, 2), ("/run/x", 1), (f"{self.directory}/../x", 2)):
                with self.assertRaises(self.asyncssh.ChannelOpenError) as caught:
                    await client.open_unix_connection(path)
                self.assertEqual(code, caught.exception.code, path)

    async def _asks(self, client: Any) -> bytes:
        return await self._says(await client.open_connection(HOST, self.server.port))

    async def _says(self, connection: tuple[Any, Any]) -> bytes:
        reader, writer = connection
        writer.write(DATA)
        writer.write_eof()
        answer: bytes = await reader.read()
        writer.close()
        return answer

    def test_server(self) -> None:
        """
        Its server is a hop for us, by a key, a certificate and a password, also where it only asks for that;
        new keys are exchanged all the time, and what it refuses is refused with its words.
        """
        *served, other = targets = [*(StreamServer(self, answered).port for _ in range(4)), freePort()]
        asked = self._hop(served)
        gateway = self._by(targets)
        for each in served:
            with connected(gateway.ports[f"to{each}"]) as connection:
                connection.sendall(DATA)
                connection.shutdown(socket.SHUT_WR)
                self.assertAnswer(readAll(connection))
        with connected(gateway.ports[f"to{other}"]) as connection:
            self.assertEqual(b"", connection.recv(1))
        gateway.waitFor("not from here")
        self.assertEqual([(HOST, each) for each in targets], asked)

    def _by(self, targets: list[int]) -> Gateway:
        """
        A gateway with a way in for each target, by the same hop in another way.
        """
        known = self.write("hosts", f"[{HOST}]:{self.port} {self.publicOf(self.stranger)}")
        place = f"{HOST}:{self.port}:known={known}"
        key, word = f"bob@{place}:key={self.keys[0]}", self.write("word", "secret\n")
        ways = (
            key,
            f"bob@{place}:key={self.certified}",
            *(f"{name}@{place}:passwordFile={word}" for name in ("bob", "eve")),
        )
        lines = ["listen:"]
        lines += [f"  to{each}: 'forward:tcp:0:{LOOPBACK}:to={HOST}\\:{each}'" for each in targets]
        lines += ["routes:"]
        for each, way in zip(targets, (*ways, key), strict=True):
            lines += [f"  - {{match: '{HOST}:{each}', via: 'ssh:{way}'}}"]
        return self.ugate("--state", str(self.directory / "state"), config="\n".join([*lines, ""]))

    def _hop(self, targets: list[int]) -> list[tuple[str, int]]:
        """
        A server that leads to some targets.

        @return: what it is asked for.
        """
        asked: list[tuple[str, int]] = []
        refusal = self.asyncssh.ChannelOpenError(1, "not from here")

        class Server(self.asyncssh.SSHServer):  # type: ignore[name-defined,misc]
            def begin_auth(self, username: str) -> bool:
                self.isAsking = username == "eve"
                return True

            def password_auth_supported(self) -> bool:
                return not self.isAsking

            def validate_password(self, username: str, password: str) -> bool:
                return password == "secret"

            def kbdint_auth_supported(self) -> bool:
                return bool(self.isAsking)

            def get_kbdint_challenge(self, *asked: str) -> Any:
                return "", "", "", [("Password: ", False)]

            def validate_kbdint_response(self, username: str, responses: list[str]) -> bool:
                return responses == ["secret"]

            def connection_requested(self, host: str, port: int, *origin: Any) -> bool:
                asked.append((host, port))
                if port not in targets:
                    raise refusal
                return True

        authority = f'cert-authority,principals="bob" {self.publicOf(self.authority)}'
        self.port = freePort()
        self._serves(
            Server,
            self.port,
            server_host_keys=[str(self.stranger)],
            authorized_client_keys=str(self.write("authorized", self.publicOf(self.keys[0]) + authority)),
            rekey_bytes=REKEY,
        )
        return asked

    def _serves(self, server: Any, port: int, **options: Any) -> None:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()

        def call(what: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(what, loop).result(DEADLINE)

        async def begins() -> Any:
            return await self.asyncssh.create_server(server, HOST, port, **options)

        listening = call(begins())

        async def ends() -> None:
            listening.close()
            for each in asyncio.all_tasks() - {asyncio.current_task()}:
                each.cancel()

        def stop() -> None:
            call(ends())
            loop.call_soon_threadsafe(loop.stop)
            thread.join(DEADLINE)
            loop.close()

        self.addCleanup(stop)
