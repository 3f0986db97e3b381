# -*- test-case-name: ugate.test.test_interfaces -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The seams: what the pieces of a gateway promise each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

from twisted.internet.interfaces import IAddress, IStreamClientEndpoint, IStreamServerEndpoint
from twisted.plugin import IPlugin

if TYPE_CHECKING:
    from socket import socket

    from cryptography.x509 import Certificate
    from msgspec import Struct

    from twisted.application.service import IService
    from twisted.cred.credentials import ICredentials
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
    from twisted.web.resource import IResource

    from ugate.errors import Refused
    from ugate.stream import Principal, StreamInfo, Target


class Auth(Enum):
    """
    Whether the peer of a server negotiation has to prove who it is.
    """

    NONE = "none"
    """Nobody could check a credential: offer no authentication."""

    OPTIONAL = "optional"
    """Check a credential if one is given: the listener is open to this machine."""

    REQUIRED = "required"
    """Nothing passes without a good credential."""


class IStreamInfo(IAddress):
    """
    What is known of one stream; a frozen value that is the peer address.
    """

    peer = Attribute("L{IAddress}: who connected.")
    host = Attribute("L{IAddress}: the local address it connected to.")
    target = Attribute("L{ugate.stream.Target} or L{None}: where it wants to go.")
    principal = Attribute("L{ugate.stream.Principal} or L{None}: who asks, proven.")
    protocol = Attribute("L{str}: what it was recognized as.")
    hints = Attribute("Mapping of L{str} to L{str}: unproven claims: sni, alpn, user ...")
    layers = Attribute("Tuple of L{str}: the negotiations passed, outermost first.")


class IPending(Interface):
    """
    A transport that owes its peer an answer.  Exactly one of the two is called,
    once; bytes written before are an error.
    """

    def accept() -> None:
        """
        Tell the peer, in its own protocol, that its stream is up.
        """

    def refuse(reason: Refused) -> None:
        """
        Tell the peer, in its own protocol, why not, and close.
        """


class IHalfCloseableTransport(Interface):
    """
    A transport that can end one direction and go on reading.
    """

    def loseWriteConnection() -> None:
        """
        Tell the peer, after what was written, that nothing more will come.
        """


@dataclass(frozen=True, slots=True)
class Step:
    """
    What a negotiation wants done after it was fed.
    """

    send: bytes = b""
    """Bytes for the peer, now."""

    done: bool = False
    """Whether the metadata is whole; then C{info} holds it on the server side."""

    rest: bytes = b""
    """With C{done}: bytes that came after the negotiation, part of the stream."""

    info: StreamInfo | None = None
    """With C{done}, on the server side: what is now known of the stream."""

    credentials: ICredentials | None = None
    """Something to check before going on: answered with C{login()}."""


@dataclass(frozen=True, slots=True)
class Detached:
    """
    A socket that left its transport, and the bytes that were under way there.
    """

    socket: socket
    """The connected, non-blocking socket; the caller owns and closes it."""

    unread: bytes = b""
    """Bytes that came from the peer and that nobody has consumed."""

    unsent: bytes = b""
    """Bytes that were written for the peer and are not yet in the kernel."""

    waiting: object | None = None
    """The L{ugate.poll.Poll} that waits already for the socket to be readable, if one does."""


class INegotiation(Interface):
    """
    The bytes spoken before a stream is usable.  Sans-io: bytes in, bytes and
    values out; the host writes the cap, the deadline and the replay.

    A server negotiation is made with the L{StreamInfo} known so far and the
    L{Auth} mode; a client negotiation with what it asks for.
    """

    def start() -> bytes:
        """
        The first bytes, sent as soon as the connection is up; a server that
        waits for its client returns none.
        """

    def receive(data: bytes) -> Step:
        """
        Take more bytes, of any size.

        @raise ugate.errors.ProtocolError: the peer broke the protocol (servers).
        @raise ugate.errors.Refused: the peer said no, or broke the protocol (clients).
        """

    def login(principal: Principal | None) -> Step:
        """
        The answer to C{Step.credentials}: who it is, or L{None} if they were bad.

        @raise ugate.errors.ProtocolError: the peer has no further try; its
            C{reply} says so.
        """

    def accept() -> bytes:
        """
        After C{done}, on the server side: the bytes that say that the stream is up.
        """

    def refuse(reason: Refused) -> bytes:
        """
        At any time, on the server side: the bytes that say why not.
        """


class ISilence(INegotiation):
    """
    A server negotiation that decides something when its peer says nothing, as
    the clients of servers that speak first do.
    """

    def silent() -> Step:
        """
        The peer has sent nothing at all for the time that the listener grants.

        @raise ugate.errors.ProtocolError: that is not served here.
        """


class IChannel(Interface):
    """
    One stream of a link, as the protocol of that link moves it.  What is above it is a
    C{ugate.protocols.mux.MuxStream}, which it tells of what comes: C{received(data)}, C{ended()},
    C{drained()}, and last of all C{closed(reason)}; after L{reset} and L{refuse} nothing has to be told.
    """

    unsent = Attribute("L{int}: bytes that were written and wait for a window or for the link.")

    def write(data: bytes) -> None:
        """
        Send it as far as windows let; the rest is kept, and C{drained()} is called when it is gone.
        """

    def finish() -> None:
        """
        After what was written, nothing more comes.
        """

    def consumed(count: int) -> None:
        """
        The reader has taken so many bytes: the peer may send as many again.
        """

    def reset() -> None:
        """
        End both directions at once; what is unsent is dropped.
        """

    def accept() -> None:
        """
        Of a stream that the peer opened: tell it that it is up.
        """

    def refuse(reason: Refused) -> None:
        """
        Of a stream that the peer opened: tell it why not, and close.
        """


class ILink(Interface):
    """
    One connection that carries many streams, once its handshake is over: what each multiplexing
    protocol writes for itself.  Whoever holds it sets C{incoming}.
    """

    incoming = Attribute(
        "Callable or L{None}: called with the C{MuxStream} of each stream that the peer opens, which is an "
        "L{IPending}; all are refused while it is L{None}."
    )
    info = Attribute(
        "L{ugate.stream.StreamInfo}: of the connection itself: by which address, and proven to be whom."
    )
    streams = Attribute("L{int}: how many are up or being opened.")
    isDraining = Attribute("L{bool}: whether no more streams begin, since one of its ends said so.")
    onDraining = Attribute("Callable or L{None}: called, once, when the peer says so.")
    room = Attribute("L{int}: how many more the peer lets us open now; 0 once it is going away.")

    def open(info: StreamInfo) -> Deferred[Any]:
        """
        Ask the peer for a stream to C{info.target}.

        @return: fires with its C{MuxStream} when the peer has accepted it; fails with
            L{ugate.errors.Refused}.  Cancelling it gives the stream up.
        """

    def ping() -> Deferred[None]:
        """
        Fires when the peer has answered; fails when the link is gone before that.
        """

    def drain() -> None:
        """
        Let no more streams begin, here or there; the link closes when the last has ended.
        """

    def abort(reason: str) -> None:
        """
        Cut the link with all its streams.
        """

    def whenClosed() -> Deferred[Any]:
        """
        A new Deferred that fires with why, a L{str}, when the link is gone; it never fails.
        """


class IDialer(Interface):
    """
    Where a stream goes.
    """

    def endpointFor(info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint that leads to C{info.target}.  Quick: what is slow happens
        in its C{connect()}, whose failures are L{ugate.errors.Refused}.

        @raise ugate.errors.Refused: there is no way there, and why.
        """

    def explain(info: StreamInfo) -> list[str]:
        """
        The same way in words, a line a decision or hop, without going it.
        """


class ISession(IDialer):
    """
    A link to one peer: its streams are dialed by L{IDialer.endpointFor}, and those that the peer
    opens are listened for.
    """

    principal = Attribute("L{ugate.stream.Principal} or L{None}: who the peer has proven to be.")
    link = Attribute("L{ILink}: what carries it.")

    def listener(target: Target | None = None) -> IStreamServerEndpoint:
        """
        The endpoint of the streams that the peer opens.

        @param target: only those to there; L{None} for all that nobody else listens for.
        """

    def whenClosed() -> Deferred[Any]:
        """
        A new Deferred that fires with why when it is gone; it never fails.
        """

    def close() -> Deferred[Any]:
        """
        Let no more streams begin, and close when the last has ended.

        @return: as L{whenClosed} gives it.
        """


class IPolicy(Interface):
    """
    Who may go where.  No policy means no.
    """

    def check(info: StreamInfo) -> None:
        """
        Return if the stream may go on.

        @raise ugate.errors.Denied: it may not; the error names the rule.
        """


class IEgress(Interface):
    """
    The rule on resolved addresses: C{IEgress(reactor)} of a tenant's reactor.
    """

    def check(host: str, port: int) -> None:
        """
        Return if a connection may be made to that address.

        @raise ugate.errors.Denied: it may not; the error says which rule.
        """


class ILimits(Interface):
    """
    How much a tenant may have at once.
    """

    meters = Attribute("What holds the rates of its streams, given to the relay; or L{None}.")

    def admit() -> None:
        """
        Count one more stream, here and for all above.

        @raise ugate.errors.Refused: there may not be one more; the error names the limit.
        """

    def release() -> None:
        """
        A stream that was admitted has ended.
        """


class IIdentity(Interface):
    """
    Who we are: a key and what certifies it.  When its files change it is another one from
    then on, also what its connections are made of; those that are up go on.
    """

    keyid = Attribute("L{str}: the hash of the public key, 52 characters in upper case.")
    vip6 = Attribute("L{str}: the IPv6 address that follows from the public key.")
    principal = Attribute("L{ugate.stream.Principal}: who peers see.")
    names = Attribute("Tuple of L{str}: what the certificate says: DNS names, then URIs.")
    certificate = Attribute("L{cryptography.x509.Certificate}: that of the key.")
    chain = Attribute("Tuple of L{cryptography.x509.Certificate}: it, and those that certify it.")

    def has(name: str) -> bool:
        """
        Whether a certificate of ours, or one that we have for the names of servers, has that name of a host.

        @param name: in small letters.
        """

    def serverTLS(
        alpn: Sequence[bytes] = (), askClient: bool = True, name: str = ""
    ) -> IOpenSSLServerConnectionCreator:
        """
        What makes us a TLS server.  OpenSSL lets any certificate of a client pass: who it is
        is for L{ITrust.check}, after the handshake.

        @param alpn: the protocols, best first; a client that offers none of them gets none.
        @param askClient: whether a client is asked for a certificate; one that has none gets in too.
        @param name: what the client asks for, in small letters: a certificate that has it answers.
        """

    def clientTLS(name: str, alpn: Sequence[bytes] = ()) -> IOpenSSLClientConnectionCreator:
        """
        What makes us a TLS client.  OpenSSL lets any certificate of a server pass: who it is
        is for L{ITrust.check}, after the handshake.

        @param name: for SNI; empty, or an address, for none.
        @param alpn: the protocols, best first.
        """

    def sign(data: bytes) -> bytes:
        """
        A signature by our key: ECDSA with SHA-256 in DER for P-256; Ed25519; for RSA PKCS #1 with SHA-256.
        """

    def changed(callback: Callable[[], object]) -> Callable[[], None]:
        """
        Call back whenever the certificate or the key is another one.

        @return: a callable that stops it.
        """


class ITrust(Interface):
    """
    Whose certificates are believed.
    """

    def check(chain: Sequence[Certificate], name: str | None) -> Principal:
        """
        Who a peer is.

        @param chain: what it sent, its own first; empty if it sent none.
        @param name: who it has to be: a KEYID, a DNS name or a SPIFFE id; L{None} for anybody
            who is trusted, as servers want it.
        @return: with the method C{certificate}.
        @raise ugate.errors.Refused: it is not believed, and why.
        """

    def checkKnown(chain: Sequence[Certificate]) -> None:
        """
        Return if a client may be believed that is known by its very certificate, whoever certifies it.

        @param chain: what it sent, its own first.
        @raise ugate.errors.Refused: it is revoked, not good at this time or not for this, and why.
        """

    def hasKey(keyid: str) -> bool:
        """
        Whether a key of that KEYID is one to believe whoever certifies it; what else is wrong with a
        certificate of it is found by C{check}.

        @raise ugate.errors.UgateError: that cannot be told, and why.
        """


@dataclass(frozen=True, slots=True)
class MeshAddress:
    """
    One way to a node of the mesh.
    """

    transport: str
    """How to speak there: a name that C{ugate.endpoints.meshtransports.TRANSPORTS} has."""

    host: str
    """An address literal or a DNS name."""

    port: int
    """1 to 65535."""


@dataclass(frozen=True, slots=True)
class MeshNode:
    """
    A node of the mesh, as far as it is known here.
    """

    keyid: str
    """The hash of its key, 52 characters in upper case."""

    addresses: tuple[MeshAddress, ...]
    """The ways there, best first."""

    names: tuple[str, ...] = ()
    """Other names that it has, in lower case; only those of the config are believed without a certificate."""

    source: str = "config"
    """Who says so: C{config}, C{discovery}, C{registration}, or what another module calls itself."""

    expires: float | None = None
    """When that is forgotten, by the reactor's clock; L{None} for never."""


class INodes(Interface):
    """
    The nodes of the mesh that a tenant knows.
    """

    def find(name: str) -> MeshNode | None:
        """
        The node of a KEYID, a host that begins with one, a VIP6, or another name of it; with the
        addresses of all sources, those of the config first.
        """

    def all() -> Sequence[MeshNode]:
        """
        All that are known, one for each KEYID and source, in the order of their KEYIDs.
        """

    def learn(node: MeshNode) -> None:
        """
        Put it in place of what the same source said of that KEYID before.

        @raise ugate.errors.Refused: there are too many, it has too many addresses, or a name of it is that
            of another node already.
        """

    def forget(keyid: str, source: str) -> None:
        """
        Drop what that source said of it, if it did.
        """


class ITenant(Interface):
    """
    Whose keys, rules, routes, limits and names.
    """

    name = Attribute("L{str}: its path, unique in the node: C{root}, C{alice}, C{alice/dev}.")
    parent = Attribute("L{ITenant} or L{None}: who delegated to it; the root has none.")
    children = Attribute("Mapping of L{str} to L{ITenant}: those that it delegates to, by their own names.")
    limits = Attribute("L{ILimits} or L{None} when nothing is limited.")
    reactor = Attribute("The tenant's reactor: C{ITenant(reactor)} gives the tenant back.")
    portal = Attribute("L{twisted.cred.portal.Portal} or L{None} when nobody can log in.")
    policy = Attribute("L{IPolicy}.")
    dialer = Attribute("L{IDialer}: the routes of this tenant.")
    handshake = Attribute("L{float}: seconds that a client has to say what it wants.")
    hops = Attribute("Mapping of L{str} to L{IDialer}: the hops that C{dial:} names, and C{mesh}.")
    identity = Attribute(
        "L{IIdentity}: made when it is first asked for, which may raise L{ugate.errors.UgateError}."
    )
    trust = Attribute("L{ITrust}: the same.")
    nodes = Attribute("L{INodes}: the nodes of the mesh that it knows; none of its parent's.")

    def tenantFor(info: StreamInfo) -> ITenant:
        """
        Whose rules hold for a stream that came in by a listener of this tenant: its
        own, or those of one below it, whose credentials or names the stream has.
        """


class IPrincipal(Interface):
    """
    What the portal of a tenant is asked for: its avatar is a L{ugate.stream.Principal}.
    """


class IConfigStore(Interface):
    """
    Where config sections come from: files, the command line, a database.
    """

    def names(tenant: str, kind: str) -> list[str]:
        """
        The names of the sections of one kind, in order.
        """

    def section(tenant: str, kind: str, name: str) -> Mapping[str, object]:
        """
        One section.

        @raise KeyError: there is none of that name.
        """

    def changed(callback: Callable[[frozenset[str] | None], None]) -> Callable[[], None]:
        """
        Call back after each change of this store, with the paths of the tenants whose
        sections changed, or L{None} if that cannot be told.

        @return: a callable that stops it.
        """


class IWritableStore(IConfigStore):
    """
    A store that can be changed through it.  When a call returns, the change is kept;
    when it raises, nothing is changed.  One that cannot now has a false C{isWritable}.
    """

    def put(tenant: str, kind: str, name: str, section: Mapping[str, object]) -> None:
        """
        Put a section in place of the one of that name, or beside the others.

        @raise KeyError: there is no such tenant or kind.
        @raise UgateError: it cannot be written; the message says why.
        """

    def delete(tenant: str, kind: str, name: str) -> None:
        """
        Take a section out; with one of C{tenants}, all that is below it too.

        @raise KeyError: there is none of that name.
        @raise UgateError: it cannot be written; the message says why.
        """


class IWatching(Interface):
    """
    What notices changes that others make, once it is started.
    """

    def start(reactor: Any) -> None:
        """
        Begin to watch.
        """

    def stop() -> None:
        """
        Watch no more; no callback comes after this.
        """

    def reload() -> object:
        """
        Look for changes now, and call back if there are any; also before it is started.
        """


class IDetachable(Interface):
    """
    A transport that can hand over its socket, so that the kernel can move the
    bytes.  Bare TCP and UNIX transports have it by adaptation.
    """

    def detach() -> Detached:
        """
        Take the socket out.  The transport is dead afterwards and tells nobody;
        the caller owns the socket and every byte under way.
        """


class IDetachableTLS(Interface):
    """
    A transport in TLS that can hand over its socket, and what ends TLS on it.  It is another interface than
    L{IDetachable} since nobody may take what is on that socket for the bytes of the stream.
    """

    def detach() -> Detached:
        """
        As L{IDetachable.detach}; but the socket is a L{ugate.protocols.tlssocket.TLSSocket}, which is used as
        one is and cannot be spliced.
        """


class IModule(IPlugin):
    """
    A kind of named components, found as a Twisted plugin: a package that puts one into its
    C{twisted/plugins} adds a kind of sections to the configuration.

    There may be many instances at once: one for each section of that kind, of each tenant.
    """

    name = Attribute("L{str}: the kind of its sections, as in C{hello: {greeter: ...}}.")
    schema = Attribute("A subclass of L{msgspec.Struct}: what is in a section; it forbids unknown fields.")
    summary = Attribute("L{str}: what it does, in one line.")

    def makeService(tenant: ITenant, name: str, section: Struct) -> IService:
        """
        One instance.  The node starts it, and stops it when its section goes or changes.

        Nothing is opened or read here, only in C{startService()}: a configuration may be made just to
        be checked.

        @param tenant: whose it is; C{tenant.reactor} is what it uses.
        @param name: the name of its section.
        @param section: what is in it: an instance of C{schema}.
        @raise ugate.errors.UgateError: this section cannot be, and why; then none of the change applies.
        """


class IStoreModule(IPlugin):
    """
    A kind of config stores, found as a Twisted plugin: a package that puts one into its
    C{twisted/plugins} adds what C{--config NAME:...} may name.
    """

    name = Attribute("L{str}: what C{--config} has before the first colon.")
    summary = Attribute("L{str}: what it reads, in one line.")

    def open(rest: str, kinds: Mapping[str, Any]) -> IConfigStore:
        """
        A store.  One that has to wait for what it reads is empty at first, and calls what
        C{changed()} was given when it is not: then all of it applies as a change.

        @param rest: what C{--config} has behind the first colon.
        @param kinds: the kinds of sections that there are: C{ugate.tenancy.config.sections.Kind} by name.
        @raise ugate.errors.UgateError: there can be none of that, and why.
        """


class IServesHTTP(Interface):
    """
    What the service of a module may provide: something to show below C{/modules/KIND/NAME/}.
    """

    isPublic = Attribute(
        "L{bool}: whether anybody may ask for it, from any page; C{IAsker(request)} finds out who it is, if "
        "that matters.  Else whoever does is on this machine, or has logged in: C{IPrincipal(request)} says "
        "who it is."
    )

    def resource() -> IResource:
        """
        The resource; asked for at each request, so give the same one unless something has changed.
        """


class IAsker(Interface):
    """
    Who asks for something that a module shows to anybody: C{IAsker(request)}, for what is not.
    """

    def someone() -> Deferred[Principal]:
        """
        A principal of the tenant, as for what is not public.

        @return: fails with an error that the HTTP port answers with.
        """

    def administrator(changes: bool) -> Deferred[Principal]:
        """
        Somebody who looks after the tenant.

        @param changes: whether they have to be somebody who may change it.
        @return: as above.
        """


class INode(Interface):
    """
    All of a node, for modules that look after it: C{INode(tenant)}.  A module that is not the
    node's own keeps to its tenant.
    """

    started = Attribute("L{float}: when it was started, in seconds since 1970.")
    tenants = Attribute("Mapping of L{str} to L{ITenant}: all of them, by path; parents before children.")
    store = Attribute("L{IConfigStore}: all of the configuration.")
    configs = Attribute("Mapping of paths to C{Config}: what each tenant is configured to do now.")
    kinds = Attribute("L{ugate.tenancy.config.kinds.Kinds}: the kinds of sections that there are.")
    flows = Attribute("L{ugate.gateway.Flows}: the streams, the refusals and the counters.")
    modules = Attribute("Mapping of (tenant path, kind, name) to the IService of each module that runs.")
    last = Attribute("C{Outcome} of the last reload, or of the start.")
    reloading = Attribute("What has C{good} and C{bad}: how many reloads were so.")

    def listeners() -> Sequence[Any]:
        """
        What listens: a C{ListenerState} each.
        """

    def reload(trigger: str, tenants: frozenset[str] | None = None) -> Deferred[Any]:
        """
        Read the configuration again and apply what changed.

        @param trigger: who wants it, for the log.
        @param tenants: the paths of those that changed; L{None} if that is not known.
        @return: the C{Outcome}; it does not fail.
        """

    def drain() -> Deferred[None]:
        """
        Stop listening, let streams end, then end the process.
        """
