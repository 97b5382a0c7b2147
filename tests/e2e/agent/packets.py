"""Packets by hand, header by header: what no honest program would send."""

import socket
import struct

ARP, IPV4, VLAN, IPV6 = 0x0806, 0x0800, 0x8100, 0x86DD
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
BROADCAST = b"\xff" * 6


def binary(address):
    """The bytes of an address of either family."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def checksum(data):
    """The internet checksum."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ether(target, source, kind, payload, vlan=None):
    """A frame; with a VLAN, tagged."""
    tag = b"" if vlan is None else struct.pack("!HH", VLAN, vlan)
    return (target + source + tag + struct.pack("!H", kind) + payload).ljust(60, b"\0")


def ip(source, target, protocol, payload, hops=64, fragment=0, more=False):
    """A packet of the addresses' family; `fragment` is an offset in bytes."""
    if ":" in source:
        if fragment or more:
            payload = struct.pack("!BBHI", protocol, 0, fragment | more, 0x5EED) + payload
            protocol = 44
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops) + binary(source) + binary(target) + payload
    flags = (0x2000 if more else 0) | fragment >> 3
    length = 20 + len(payload)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 0x5EED, flags, hops, protocol, 0, binary(source), binary(target))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def pseudo(source, target, protocol, length):
    """What transport checksums cover besides the transport's own bytes."""
    if ":" in source:
        return binary(source) + binary(target) + struct.pack("!II", length, protocol)
    return binary(source) + binary(target) + struct.pack("!HH", protocol, length)


def udp(source, target, sport, port, payload):
    """A whole datagram, with its IP header."""
    return ip(source, target, UDP, udp_part(source, target, sport, port, payload))


def udp_part(source, target, sport, port, payload):
    """A datagram without its IP header."""
    head = struct.pack("!HHHH", sport, port, 8 + len(payload), 0)
    total = checksum(pseudo(source, target, UDP, 8 + len(payload)) + head + payload)
    return head[:6] + struct.pack("!H", total or 0xFFFF) + payload


def syn(source, target, sport, port, payload):
    """A connection's first segment, with its IP header; it may carry bytes."""
    head = struct.pack("!HHIIBBHHH", sport, port, 1, 0, 5 << 4, 2, 1024, 0, 0)
    total = checksum(pseudo(source, target, TCP, 20 + len(payload)) + head + payload)
    return ip(source, target, TCP, head[:16] + struct.pack("!H", total) + head[18:] + payload)


def icmp(source, target, kind, code, body, hops=64):
    """An ICMP or ICMPv6 message, with its IP header; `body` begins after the checksum."""
    head = struct.pack("!BBH", kind, code, 0)
    six = ":" in source
    cover = pseudo(source, target, ICMP6, 4 + len(body)) if six else b""
    total = checksum(cover + head + body)
    return ip(source, target, ICMP6 if six else ICMP, struct.pack("!BBH", kind, code, total) + body, hops)


def echo(ident, payload, over):
    """An echo request for a raw socket; the kernel fills in ICMPv6's checksum."""
    head = struct.pack("!BBHHH", 128 if over == 6 else 8, 0, 0, ident, 1)
    return head[:2] + struct.pack("!H", checksum(head + payload)) + head[4:] + payload


def arp(operation, mac, address, target_mac, target):
    """Who has `target`? Or: `address` is at `mac`."""
    head = struct.pack("!HHBBH", 1, IPV4, 6, 4, operation)
    return head + mac + binary(address) + target_mac + binary(target)


def solicited(address):
    """The group that a neighbour solicitation for this address goes to."""
    return socket.inet_ntop(socket.AF_INET6, b"\xff\x02" + b"\0" * 9 + b"\x01\xff" + binary(address)[13:])


def dhcp(kind, number, mac, address="0.0.0.0"):
    """A message of a DHCP client, which wants to be answered by broadcast where it has no address yet."""
    flags = 0x8000 if address == "0.0.0.0" else 0
    head = struct.pack("!BBBBIHH", 1, 1, 6, 0, number, 0, flags) + binary(address) + b"\0" * 12
    return head + mac.ljust(16, b"\0") + b"\0" * 192 + b"\x63\x82\x53\x63" + bytes([53, 1, kind, 255])


def dns(number, name):
    """A question for the IPv4 address of a name."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", number & 0xFFFF, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)
