# -*- test-case-name: ugate.test.interop -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A trust domain whose members have their keys and certificates in folders, as Istio and Kubernetes mount them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography.x509 import ExtendedKeyUsage
from cryptography.x509.oid import ExtendedKeyUsageOID

from ugate.tenancy.identityown import keyText
from ugate.test.identityfakes import DAY, Holder, authority, certified

BOTH = ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), False
SERVER = ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False


class TrustDomain:
    """
    A root, one who certifies for it, and whom that one certifies.

    @ivar root: the root.
    @ivar issuer: who certifies; its own certificate goes along.
    """

    def __init__(self, folder: Path, name: str = "corp.example", root: Holder | None = None) -> None:
        """
        @param folder: where the folders of members are made.
        @param root: a root that there is already.
        """
        self.folder = folder
        self.name = name
        now = time.time()
        self.dates: dict[str, Any] = {"begins": now - DAY, "ends": now + DAY}
        self.root = root or authority(f"root of {name}", **self.dates)
        self.issuer = authority(f"issuer of {name}", self.root, 0, **self.dates)
        self.roots = folder / f"root-{id(self)}.pem"
        self.roots.write_bytes(self.root.pem())

    def spiffe(self, account: str, namespace: str = "shop") -> str:
        """
        The SPIFFE id of a member.
        """
        return f"spiffe://{self.name}/ns/{namespace}/sa/{account}"

    def member(
        self,
        account: str,
        namespace: str = "shop",
        *,
        names: Iterable[str] | None = None,
        purpose: Any = BOTH,
        **more: Any,
    ) -> Holder:
        """
        Somebody with a certificate.

        @param names: others than the SPIFFE id alone.
        @param more: see L{certified}.
        """
        names = (self.spiffe(account, namespace),) if names is None else names
        options: dict[str, Any] = {
            **self.dates,
            "by": self.issuer,
            "subject": account,
            "extensions": (purpose,),
            **more,
        }
        return certified(names, **options)

    def chain(self, holder: Holder) -> list[Holder]:
        """
        Who is to be sent with its certificate.
        """
        return [self.issuer] if holder.certificate.issuer == self.issuer.certificate.subject else []

    def istio(self, name: str, holder: Holder) -> Path:
        """
        The folder of a member, as Istio makes it.
        """
        path = self.folder / name
        path.mkdir(exist_ok=True)
        holder.write(path, "key.pem", "cert-chain.pem", self.chain(holder))
        (path / "root-cert.pem").write_bytes(self.root.pem())
        return path

    def kubernetes(self, name: str, holder: Holder) -> Path:
        """
        The folder of a member, as Kubernetes mounts a secret: links to links to files, and to renew it
        exchanges one of them.
        """
        path = self.folder / name
        path.mkdir(exist_ok=True)
        data = path / f"..{time.time_ns()}"
        data.mkdir()
        holder.write(data, "tls.key", "tls.crt", self.chain(holder))
        (data / "ca.crt").write_bytes(self.root.pem())
        link = path / "..data_tmp"
        link.symlink_to(data.name)
        link.rename(path / "..data")
        for each in ("tls.key", "tls.crt", "ca.crt"):
            if not (path / each).is_symlink():
                (path / each).symlink_to(f"..data/{each}")
        for old in path.glob("..[0-9]*"):
            if old != data:
                for file in old.iterdir():
                    file.unlink()
                old.rmdir()
        return path

    def pem(self, name: str, holder: Holder) -> Path:
        """
        One file with the certificates and then the key, as programs of others want it.
        """
        path = self.folder / f"{name}.pem"
        above = b"".join(each.pem() for each in self.chain(holder))
        path.touch(0o600)
        path.write_bytes(holder.pem() + above + keyText(holder.key))
        os.chmod(path, 0o600)
        return path
