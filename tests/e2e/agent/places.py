"""Network namespaces of a bed: entering them, and listening to what arrives there."""

import contextlib
import ctypes
import os
import re
import socket
import struct

import packets

LIBC = ctypes.CDLL(None, use_errno=True)
HOME = os.open("/proc/self/ns/net", os.O_RDONLY)
# A number that a packet carries in its payload. It may stand in a host name too.
TOKEN = re.compile(rb"xq(\d{8})qx")
ERRORS = {packets.ICMP: (3, 11, 12), packets.ICMP6: (1, 2, 3, 4)}
OUTGOING = 4


def token(number):
    """The bytes by which a packet is known wherever it comes through."""
    return b"xq%08dqx" % number


class Arrival:
    """A packet that came in somewhere: its number where it has one, and what its headers say."""

    def __init__(self, packet, family=None):
        version = family or (packet[0] >> 4 if packet else 0)
        self.source, self.protocol, self.body = "", 0, packet
        if family == 6:
            # A raw socket of IPv6 gives no header.
            pass
        elif version == 4 and len(packet) >= 20:
            self.source, self.protocol = socket.inet_ntop(socket.AF_INET, packet[12:16]), packet[9]
            self.body = packet[(packet[0] & 15) * 4 :]
        elif version == 6 and len(packet) >= 40:
            self.source, self.protocol = socket.inet_ntop(socket.AF_INET6, packet[8:24]), packet[6]
            self.body = packet[40:]
        found = TOKEN.search(packet)
        self.number = int(found.group(1)) if found else None

    @property
    def is_error(self):
        """An ICMP error quotes the packet that it is about, number included."""
        return bool(self.body) and self.body[0] in ERRORS.get(self.protocol, ())

    @property
    def ports(self):
        """Source and target port."""
        return struct.unpack("!HH", self.body[:4]) if len(self.body) >= 4 else (0, 0)


class Place:
    """A network namespace, with its one card and the host's end of it."""

    def __init__(self, name, says):
        self.name, self.interface, self.bridge = name, says.get("interface"), says.get("bridge")
        self.is_host = self.interface is None
        self.namespace = HOME if self.is_host else os.open(says["namespace"], os.O_RDONLY)
        self.mac = self.bridge_mac = None
        if not self.is_host:
            self.mac = self.card().getsockname()[4]
        if self.bridge:
            self.bridge_mac = card(self.bridge).getsockname()[4]

    @contextlib.contextmanager
    def entered(self):
        """What is made inside stays there."""
        if LIBC.setns(self.namespace, 0):
            raise OSError(ctypes.get_errno(), f"{self.name} cannot be entered")
        try:
            yield
        finally:
            LIBC.setns(HOME, 0)

    def socket(self, *kind):
        """A socket of this place."""
        with self.entered():
            made = socket.socket(*kind)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE: under a flood nothing is overlooked
        return made

    def card(self):
        """Frames can be sent through it."""
        with self.entered():
            return card(self.interface)

    def ears(self):
        """Sockets that hear all that arrives, each with the way to read one packet from it.

        In a guest that is all that its card gets. On the host it is what came through its `input` chain.
        """
        if not self.is_host:
            ear = self.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
            return [(ear, lambda: self.heard_by_card(ear))]
        ears = []
        for protocol in (packets.ICMP, packets.TCP, packets.UDP, 4, 41, 47):
            ear = self.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
            ears.append((ear, lambda ear=ear: Arrival(ear.recv(65535))))
        for protocol in (packets.ICMP6, packets.TCP, packets.UDP, 47):
            ear = self.socket(socket.AF_INET6, socket.SOCK_RAW, protocol)
            ears.append((ear, lambda ear=ear, protocol=protocol: self.heard_by_raw6(ear, protocol)))
        return ears

    @staticmethod
    def heard_by_card(ear):
        packet, (_, _, kind, *_) = ear.recvfrom(65535)
        return Arrival(packet) if kind <= 2 else None  # to us, to all, to many; not passing by, not our own

    @staticmethod
    def heard_by_raw6(ear, protocol):
        packet, sender = ear.recvfrom(65535)
        arrival = Arrival(packet, 6)
        arrival.protocol, arrival.source = protocol, sender[0].split("%")[0]
        return arrival


def card(interface):
    """A raw socket of an interface of the namespace that we are in."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.bind((interface, 0))
    return made
