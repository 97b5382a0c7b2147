#!/usr/bin/env python3
"""Sends packets of every kind between the network namespaces of a bed, and tells which of them arrived.

One JSON request a line comes in, one JSON answer a line goes out. Runs in the bed, as root.
"""

import json
import os
import selectors
import subprocess
import sys
import time

import flood
import kinds
import servers
from places import Place

AGAIN = 0.1  # a packet that was not answered is sent once more after this many seconds
QUIET = 0.25  # how long nothing must have come for it to count as dropped


class Agent:
    """The loop around everything, and what is remembered between requests."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.places, self.addresses, self.ears = {}, {}, []
        self.servers = servers.Servers(self)
        self.conversations, self.flood = {}, flood.Flood(self)
        self.probes, self.by_port, self.curious, self.count = {}, {}, [], 0

    def watch(self, file, ready, events=selectors.EVENT_READ):
        """Calls `ready` when there is something to read."""
        self.selector.register(file, events, ready)

    def forget(self, file):
        """The end of a socket."""
        try:
            self.selector.unregister(file)
        except (KeyError, ValueError):
            pass
        file.close()

    def turn(self, seconds):
        """Waits for something to happen, and lets it."""
        for key, _ in self.selector.select(max(seconds, 0)):
            key.data()

    def address(self, name, over):
        """The address of a name, in that family; an address is its own name."""
        return self.addresses[name][0 if over == 4 else 1] if name in self.addresses else name

    # Requests

    def do_places(self, places, addresses):
        """Where there is anything to send from, and what it is called."""
        for ear in self.ears:
            self.forget(ear)
        self.ears, self.addresses = [], addresses
        self.places = {name: Place(name, says) for name, says in places.items()}
        for place in self.places.values():
            for ear, hear in place.ears():
                self.ears.append(ear)
                self.watch(ear, lambda place=place, hear=hear: self.hear(place, hear))
        return {}

    def do_open(self, conversations):
        """Opens conversations: each end has said something to the other. Tells which could not be opened."""
        for says in conversations:
            name = f"{says.pop('name')}/{says['over']}"
            if name in self.conversations:
                self.conversations.pop(name).close()
            self.conversations[name] = servers.CONVERSATIONS[says.pop("kind")](self, **says)
        opened = self.conversations
        self.until(lambda: all(one.is_open for one in opened.values()), 5, opened.values())
        return {"closed": [name for name, one in opened.items() if not one.is_open]}

    def do_round(self, probes, before=(), after=(), patience=5):
        """Sends all of these at once; what became of each."""
        self.run(before)
        self.probes, self.by_port = {}, {}
        for says in probes:
            self.count += 1
            probe = kinds.probe(self, self.count, **says)
            self.probes[self.count] = probe
            self.by_port[probe.sport] = probe
        self.curious = [probe for probe in self.probes.values() if probe.curious]
        sent = self.probes.values()
        quiet = QUIET if any(probe.expected in ("dropped", "not passed") for probe in sent) else 0
        self.until(lambda: all(probe.is_as_expected for probe in sent), patience, sent, quiet)
        result = [probe.outcome() for probe in self.probes.values()]
        for probe in self.probes.values():
            probe.close()
        self.probes, self.by_port, self.curious = {}, {}, []
        self.run(after)
        return {"outcomes": result}

    def do_flood(self, **says):
        """Begins to send without an end."""
        return self.flood.begin(**says)

    def do_tell(self, afresh):
        """What came of the flood."""
        return self.flood.tell(afresh)

    # What they stand on

    @staticmethod
    def run(command):
        """Runs a program that has nothing to fail at."""
        if command:
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def until(self, is_so, patience, senders, at_least=0.0):
        """Lets the senders send until it is so, and for some time at least."""
        begin = time.monotonic()
        sent = 0.0
        while True:
            now = time.monotonic()
            if (now - begin >= at_least and is_so()) or now - begin >= patience:
                return
            if now - sent >= AGAIN:
                sent = now
                for sender in senders:
                    sender.send()
            self.turn(min(0.02, AGAIN))

    def hear(self, place, hear):
        """Gives what arrived to the probe that it is of."""
        for _ in range(64):
            try:
                arrival = hear()
            except (BlockingIOError, OSError):
                return
            if arrival:
                self.take(place, arrival)

    def take(self, place, arrival):
        self.flood.heard(place.name, arrival)
        probe = self.probes.get(arrival.number)
        if probe is None and arrival.protocol in (6, 17):
            sport, port = arrival.ports
            probe = self.by_port.get(sport) or self.by_port.get(port)
        if probe:
            probe.heard(place.name, arrival)
        for other in self.curious:
            other.overheard(place.name, arrival)

    def serve(self):
        """Answers requests until there are no more."""
        os.set_blocking(sys.stdin.fileno(), False)
        self.pending, self.ended = b"", False
        self.watch(sys.stdin, self.read)
        while not self.ended:
            self.turn(self.flood.pause())
            self.flood.go_on()

    def read(self):
        said = os.read(sys.stdin.fileno(), 1 << 20)
        self.ended = not said
        self.pending += said
        while b"\n" in self.pending:
            line, self.pending = self.pending.split(b"\n", 1)
            request = json.loads(line)
            answer = getattr(self, "do_" + request.pop("do"))(**request)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    Agent().serve()
