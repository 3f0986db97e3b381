"""
A module that says hello to whoever asks by HTTP.
"""

from zope.interface import implementer

from twisted.application.service import Service
from twisted.web.resource import Resource

from ugate.interfaces import IModule, IPrincipal, IServesHTTP
from ugate_hello import Hello


class Greeting(Resource):
    isLeaf = True

    def __init__(self, text):
        super().__init__()
        self.text = text

    def render_GET(self, request):
        who = IPrincipal(request, None)
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        return f"{self.text}, {who or 'stranger'}\n".encode()


@implementer(IServesHTTP)
class Greeter(Service):
    """
    One section of one tenant: started with it, stopped when the section goes or changes.
    """

    def __init__(self, tenant, section):
        self.isPublic = section.public
        self._resource = Greeting(f"{section.text} from {tenant.name}")

    def resource(self):
        return self._resource


@implementer(IModule)
class HelloModule:
    name = "hello"
    summary = "says hello to whoever asks"
    schema = Hello

    def makeService(self, tenant, name, section):
        return Greeter(tenant, section)
