import sys

import treq.client

from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.task import react
from twisted.web.client import Agent

from ugate.endpoints.clients import OURSELVES
from ugate.endpoints.dialing import dialerFromText
from ugate.stream import StreamInfo, Target


class Through:
    """
    Tells an agent how to reach the host of each request.
    """

    def __init__(self, reactor, hops):
        self.dialer = dialerFromText(reactor, hops)

    def endpointForURI(self, uri):
        host = uri.host.decode("ascii")
        endpoint = self.dialer.endpointFor(StreamInfo(OURSELVES, OURSELVES, Target(host, uri.port)))
        return wrapClientTLS(optionsForClientTLS(host), endpoint) if uri.scheme == b"https" else endpoint


async def main(reactor, hops, *urls):
    client = treq.client.HTTPClient(Agent.usingEndpointFactory(reactor, Through(reactor, hops)))
    for url in urls:
        response = await client.get(url)
        print(response.code, await response.text())


if __name__ == "__main__":
    react(main, sys.argv[1:])
