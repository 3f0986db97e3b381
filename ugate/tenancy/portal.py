# -*- test-case-name: ugate.test.test_portal -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who has which credentials: the portal of a tenant, which knows those of the tenants below it by their portals.

Who logs in as C{bob@alice} asks the portal of the tenant C{alice} below this one for C{bob}; a token says so
as C{alice~TOKEN}.  Somebody or some tenant that is not there costs as much as a wrong password.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from zope.interface import implementer

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ISSHPrivateKey, IUsernamePassword, SSHPrivateKey, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, maybeDeferred, succeed

from ugate.errors import StringError
from ugate.interfaces import IPrincipal
from ugate.protocols.credentials import (
    BearerToken,
    CertifiedKey,
    IBearerToken,
    ICertificate,
    ICertifiedKey,
    ILogin,
    Login,
    PeerCertificate,
    Permits,
)
from ugate.stream import ROOT, Principal
from ugate.tenancy.config.sections import MAX_DEPTH, childPath, isName
from ugate.tenancy.passwords import Defer, PasswordFile
from ugate.tenancy.tokens import TokenFile, isJWT, isToken

if TYPE_CHECKING:
    from ugate.tenancy.certificates import CertificateFile
    from ugate.tenancy.jwts import IssuerFile
    from ugate.tenancy.keys import KeyFile, SSHKey
    from ugate.tenancy.usercertificates import Certified, RevokedFile

ANY_USER: Final = b"token"
"""The user name with which a token is good as a password, whoever it was made for."""

Children = Callable[[str], Portal | None]
"""The portal of the tenant with a path, if there is one."""


class CredentialFiles(Protocol):
    """
    What the config says of credentials: the paths of files.
    """

    @property
    def users(self) -> str | None:
        """
        See L{ugate.tenancy.passwordhashes}.
        """

    @property
    def tokens(self) -> str | None:
        """
        See L{ugate.tenancy.tokens}.
        """

    @property
    def issuers(self) -> str | None:
        """
        See L{ugate.tenancy.jwts}.
        """

    @property
    def keys(self) -> str | None:
        """
        See L{ugate.tenancy.keys}.
        """

    @property
    def revoked(self) -> str | None:
        """
        See L{ugate.tenancy.usercertificates}.
        """

    @property
    def certificates(self) -> str | None:
        """
        See L{ugate.tenancy.certificates}.
        """


def hasCredentials(files: CredentialFiles) -> bool:
    """
    Whether somebody could log in.
    """
    return any((files.users, files.tokens, files.issuers, files.keys, files.certificates))


def _nobody(path: str) -> None:
    return None


@implementer(ICredentialsChecker)
class Logins:
    """
    Checks the credentials of one tenant, and hands on those of the tenants below it.

    What it answers, as an avatar's id, is a L{Principal}, or a L{Login} of one.

    @ivar path: of the tenant.
    @since: ugate NEXT
    """

    credentialInterfaces = (
        IUsernamePassword,
        IBearerToken,
        ISSHPrivateKey,
        ICertifiedKey,
        ICertificate,
    )

    def __init__(
        self,
        reactor: Any,
        files: CredentialFiles,
        path: str = ROOT,
        children: Children = _nobody,
        *,
        defer: Defer | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param reactor: the clock, and the threads unless C{defer} is given.
        @param files: where the credentials are.
        @param path: whose they are.
        @param children: see L{Children}; asked for tenants below this one only.
        @param defer: see L{PasswordFile}; see L{ugate.tenancy.turns.Turns} for what many tenants share.
        @param now: the time of day.
        @raise ConfigError: a file cannot be used, and why.
        """
        self.path = path
        self._children = children
        self._passwords = PasswordFile(files.users, reactor, defer)
        self._tokens = TokenFile(files.tokens, now)
        self._issuers: IssuerFile | None = None
        if files.issuers is not None:
            from ugate.tenancy.jwts import IssuerFile

            self._issuers = IssuerFile(files.issuers, now)
        self._keys: KeyFile | None = None
        self._revoked: RevokedFile | None = None
        self._certified: Certified | None = None
        self._certificates: CertificateFile | None = None
        if files.keys is not None or files.revoked is not None:
            self._forSSH(files, now)
        if files.certificates is not None:
            from ugate.tenancy.certificates import CertificateFile

            self._certificates = CertificateFile(files.certificates, now)

    def _forSSH(self, files: CredentialFiles, now: Callable[[], float]) -> None:
        from ugate.tenancy.keys import KeyFile
        from ugate.tenancy.usercertificates import Certified, RevokedFile

        if files.revoked is not None:
            self._revoked = RevokedFile(files.revoked)
        if files.keys is not None:
            self._keys = KeyFile(files.keys, now)
            self._certified = Certified(self._keys, self._revoked, now)

    def requestAvatarId(self, credentials: Any) -> Any:
        """
        Who has these credentials.

        @return: a L{Principal}, or a Deferred of one.
        @raise UnauthorizedLogin: nobody; the Deferred may fail so, too.
        """
        if IUsernamePassword.providedBy(credentials):
            return self._password(credentials)
        if IBearerToken.providedBy(credentials):
            return self._token(credentials)
        if ISSHPrivateKey.providedBy(credentials):
            return self._key(credentials)
        if ICertifiedKey.providedBy(credentials):
            return self._certifiedKey(credentials)
        return self._certificate(credentials)

    def _password(self, credentials: Any) -> Deferred[Login]:
        name, password = credentials.username, credentials.password
        user, at, tenant = name.rpartition(b"@")
        # Who is in our own file may have an @ in the name.
        if at and not self._passwords.knows(name):
            child = self._child(tenant)
            if child is not None:
                return self._below(tenant, child, UsernamePassword(user, password))
        if self._issuers is not None and isJWT(password):
            return maybeDeferred(self._issued, self._issuers, password, name)
        if isToken(password):
            token = self._tokens.find(password)
            if token is not None and name in (ANY_USER, token.name.encode()):
                principal = self._proven(token.name, "token")
                return succeed(Login(principal, again=partial(self._tokens.has, token)))
        checked: Deferred[Any] = self._passwords.requestAvatarId(credentials)
        return checked.addCallback(self._known)

    def _issued(self, issuers: IssuerFile, text: bytes, name: bytes = ANY_USER) -> Login:
        """
        @param name: the user name that came with it.
        @raise UnauthorizedLogin: it lets nobody in, and why.
        """
        try:
            issued = issuers.find(text)
        except StringError as error:
            raise UnauthorizedLogin(f"the JWT: {error}") from error
        if name not in (ANY_USER, issued.name.encode()):
            raise UnauthorizedLogin(f"the JWT: it is for {issued.name}, and not for another user name")
        return Login(self._proven(issued.name, "jwt"), again=partial(issuers.has, issued))

    def _known(self, name: bytes) -> Login:
        known = self._passwords.hashOf(name)
        principal = self._proven(name.decode(), "password")
        return Login(principal, again=lambda: self._passwords.hashOf(name) == known)

    def _token(self, credentials: Any) -> Principal | Login | Deferred[Login]:
        tenant, tilde, token = credentials.token.rpartition(b"~")
        if tilde:
            child = self._child(tenant)
            if child is not None:
                return self._below(tenant, child, BearerToken(token))
        if self._issuers is not None and not tilde and isJWT(token):
            return self._issued(self._issuers, token)
        return self._proven("" if tilde else self._tokens.nameFor(token), "token")

    def _key(self, credentials: Any) -> Login | Deferred[Login]:
        # The key says who it is; its user name matters only for the tenant.
        user, at, tenant = credentials.username.rpartition(b"@")
        signed, signature = credentials.sigData, credentials.signature
        if at:
            child = self._child(tenant)
            if child is None:
                raise UnauthorizedLogin
            key = SSHPrivateKey(user, credentials.algName, credentials.blob, signed, signature)
            return self._below(tenant, child, key)
        if self._keys is None:
            raise UnauthorizedLogin
        known = self._keys.find(credentials.blob, signed, signature)
        if known is None:
            raise UnauthorizedLogin(self._keys.why(credentials.blob))
        if self._revoked is not None and self._revoked.now().hasKey(known.blob):
            raise UnauthorizedLogin(f"the key of {known.name} is revoked")
        if signature is None:
            _wouldDo()
        return Login(self._proven(known.name, "key"), known.permits, partial(self._hasKey, known))

    def _hasKey(self, known: SSHKey) -> bool:
        isThere = self._keys is not None and self._keys.find(known.blob, b"", None) == known
        return isThere and not (self._revoked is not None and self._revoked.now().hasKey(known.blob))

    def _certifiedKey(self, credentials: Any) -> Login | Deferred[Login]:
        user, at, tenant = credentials.username.rpartition(b"@")
        if at:
            child = self._child(tenant)
            if child is None:
                raise UnauthorizedLogin
            signed, signature = credentials.sigData, credentials.signature
            below = CertifiedKey(user, credentials.blob, signed, signature, credentials.address)
            return self._below(tenant, child, below)
        if self._certified is None:
            raise UnauthorizedLogin
        found = name, permits = self._certified.login(credentials, credentials.username)
        if credentials.signature is None:
            _wouldDo()
        shown = CertifiedKey(credentials.username, credentials.blob, b"", None, credentials.address)
        return Login(
            self._proven(name, "certificate"), permits, partial(_isStill, self._certified, shown, found)
        )

    def _below(self, tenant: bytes, child: Portal, credentials: Any) -> Deferred[Login]:
        """
        Who that is in a tenant below: as long as that has the same portal.
        """

        def lasting(login: Login) -> Login:
            return replace(login, again=lambda: self._child(tenant) is child and login.again())

        return _login(child, credentials, ILogin).addCallback(lasting)

    def _certificate(self, credentials: Any) -> Principal | Deferred[Principal]:
        if credentials.tenant:
            child = self._child(credentials.tenant.encode())
            if child is None:
                raise UnauthorizedLogin
            return _login(child, PeerCertificate(credentials.der))
        name = None if self._certificates is None else self._certificates.nameFor(credentials.der)
        return self._proven(name, "certificate")

    def _proven(self, name: str | None, method: str) -> Principal:
        if not name:
            raise UnauthorizedLogin
        return Principal(name, method, self.path)

    def _child(self, below: bytes) -> Portal | None:
        """
        The portal of a tenant below this one.

        @param below: its path from here, from the network.
        """
        try:
            names = below.decode("ascii").split("/", MAX_DEPTH)
        except UnicodeDecodeError:
            return None
        if len(names) > MAX_DEPTH or not all(map(isName, names)):
            return None
        path = self.path
        for name in names:
            path = childPath(path, name)
            if path == ROOT:
                # Nobody is above itself, whatever it is called.
                return None
        return self._children(path)


def _wouldDo() -> None:
    """
    Say that a key is known, which has not signed yet.
    """
    from twisted.conch.error import ValidPublicKey

    raise ValidPublicKey


def _isStill(certified: Certified, shown: CertifiedKey, found: tuple[str, Permits]) -> bool:
    try:
        return certified.login(shown, shown.username) == found
    except UnauthorizedLogin:
        return False


def _login(portal: Portal, credentials: Any, wanted: Any = IPrincipal) -> Deferred[Any]:
    loggedIn: Deferred[Any] = portal.login(credentials, None, wanted)
    return loggedIn.addCallback(lambda result: result[1])


@implementer(IRealm)
class _Realm:
    """
    Whoever was found is who it is.
    """

    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: Any) -> Any:
        isLogin = isinstance(avatarId, Login)
        if ILogin in interfaces:
            return ILogin, avatarId if isLogin else Login(avatarId), _leave
        if IPrincipal not in interfaces:
            raise LookupError("a portal of principals is asked for an IPrincipal")
        return IPrincipal, avatarId.principal if isLogin else avatarId, _leave


def _leave() -> None:
    """
    Nothing is kept of who has logged in.
    """


def portalFrom(
    reactor: Any,
    files: CredentialFiles,
    path: str = ROOT,
    children: Children = _nobody,
    *,
    always: bool = False,
    defer: Defer | None = None,
    now: Callable[[], float] = time.time,
) -> Portal | None:
    """
    What checks the credentials of a tenant: its C{login(credentials, None, IPrincipal)} gives a L{Principal}.

    @param files: the policy of the config.
    @param always: whether there is one although the tenant has no credentials, since one below it has.
    @param children: see L{Logins}, as the others.
    @return: L{None} if nobody could log in.
    @raise ConfigError: a file cannot be used, and why.
    @since: ugate NEXT
    """
    if not (always or hasCredentials(files)):
        return None
    return Portal(_Realm(), [Logins(reactor, files, path, children, defer=defer, now=now)])
