import sys

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react

from ugate.errors import Denied


class Answer(Protocol):
    """
    Tells its client where it wanted to go.
    """

    def connectionMade(self):
        info = self.transport.getPeer()
        if info.target.port == 25:
            self.transport.refuse(Denied(str(info.target), "no mail from here"))
            return
        self.transport.accept()
        self.transport.write(f"{info.protocol} to {info.target}\n".encode())
        self.transport.loseConnection()


async def main(reactor, string):
    await serverFromString(reactor, string).listen(Factory.forProtocol(Answer))
    await Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
