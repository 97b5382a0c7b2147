"""Packets without an end, and conversations that go on, counted while something else happens."""

import os
import socket
import subprocess
import time

import kinds
from places import OUTGOING, Arrival
from servers import FAMILY, bound

EVERY = 0.04
FIRST = 80000000  # flows have numbers of their own


class Flow:
    """One packet again and again. It is not to leave the host by this interface, or (`host`) not to come in."""

    def __init__(self, agent, number, name, watch, **says):
        self.name, self.watch = name, watch
        self.probe = kinds.probe(agent, number, expected="dropped", **says)
        self.reset()

    def reset(self):
        self.sent = self.crossed = self.answered = 0

    def send(self):
        self.sent += 1
        self.probe.send()

    def told(self):
        return {"sent": self.sent, "crossed": self.crossed, "answered": self.answered}


class Talk:
    """A client that says something again and again, and a server that repeats it, over one connection."""

    def __init__(self, agent, name, kind, over, at, port, **ends):
        self.name, self.is_stream, self.line = name, kind == "tcp", None
        self.agent = agent
        kind = socket.SOCK_STREAM if self.is_stream else socket.SOCK_DGRAM
        self.server = bound(agent.places[ends["to"]], over, kind, port)
        self.client = agent.places[ends["from"]].socket(FAMILY[over], kind)
        if self.is_stream:
            self.server.listen(1)
            agent.watch(self.server, self.accept)
        else:
            self.line = self.server
            agent.watch(self.line, self.repeat)
        self.client.connect_ex((agent.address(at, over), port))
        agent.watch(self.client, self.hear)
        self.waiting = 0
        self.silent_since = time.monotonic()
        self.reset()

    def reset(self):
        self.sent = self.asked = self.answered = self.longest = 0

    def accept(self):
        self.line, _ = self.server.accept()
        self.line.setblocking(False)
        self.agent.watch(self.line, self.repeat)

    def repeat(self):
        try:
            said, peer = self.line.recvfrom(65535)
            self.asked += len(said)
            self.silent_since = time.monotonic()
            if self.is_stream:
                self.line.send(said)
            else:
                self.line.sendto(said, peer)
        except OSError:
            pass

    def hear(self):
        try:
            self.answered += len(self.client.recv(65535))
            self.silent_since, self.waiting = time.monotonic(), 0
        except OSError:
            pass

    def send(self):
        try:
            self.client.send(b"x")
            self.sent += 1
        except OSError:
            pass
        self.waiting += 1
        self.longest = max(self.longest, self.waiting)

    def told(self):
        """Among it the most that was said in a row without an answer, and for how many seconds nothing was heard."""
        silent = time.monotonic() - self.silent_since
        counts = {"sent": self.sent, "asked": self.asked, "answered": self.answered, "longest": self.longest}
        return counts | {"silent": silent}


class Stowaway:
    """A cable from a place of ours that is plugged into a bridge as soon as there is one of that name."""

    def __init__(self, cable, bridge, place):
        self.cable, self.bridge, self.place = cable, bridge, place

    def plug(self):
        there = os.path.exists(f"/sys/class/net/{self.bridge}")
        if there and not os.path.exists(f"/sys/class/net/{self.cable}/master"):
            plug = ["ip", "link", "set", self.cable, "master", self.bridge, "up"]
            # The bridge may be gone again by now.
            if subprocess.run(plug, stderr=subprocess.DEVNULL).returncode == 0:
                subprocess.run(["ip", "-n", self.place, "neigh", "flush", "dev", "eth0"])


class Flood:
    """All of it, and who listens on all of the host's interfaces."""

    def __init__(self, agent):
        self.agent, self.flows, self.talks, self.stowaway, self.sent = agent, {}, [], None, 0

    def begin(self, flows, talks, stowaway):
        """Begins, and goes on until the agent ends."""
        self.ear = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.ear.setblocking(False)
        self.ear.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
        self.agent.watch(self.ear, self.listen)
        for number, says in enumerate(flows, FIRST):
            self.flows[number] = Flow(self.agent, number, **says)
        self.talks = [Talk(self.agent, **says) for says in talks]
        self.stowaway = Stowaway(**stowaway)
        return {}

    def tell(self, afresh):
        """What came of it since it was last told afresh."""
        everything = [*self.flows.values(), *self.talks]
        told = {one.name: one.told() for one in everything}
        if afresh:
            for one in everything:
                one.reset()
        return told

    def pause(self):
        """For how long there is nothing to do."""
        return 0.005 if self.stowaway else 1

    def go_on(self):
        if self.stowaway:
            self.stowaway.plug()
        if time.monotonic() - self.sent >= EVERY:
            self.sent = time.monotonic()
            for one in [*self.flows.values(), *self.talks]:
                one.send()

    def listen(self):
        for _ in range(256):
            try:
                packet, (interface, _, kind, *_) = self.ear.recvfrom(65535)
            except BlockingIOError:
                return
            except OSError:
                continue  # an interface that is gone
            if kind == OUTGOING:
                self.count(Arrival(packet), interface)

    def heard(self, place, arrival):
        """Something came in at a place."""
        flow = self.flows.get(arrival.number)
        if flow and place == flow.probe.source.name and not arrival.is_error:
            flow.answered += 1
        self.count(arrival, place)

    def count(self, arrival, where):
        flow = self.flows.get(arrival.number)
        if flow and flow.watch == where and not arrival.is_error:
            flow.crossed += 1
