import sys

import treq.client

from twisted.internet.endpoints import clientFromString
from twisted.internet.task import react
from twisted.web.client import Agent


class Through:
    def __init__(self, endpoint):
        self.endpointForURI = lambda uri: endpoint


async def main(reactor, string, url):
    endpoint = clientFromString(reactor, string)
    client = treq.client.HTTPClient(Agent.usingEndpointFactory(reactor, Through(endpoint)))
    response = await client.get(url)
    print(response.code, await response.text())


if __name__ == "__main__":
    react(main, sys.argv[1:])
