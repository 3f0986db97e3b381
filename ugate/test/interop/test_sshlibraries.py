# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{ssh:} with what programs speak SSH by, in the place of C{ssh}: asyncssh, paramiko, and ssh2 of node.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from ugate.test.interop.processes import DEADLINE, HOST, LOOPBACK, Gateway, freePort, program
from ugate.test.interop.sshpeers import KINDS, SSHTestCase, package
from ugate.test.interop.targets import BLOCK, MEGABYTE, StreamServer, readAll, readExactly

DATA = BLOCK * 5
"""What goes each way."""

ANSWER = hashlib.sha256(DATA).hexdigest().encode() + DATA
REKEY = 1 << 20
"""Bytes after which a library wants new keys."""

_NODE = """
const {Client} = require('ssh2'), fs = require('fs'), crypto = require('crypto');
const [port, target, closed, size, ways] = JSON.parse(process.argv[2]);
const say = (...what) => console.log(JSON.stringify(what));
const block = fs.readFileSync(0), data = Buffer.concat(Array(size).fill(block));
function carry(client, then) {
  client.forwardOut('127.0.0.1', 0, '127.0.0.1', target, (error, stream) => {
    const seen = crypto.createHash('sha256');
    let count = 0;
    stream.on('data', (some) => { seen.update(some); count += some.length; });
    stream.on('close', () => { say('carried', count, seen.digest('hex')); then(); });
    stream.end(data);
  });
}
function next() {
  if (!ways.length) return;
  const way = ways.shift(), client = new Client();
  if (way.privateKey) way.privateKey = fs.readFileSync(way.privateKey);
  client.on('error', (error) => say('error', error.level));
  client.on('close', next);
  client.on('ready', () => client.exec('status', (error, stream) => {
    let said = '', status;
    stream.on('data', (some) => { said += some; });
    stream.on('exit', (code) => { status = code; });
    stream.on('close', () => {
      say('status', status, said.split(',')[0]);
      if (ways.length) return client.end();
      carry(client, () => client.forwardOut('127.0.0.1', 0, '127.0.0.1', closed, (error) => {
        say('refused', error.reason);
        client.end();
      }));
    });
  }));
  client.connect({host: '127.0.0.1', port, username: 'bob', ...way});
}
next();
"""


def answered(connection: socket.socket) -> None:
    """
    A function for L{StreamServer}: when all has come, says what that was, and much more.
    """
    connection.sendall(hashlib.sha256(readAll(connection)).hexdigest().encode() + DATA)


class LibraryTestCase(SSHTestCase):
    """
    What these have in common: a server, and bob with keys, a certificate and a password.
    """

    def setUp(self) -> None:
        """
        Make the keys.
        """
        super().setUp()
        self.server = StreamServer(self, answered)
        self.keys = [self.key(f"k{kind}", kind) for kind in KINDS]
        self.certified, self.stranger, self.authority = map(self.key, ("certified", "stranger", "ca"))
        command = [self.keygen, "-q", "-s", str(self.authority), "-I", "x", "-n", "bob"]
        command.append(f"{self.certified}.pub")
        self.assertEqual(0, self.finish(command).returncode)

    def publicOf(self, key: Path) -> str:
        """
        The public half of a key, as bob's.
        """
        return " ".join([*key.with_suffix(".pub").read_text().split()[:2], "bob\n"])

    def closedGate(self) -> Gateway:
        """
        A gateway that lets bob in.
        """
        from ugate.tenancy.passwordhashes import PasswordHash

        lines = [*map(self.publicOf, self.keys), f"cert-authority {self.publicOf(self.authority)}"]
        keys = self.write("keys", "".join(lines))
        users = self.write("users", f"bob:{PasswordHash.ofPassword(b'secret', 10)}\n")
        return self.gate(f"policy: {{keys: {keys}, users: {users}, rules: [{{action: allow}}]}}\n")

    def assertAnswer(self, got: bytes) -> None:
        """
        It is what the server answers to all that it was sent.
        """
        self.assertEqual((len(ANSWER), True), (len(got), got == ANSWER))

    def assertLogged(self, gateway: Gateway) -> None:
        """
        The log has the stream that was carried, and who did not get in.
        """
        gateway.waitFor(f"bob: {len(DATA)} sent, {len(ANSWER)} received")
        gateway.waitFor("'bob' is not let in by a password: nobody has it")


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
        is whole while it wants new keys all the time, also on ten streams at once.
        """
        gateway = self.closedGate()
        asyncio.run(self._comes(gateway.port))
        self.assertLogged(gateway)

    def _connect(self, port: int, **ways: Any) -> Any:
        ways = {"client_keys": None, "rekey_bytes": REKEY, "login_timeout": DEADLINE, **ways}
        alone = {"known_hosts": None, "config": None, "agent_path": None}
        return self.asyncssh.connect(HOST, port, username="bob", **alone, **ways)

    async def _comes(self, port: int) -> None:
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
            for answer in await asyncio.gather(*(self._asks(client) for _ in range(10))):
                self.assertAnswer(answer)
            with self.assertRaises(self.asyncssh.ChannelOpenError) as caught:
                await client.open_connection(HOST, freePort())
            self.assertEqual((2, "connection refused"), (caught.exception.code, caught.exception.reason))
        for wrong in ({"client_keys": [str(self.stranger)]}, {"password": "wrong"}):
            with self.assertRaises(self.asyncssh.PermissionDenied):
                await self._connect(port, **wrong)

    async def _asks(self, client: Any) -> bytes:
        reader, writer = await client.open_connection(HOST, self.server.port)
        writer.write(DATA)
        writer.write_eof()
        answer: bytes = await reader.read()
        writer.close()
        return answer

    def test_server(self) -> None:
        """
        Its server is a hop for us, by a key, a certificate and a password; new keys are exchanged all the
        time, and what it refuses is refused with its words.
        """
        port, asked = freePort(), []
        servers = [StreamServer(self, answered).port for _ in range(3)]
        refusal = self.asyncssh.ChannelOpenError(1, "not from here")

        class Server(self.asyncssh.SSHServer):  # type: ignore[name-defined,misc]
            def validate_password(self, username: str, password: str) -> bool:
                return (username, password) == ("bob", "secret")

            def password_auth_supported(self) -> bool:
                return True

            def connection_requested(self, host: str, port: int, *origin: Any) -> bool:
                asked.append((host, port))
                if port not in servers:
                    raise refusal
                return True

        lines = [
            self.publicOf(self.keys[0]),
            f'cert-authority,principals="bob" {self.publicOf(self.authority)}',
        ]
        self._serves(
            Server,
            port,
            server_host_keys=[str(self.stranger)],
            authorized_client_keys=str(self.write("authorized", "".join(lines))),
            rekey_bytes=REKEY,
        )
        known = self.write("hosts", f"[{HOST}]:{port} {self.publicOf(self.stranger)}")
        word = self.write("word", "secret\n")
        hop = f"ssh:bob@{HOST}:{port}:known={known}"
        ways = (f"key={self.keys[0]}", f"key={self.certified}", f"passwordFile={word}")
        targets = [*servers, freePort()]
        lines = ["listen:"]
        lines += [f"  to{each}: 'forward:tcp:0:{LOOPBACK}:to={HOST}\\:{each}'" for each in targets]
        lines += ["dial:", *(f"  by{each}: {hop}:{way}" for each, way in zip(servers, ways, strict=True))]
        lines += ["routes:", *(f"  - {{match: '{HOST}:{each}', via: by{each}}}" for each in servers)]
        lines += [f"  - {{match: '*', via: by{servers[0]}}}\n"]
        gateway = self.ugate("--state", str(self.directory / "state"), config="\n".join(lines))
        for each in servers:
            with socket.create_connection((HOST, gateway.ports[f"to{each}"]), DEADLINE) as connection:
                connection.sendall(DATA)
                connection.shutdown(socket.SHUT_WR)
                self.assertAnswer(readAll(connection))
        with socket.create_connection((HOST, gateway.ports[f"to{targets[-1]}"]), DEADLINE) as connection:
            self.assertEqual(b"", connection.recv(1))
        gateway.waitFor("not from here")
        self.assertEqual([(HOST, each) for each in targets], asked)

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


class ParamikoTests(LibraryTestCase):
    """
    paramiko.
    """

    def setUp(self) -> None:
        super().setUp()
        self.paramiko = package("paramiko")
        # It complains there of what is tested here.
        logging.getLogger("paramiko").addHandler(logging.NullHandler())

    def test_client(self) -> None:
        """
        By each kind of key, a certificate and a password it gets in, and by no others; what it sends and gets
        is whole, with new keys in between.
        """
        gateway, paramiko = self.closedGate(), self.paramiko
        kinds = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
        keys = [kind.from_private_key_file(str(key)) for kind, key in zip(kinds, self.keys, strict=True)]
        certified, stranger = (
            kinds[0].from_private_key_file(str(key)) for key in (self.certified, self.stranger)
        )
        certified.load_certificate(f"{self.certified}-cert.pub")
        ways = [({"pkey": key}, "key") for key in keys]
        ways += [({"pkey": certified}, "certificate"), ({"password": "secret"}, "password")]
        for way, means in ways:
            client = self._connect(gateway.port, **way)
            _, said, _ = client.exec_command("status")
            self.assertIn(f"You are bob ({means})".encode(), said.read())
            self.assertEqual(0, said.channel.recv_exit_status())
        transport = client.get_transport()
        channel = transport.open_channel("direct-tcpip", (HOST, self.server.port), (HOST, 1))
        channel.settimeout(DEADLINE)
        channel.sendall(DATA[:MEGABYTE])
        transport.renegotiate_keys()
        channel.sendall(DATA[MEGABYTE:])
        channel.shutdown_write()
        begin = readExactly(channel, MEGABYTE)
        # While it exchanges keys it is stuck with a channel that is closed: more has to come.
        transport.renegotiate_keys()
        self.assertAnswer(begin + readAll(channel))
        channel.close()
        with self.assertRaises(paramiko.ChannelException) as caught:
            transport.open_channel("direct-tcpip", (HOST, freePort()), (HOST, 1))
        self.assertEqual(2, caught.exception.code)
        for wrong in ({"pkey": stranger}, {"password": "wrong"}):
            with self.assertRaises(paramiko.AuthenticationException):
                self._connect(gateway.port, **wrong)
        self.assertLogged(gateway)

    def _connect(self, port: int, **ways: Any) -> Any:
        client = self.paramiko.SSHClient()
        self.addCleanup(client.close)
        client.set_missing_host_key_policy(self.paramiko.AutoAddPolicy())
        client.connect(HOST, port, "bob", allow_agent=False, look_for_keys=False, timeout=DEADLINE, **ways)
        return client


class NodeTests(LibraryTestCase):
    """
    ssh2 of node.
    """

    def test_client(self) -> None:
        """
        By each kind of key and a password it gets in, and by no others; what it sends and gets is whole.
        """
        modules = Path(sys.prefix) / "node" / "node_modules"
        node = program("node", "nodejs")
        if not (modules / "ssh2").is_dir():
            raise SkipTest(f"no ssh2 here: npm install --prefix {modules.parent} ssh2")
        gateway = self.closedGate()
        ways: list[dict[str, str]] = [{"password": "wrong"}, {"privateKey": str(self.stranger)}]
        ways += [{"privateKey": str(key)} for key in self.keys]
        spec = json.dumps([gateway.port, self.server.port, freePort(), 5, [*ways, {"password": "secret"}]])
        done = self.finish(
            [node, self.write("client.js", _NODE), spec], BLOCK, env={"NODE_PATH": str(modules)}
        )
        self.assertEqual((0, b""), (done.returncode, done.stderr))
        wanted: list[list[Any]] = [["error", "client-authentication"]] * 2
        wanted += [["status", 0, "You are bob (key)"]] * 3 + [["status", 0, "You are bob (password)"]]
        wanted += [["carried", len(ANSWER), hashlib.sha256(ANSWER).hexdigest()], ["refused", 2]]
        self.assertEqual(wanted, [json.loads(line) for line in done.stdout.splitlines()])
        self.assertLogged(gateway)
