"""Who answers: echo servers, made where a probe needs one; and conversations that go on."""

import socket

import packets
from places import token

FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
# What to ask for so that an answer comes from the address that was asked.
PKTINFO = {4: (socket.IPPROTO_IP, 8), 6: (socket.IPPROTO_IPV6, 49)}


def bound(place, over, kind, port):
    """A socket that takes packets to any address of a place."""
    made = place.socket(FAMILY[over], kind)
    if over == 6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("", port))
    return made


class Servers:
    """Echo servers on every port that was asked for."""

    def __init__(self, agent):
        self.agent, self.there = agent, {}

    def ensure(self, place, over, kind, port):
        """There is one from now on. A port that a program of the place has keeps it."""
        key = (place.namespace, over, kind, port)
        if key in self.there:
            return
        self.there[key] = None
        try:
            made = bound(place, over, kind, port)
        except OSError:
            return
        self.there[key] = made
        if kind == socket.SOCK_STREAM:
            made.listen(256)
            self.agent.watch(made, lambda: self.accept(made))
        else:
            made.setsockopt(*PKTINFO[over], 1)
            self.agent.watch(made, lambda: self.answer(made))

    def accept(self, server):
        line, _ = server.accept()
        line.setblocking(False)
        self.agent.watch(line, lambda: self.echo(line))

    def echo(self, line):
        try:
            said = line.recv(65535)
            if said:
                line.send(said)
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.agent.forget(line)

    @staticmethod
    def answer(server):
        try:
            said, about, _, sender = server.recvmsg(65535, 256)
            server.sendmsg([said], about, 0, sender)
        except OSError:
            pass


class Conversation:
    """What two places say to each other: connection tracking has it in its table."""

    numbers = 90000000

    def __init__(self, agent, over, at, port, **ends):
        Conversation.numbers += 1
        self.agent, self.over, self.port = agent, over, port
        self.client_place, self.server_place = agent.places[ends["from"]], agent.places[ends["to"]]
        self.server_address = agent.address(at, over)
        self.hello = token(Conversation.numbers)
        self.peer = None  # the client, as the server sees it
        self.is_open = False
        self.sockets = []
        self.prepare()

    def watched(self, made, ready):
        self.sockets.append(made)
        self.agent.watch(made, ready)
        return made

    @property
    def client_end(self):
        """The client's address and port, as it knows them itself."""
        return self.agent.address(self.client_place.name, self.over), self.client.getsockname()[1]

    def close(self):
        for made in self.sockets:
            self.agent.forget(made)

    def answered(self, line):
        try:
            self.is_open |= line.recv(65535).endswith(b"yes " + self.hello)
        except OSError:
            pass


class Datagrams(Conversation):
    """Of UDP: the next one can be sent at any time, the one way or the other."""

    protocol = packets.UDP

    def prepare(self):
        made = bound(self.server_place, self.over, socket.SOCK_DGRAM, self.port)
        self.server = self.watched(made, self.asked)
        made = bound(self.client_place, self.over, socket.SOCK_DGRAM, self.port + 1)
        self.client = self.watched(made, lambda: self.answered(self.client))

    def send(self):
        """Says hello until it was answered."""
        if not self.is_open:
            self.say("original", self.hello)

    def say(self, way, payload):
        """One datagram, from the one end or the other."""
        try:
            if way == "original":
                self.client.sendto(payload, (self.server_address, self.port))
            else:
                self.server.sendto(payload, self.peer)
        except OSError:
            pass

    def asked(self):
        try:
            said, peer = self.server.recvfrom(65535)
        except OSError:
            return
        if said == self.hello:
            self.peer = peer[:2]
            self.say("reply", b"yes " + self.hello)


class Stream(Conversation):
    """Of TCP: it stands, and others may say something about it."""

    protocol = packets.TCP

    def prepare(self):
        made = bound(self.server_place, self.over, socket.SOCK_STREAM, self.port)
        made.listen(1)
        self.server = self.watched(made, self.asked)
        self.client = self.client_place.socket(FAMILY[self.over], socket.SOCK_STREAM)
        self.watched(self.client, lambda: self.answered(self.client))

    def send(self):
        """Tries to connect until it is so."""
        self.client.connect_ex((self.server_address, self.port))

    def asked(self):
        line, peer = self.server.accept()
        self.peer = peer[:2]
        self.sockets.append(line)
        line.send(b"yes " + self.hello)


CONVERSATIONS = {"udp": Datagrams, "tcp": Stream}
