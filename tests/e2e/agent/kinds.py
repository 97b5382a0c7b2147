"""The kinds of probes: what each sends, and by what it is known to have come through."""

import errno
import socket
import struct

import packets
from places import token
from servers import FAMILY


def probe(agent, number, how, **says):
    """`udp port=7000 size=3000`: a kind, and its options."""
    kind, *options = how.split()
    return KINDS[kind](agent, number, dict(option.split("=", 1) for option in options), **says)


class Probe:
    """A packet from one place to another, at an address of that one. It is answered, or arrives, or neither."""

    answering = True
    curious = False  # knows an answer by other things than its number

    def __init__(self, agent, number, options, over, at, expected, seen_as=None, **ends):
        self.agent, self.number, self.options, self.over = agent, number, options, over
        self.expected, self.seen_as = expected, seen_as
        self.source, self.target = agent.places[ends["from"]], agent.places[ends["to"]]
        self.address = agent.address(at, over) if at else None
        self.own = agent.address(ends["from"], over)
        self.port = int(options.get("port", 0))
        self.sport = 20000 + number % 12000
        self.token = token(number)
        self.answered = self.arrived = self.error = False
        self.seen_from = None
        self.socket = None
        self.prepare()

    def prepare(self):
        """Makes what it needs."""

    def send(self):
        """Sends it, once more if it was sent before."""
        try:
            self.transmit()
        except OSError:
            pass  # no route, or an earlier one was refused: that is an answer to nobody

    def transmit(self):
        raise NotImplementedError

    def heard(self, place, arrival):
        """Something of it arrived somewhere."""
        if place == self.source.name:
            if arrival.is_error:
                self.error = True
            elif self.answering and arrival.number == self.number:
                self.answered = True
        elif place == self.target.name and not arrival.is_error:
            self.arrived, self.seen_from = True, arrival.source

    def overheard(self, place, arrival):
        """Anything arrived anywhere."""

    @property
    def came_through(self):
        return self.answered if self.answering else self.arrived

    @property
    def is_as_expected(self):
        """What passed came all the way, was answered where there is an answer, and came from where it was to."""
        passed = self.came_through and self.seen_as in (None, self.seen_from)
        crossed = self.answered or self.arrived
        return {"passed": passed, "not passed": not passed, "crossed": crossed, "dropped": not crossed}[self.expected]

    def outcome(self):
        return {"expected": self.is_as_expected, "answered": self.answered, "arrived": self.arrived, "from": self.seen_from}

    def close(self):
        if self.socket:
            self.agent.forget(self.socket)

    def serve(self, kind):
        port = int(self.options.get("served", self.port))
        self.agent.servers.ensure(self.target, self.over, kind, port)


class Udp(Probe):
    """A datagram that a server sends back."""

    def prepare(self):
        self.serve(socket.SOCK_DGRAM)
        self.payload = self.token.ljust(int(self.options.get("size", 0)), b".")
        self.socket = self.source.socket(FAMILY[self.over], socket.SOCK_DGRAM)
        self.socket.bind(("", self.sport))

    def transmit(self):
        self.socket.sendto(self.payload, (self.address, self.port))


class Refused(Udp):
    """A datagram to a port where nobody listens: an ICMP error says so."""

    def serve(self, kind):
        pass

    @property
    def came_through(self):
        return self.error


class TooBig(Refused):
    """A datagram that may not be cut in pieces, and that the way is too narrow for."""

    def prepare(self):
        super().prepare()
        level, option = {4: (socket.IPPROTO_IP, 10), 6: (socket.IPPROTO_IPV6, 23)}[self.over]
        self.socket.setsockopt(level, option, 3)  # IP_MTU_DISCOVER: do not learn from it either


class Tcp(Probe):
    """A connection, and bytes there and back."""

    def prepare(self):
        self.serve(socket.SOCK_STREAM)
        self.open()

    def open(self):
        self.socket = self.source.socket(FAMILY[self.over], socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Closed at once and without a trace: the far side is told where a way is left.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.bind(("", self.sport))
        self.is_said = False

    def transmit(self):
        if self.answered:
            return
        code = self.socket.connect_ex((self.address, self.port))
        if code in (0, errno.EISCONN):
            self.socket.send(self.token)
        elif code not in (errno.EINPROGRESS, errno.EALREADY):
            self.agent.forget(self.socket)
            self.open()


class Ping(Probe):
    """An echo request."""

    def prepare(self):
        protocol = packets.ICMP6 if self.over == 6 else packets.ICMP
        self.socket = self.source.socket(FAMILY[self.over], socket.SOCK_RAW, protocol)

    def transmit(self):
        self.socket.sendto(packets.echo(self.sport, self.token, self.over), (self.address, 0))


class Protocol(Probe):
    """Any other protocol over IP."""

    answering = False

    def prepare(self):
        self.socket = self.source.socket(FAMILY[self.over], socket.SOCK_RAW, int(self.options["number"]))

    def transmit(self):
        self.socket.sendto(self.token, (self.address, 0))


class Frame(Probe):
    """Something that no program could send through an honest socket."""

    answering = False

    def prepare(self):
        self.socket = self.source.card()

    def transmit(self):
        vlan = self.options.get("vlan")
        mac = self.options.get("mac")
        source = self.agent.places[mac].mac if mac else self.source.mac
        for kind, packet in self.packets():
            frame = packets.ether(self.to_mac(), source, kind, packet, vlan and int(vlan))
            self.socket.send(frame)

    def to_mac(self):
        name = self.options.get("to-mac", "gateway")
        if name == "all":
            return packets.BROADCAST
        return self.source.bridge_mac if name == "gateway" else self.agent.places[name].mac

    def packets(self):
        return [(packets.IPV6 if self.over == 6 else packets.IPV4, packet) for packet in self.built()]

    def built(self):
        raise NotImplementedError

    @property
    def pretended(self):
        """The source address that is written in it."""
        return self.agent.address(self.options["as"], self.over) if "as" in self.options else self.own


class Forged(Frame):
    """A datagram with any source."""

    def built(self):
        sport = int(self.options.get("sport", self.sport))
        return [packets.udp(self.pretended, self.address, sport, self.port, self.token)]


class Syn(Frame):
    """The first packet of a connection with any source."""

    def built(self):
        return [packets.syn(self.pretended, self.address, self.sport, self.port, self.token)]


class Fragments(Frame):
    """A datagram in pieces, so small that the first holds the ports and nothing else."""

    def built(self):
        whole = packets.udp_part(self.own, self.address, self.sport, self.port, self.token + b"....")
        first = packets.ip(self.own, self.address, packets.UDP, whole[:8], more=True)
        return [first, packets.ip(self.own, self.address, packets.UDP, whole[8:], fragment=8)]


class Arp(Frame):
    """Somebody's address is said to be here."""

    def packets(self):
        said = packets.arp(2, self.source.mac, self.pretended, packets.BROADCAST, self.pretended)
        return [(packets.ARP, said + self.token)]

    def to_mac(self):
        return packets.BROADCAST


class Solicit(Frame):
    """Whose is this IPv6 address? The neighbour says so himself."""

    answering = curious = True

    def to_mac(self):
        return b"\x33\x33" + packets.binary(packets.solicited(self.address))[12:]

    def built(self):
        body = b"\0" * 4 + packets.binary(self.address) + b"\x01\x01" + self.source.mac
        return [packets.icmp(self.own, packets.solicited(self.address), 135, 0, body, 255)]

    def overheard(self, place, arrival):
        told = arrival.protocol == packets.ICMP6 and arrival.body[:1] == b"\x88"
        if place == self.source.name and told and arrival.body[8:24] == packets.binary(self.address):
            self.answered = True


class Advertise(Frame):
    """`I am your router`, said by a machine."""

    def to_mac(self):
        return b"\x33\x33\0\0\0\x01" if self.address == "ff02::1" else super().to_mac()

    def built(self):
        prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + packets.binary("fd00:bad::")
        body = struct.pack("!BBHII", 64, 0, 1800, 0, 0) + prefix + b"\xc8\x02" + self.token + b"\0\0"
        return [packets.icmp("fe80::bad", self.address, 134, 0, body, 255)]


class About(Frame):
    """Something that somebody else says about a conversation, to one end of it."""

    def prepare(self):
        super().prepare()
        self.conversation = self.agent.conversations[f"{self.options['conversation']}/{self.over}"]
        server = (self.conversation.server_address, self.conversation.port)
        if self.options.get("end", "client") == "client":
            ends = self.conversation.peer, server  # as it is seen from the server's side of any translation
        else:
            ends = server, self.conversation.client_end
        (self.end, self.end_port), (self.peer, self.peer_port) = ends

    @property
    def quoted(self):
        """What this end had said to its peer."""
        build = packets.udp if self.conversation.protocol == packets.UDP else packets.syn
        return build(self.end, self.peer, self.end_port, self.peer_port, self.token)


class Inject(About):
    """A datagram of somebody else, as if the peer had sent it."""

    def built(self):
        return [packets.udp(self.peer, self.end, self.peer_port, self.end_port, self.token)]


class Unreachable(About):
    """`Your peer cannot be reached`."""

    def built(self):
        kind, code = (1, 0) if self.over == 6 else (3, 1)
        return [packets.icmp(self.pretended, self.end, kind, code, b"\0" * 4 + self.quoted)]

    def heard(self, place, arrival):
        self.arrived |= place == self.target.name and arrival.number == self.number


class Redirect(Unreachable):
    """`Go by me from now on`."""

    def built(self):
        if self.over == 4:
            return [packets.icmp(self.pretended, self.end, 5, 1, packets.binary(self.own) + self.quoted)]
        quoted = self.quoted.ljust(len(self.quoted) + -len(self.quoted) % 8, b"\0")
        option = struct.pack("!BBHI", 4, len(quoted) // 8 + 1, 0, 0) + quoted
        body = b"\0" * 4 + packets.binary("fe80::bad") + packets.binary(self.peer) + option
        return [packets.icmp("fe80::bad", self.end, 137, 0, body, 255)]


class More(Probe):
    """The next datagram of a conversation, the one way or the other."""

    answering = False

    def prepare(self):
        self.conversation = self.agent.conversations[f"{self.options['conversation']}/{self.over}"]

    def transmit(self):
        self.conversation.say(self.options["way"], self.token)


class Dns(Probe):
    """A name, asked of a server. It is answered when there is an address; a `*` in it makes it one of a kind."""

    def prepare(self):
        self.name = self.options["name"].replace("*", self.token.decode())
        self.socket = self.source.socket(FAMILY[self.over], socket.SOCK_DGRAM)
        self.socket.bind(("", self.sport))

    def transmit(self):
        self.socket.sendto(packets.dns(self.number, self.name), (self.address, 53))

    def heard(self, place, arrival):
        sport, port = arrival.ports
        if place == self.source.name and arrival.protocol == packets.UDP and (sport, port) == (53, self.sport):
            _, flags, _, answers = struct.unpack("!HHHH", arrival.body[8:16])
            self.answered |= not flags & 15 and answers > 0
        elif place == self.target.name:
            self.arrived |= arrival.number == self.number


class Dhcp(Frame):
    """A client that looks for an address, or asks about the network with the one that it has."""

    answering = curious = True

    def to_mac(self):
        return packets.BROADCAST if "new" in self.options else super().to_mac()

    def built(self):
        if "new" in self.options:
            said = packets.dhcp(1, self.number, self.source.mac)
            return [packets.udp("0.0.0.0", "255.255.255.255", 68, 67, said)]
        said = packets.dhcp(8, self.number, self.source.mac, self.pretended)
        return [packets.udp(self.pretended, self.address, 68, 67, said)]

    def overheard(self, place, arrival):
        from_server = arrival.protocol == packets.UDP and arrival.ports[0] == 67
        if place == self.source.name and from_server:
            self.answered |= arrival.body[12:16] == struct.pack("!I", self.number)


KINDS = {
    "udp": Udp, "refused": Refused, "too-big": TooBig, "tcp": Tcp, "ping": Ping, "protocol": Protocol,
    "forged": Forged, "syn": Syn, "fragments": Fragments, "arp": Arp, "solicit": Solicit, "advertise": Advertise,
    "inject": Inject, "unreachable": Unreachable, "redirect": Redirect, "more": More, "dns": Dns, "dhcp": Dhcp,
}
