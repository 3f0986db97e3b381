# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The limits and sizes that the documentation tells are those of the code.
"""

from __future__ import annotations

from dataclasses import fields

from ugate import copyends, draining, flows, leg, metering, pace, pump, splice, splicing
from ugate.endpoints import (
    addresses,
    behind,
    captured,
    chain,
    links,
    mesh,
    meshtransports,
    muxed,
    names,
    negotiated,
    ready,
    registry,
    reverse,
    reverselistener,
    servers,
)
from ugate.endpoints.pool import PoolLimits
from ugate.endpoints.sessions import SessionLimits
from ugate.protocols import (
    clienthello,
    httpconnect,
    httpforward,
    httphead,
    mux,
    negotiate,
    owner,
    proxyproto2,
    readywire,
    reversewire,
    tlsserver,
    tlssocket,
    websocketframes,
    websocketlink,
    websocketwire,
)
from ugate.protocols.h2calm import H2Limits
from ugate.tenancy import identitytls, limits, noderecords, nodes, registrations, usage
from ugate.tenancy.config.schema import Node
from ugate.tenancy.passwords import PasswordFile
from ugate.test.docpages import (
    Pages,
    kib,
    page,
    table,
)


class NumbersTests(Pages):
    """
    Limits and sizes.
    """

    def test_limits(self) -> None:
        """
        The limits are those of the code.
        """
        node = Node()
        wanted = [
            f"{node.handshake:g} s",
            f"{negotiated.PENDING}",
            kib(owner.DEFAULT_CAP),
            kib(servers._HTTP_CAP),
            kib(tlsserver.CAP),
            kib(httphead.MAX_HEAD),
            kib(clienthello.MAX_HELLO),
            kib(proxyproto2.MAX_V2),
            f"{httpconnect.MAX_TRIES}",
            f"{PasswordFile.__init__.__defaults__[-1]}",  # type: ignore[index]
            f"{negotiate.LINGER:g} s",
            f"{httpforward.IDLE_TIMEOUT:g} s",
            f"{httpforward.HEAD_TIMEOUT:g} s",
            kib(leg.EARLY_LIMIT),
            f"{node.connect:g} s",
            f"{names.MAX_ADDRESSES}",
            f"{flows._SLACK:g} x",
            f"{node.streams}",
            f"{node.idle:g} s",
            f"{node.drain:g} s",
            f"{chain.MAX_HOPS}",
            f"{identitytls.SESSIONS}",
        ]
        self.assertEqual(wanted, [row[1] for row in table(page("security"), "limits")])

    def test_websocket(self) -> None:
        """
        Those of a connection in WebSocket are.
        """
        rows = table(page("limits"), "websocket-limits")
        self.assertEqual(9, len(rows))
        for name, value, _ in rows:
            (found,) = {
                vars(each)[name]
                for each in (websocketframes, websocketlink, websocketwire)
                if name in vars(each)
            }
            self.assertEqual(f"{found:g}" if isinstance(found, float) else str(found), value, name)

    def test_relay(self) -> None:
        """
        So are the sizes of the relay.
        """
        wanted = [
            kib(pump.CHUNK),
            kib(pump.BULK),
            kib(splice.PIPE_SIZE),
            f"{splicing._IDLE:g} s",
            f"{splice.SLICE * 1000:g} ms",
            f"{pace.FAST // 1_000_000} MB/s",
            kib(pace.LOT),
            f"{pace._LONGEST} ms",
        ]
        self.assertEqual(wanted, [row[1] for row in table(page("performance"), "relay")])
        self.assertEqual(
            [kib(pump.CHUNK), kib(tlssocket.RECORD), f"{identitytls.LIFETIME} s"],
            [row[1] for row in table(page("performance"), "tls")],
        )

    def test_rates(self) -> None:
        """
        So is what the limits of tenants are made of.
        """
        wanted = [
            f"{metering.BURST:g} s of the rate",
            f"{metering.TICK * 1000:g} ms",
            kib(metering.QUANTUM),
            f"{limits._OPENS_BURST:g} s of ``opens``",
            kib(copyends.STALLED),
            f"{usage.SAVE_EVERY:g} s",
        ]
        text = page("limits")
        self.assertEqual(wanted, [row[1] for row in table(text, "rates")])
        keys = [name for name in vars(limits.Limits) if not name.startswith("_")]
        self.assertEqual(sorted(keys), sorted(row[0] for row in table(text, "tenant-limits")))
        self.assertIn(f"``{limits.USED_UP}``", text)

    def test_sessions(self) -> None:
        """
        So are the limits of sessions and pools.
        """
        text = page("sessions")
        all_ = {field.name: f"{field.default:g}" for field in fields(PoolLimits)}
        mine = {field.name for field in fields(SessionLimits)}
        for name, wanted in (("session-limits", mine), ("pool-limits", all_.keys() - mine)):
            rows = {row[0]: row[1] for row in table(text, name)}
            self.assertEqual({key: all_[key] for key in wanted}, rows)
        for sentence in (
            f"dropped, up to {kib(mux.LATE)}",
            f"has {links.HANDSHAKE:g} s to become a link, and {muxed.HANDSHAKES} of one",
            f"There are {registry.MAX_KEYS} peers at most, each with {registry.MAX_LINKS} links and "
            f"{registry.MAX_NAMES} names",
            f"when these are over {draining.GOODBYE:g} more to send what is left",
        ):
            self.assertIn(sentence, " ".join(text.split()))

    def test_mesh(self) -> None:
        """
        So are those of the mesh.
        """
        wanted = [
            f"{nodes.MAX_NODES}",
            f"{nodes.MAX_SOURCES}",
            f"{nodes.MAX_ADDRESSES}",
            f"{nodes.MAX_NAMES}",
            f"{mesh.MAX_TRIED}",
            f"{meshtransports.PATIENCE:g} s",
            f"{mesh.AVOIDED:g} s",
            f"{registrations.BURST}",
            f"{noderecords.MAX_SIZE}",
        ]
        self.assertEqual(wanted, [row[1] for row in table(page("mesh"), "mesh-limits")])
        wanted = [
            f"{ready.MAX_EACH}",
            f"{ready.MAX_READY}",
            f"{ready.MAX_WAITING}",
            f"{ready.PATIENCE:g} s",
            f"{ready.CONFIRM:g} s",
            f"{ready.EVERY:g} s",
            f"{ready.AGE:g} s",
            f"{ready.GRACE:g} s",
            f"{behind.SILENCE:g} s",
            f"{readywire.MAX_PROOF}",
        ]
        self.assertEqual(wanted, [row[1] for row in table(page("mesh"), "ready-limits")])

    def test_reverse(self) -> None:
        """
        So are those of links that nodes keep.
        """
        self.assertEqual(registry.MAX_LINKS, reverse.MAX_LINKS)
        wanted = [
            f"{registry.MAX_LINKS}",
            f"{registry.MAX_KEYS}",
            f"{reversewire.MAX_NAMES}",
            f"{reversewire.MAX_PORTS}",
            f"{reversewire.MAX_LINE}",
            f"{reverselistener.ANSWER:g} s",
            f"{registry.MAX_WAITING}, {registry.PATIENCE:g} s",
            f"{registry.GRACE:g} s",
            f"{reverse.RENEW:g} s",
            f"{reverselistener.LIMITS.age:g} s",
        ]
        self.assertEqual(wanted, [row[1] for row in table(page("mesh"), "reverse-limits")])

    def test_http2(self) -> None:
        """
        So are those of a connection in HTTP/2.
        """
        rows = {row[0]: float(row[1]) for row in table(page("limits"), "h2-limits")}
        defaults = H2Limits()
        self.assertEqual({field.name: getattr(defaults, field.name) for field in fields(defaults)}, rows)

    def test_keywords(self) -> None:
        """
        And the defaults of keywords.
        """
        text = page("strings")
        given = {row[0]: row[2] for row in table(text, "server-keywords")}
        self.assertEqual(f"{servers.PATIENCE:g}, or {captured.WAIT:g}", given["wait"])
        given = {row[0]: row[2] for row in table(text, "hop-keywords")}
        self.assertEqual((f"{addresses.DEFAULT_TIMEOUT:g}", "1"), (given["timeout"], given["attempts"]))
