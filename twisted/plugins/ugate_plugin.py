# -*- test-case-name: ugate.test.test_plugin -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What Twisted finds of ugate: C{twistd ugate}, and the prefixes of endpoint strings.
"""

from twisted.application.service import ServiceMaker

from ugate.endpoints.parsers import HopParser, ServerParser

service = ServiceMaker("ugate", "ugate.tap", "A gateway between protocols.", "ugate")

socksServer = ServerParser("socks")
socks4Server = ServerParser("socks4")
connectServer = ServerParser("connect")
proxyprotoServer = ServerParser("proxyproto")
forwardServer = ServerParser("forward")
autoServer = ServerParser("auto")

socksClient = HopParser("socks")
socks4Client = HopParser("socks4")
connectClient = HopParser("connect")
