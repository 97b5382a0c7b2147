//! Sockets that watch packets go by: in the network namespaces of machines, and where the host takes packets in.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, eth, ipproto, sockopt};
use rustix::thread::LinkNameSpaceType;

use super::Packet;
use super::packet::{self, Seen};

/// Where a socket watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// On all cards of the machine with this first process: outside of whatever firewall it has itself.
    Machine(u32),
    /// Where the host takes in packets of this protocol from this address, to this address of its own: behind every
    /// firewall of the host.
    Host { from: IpAddr, to: Option<IpAddr>, protocol: Wire },
}

/// A protocol as the host's sockets pick it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wire {
    Icmp,
    Tcp,
    Udp,
}

impl From<Packet> for Wire {
    fn from(packet: Packet) -> Self {
        match packet {
            Packet::Ping => Self::Icmp,
            Packet::Tcp(_) => Self::Tcp,
            Packet::Udp(_) => Self::Udp,
        }
    }
}

impl Wire {
    fn protocol(self, ipv6: bool) -> (Protocol, u8) {
        match (self, ipv6) {
            (Self::Icmp, false) => (ipproto::ICMP, 1),
            (Self::Icmp, true) => (ipproto::ICMPV6, 58),
            (Self::Tcp, _) => (ipproto::TCP, 6),
            (Self::Udp, _) => (ipproto::UDP, 17),
        }
    }
}

/// A socket that never waits and is closed in programs that are started.
pub(super) fn socket(family: AddressFamily, kind: SocketType, protocol: Option<Protocol>) -> Result<OwnedFd, Errno> {
    rustix::net::socket_with(family, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, protocol)
}

/// A raw socket of a protocol.
pub(super) fn raw(protocol: Wire, ipv6: bool) -> Result<OwnedFd, Errno> {
    socket(family(ipv6), SocketType::RAW, Some(protocol.protocol(ipv6).0))
}

pub(super) fn family(ipv6: bool) -> AddressFamily {
    if ipv6 { AddressFamily::INET6 } else { AddressFamily::INET }
}

/// A socket that watches.
pub(super) struct Ear {
    socket: OwnedFd,
    pub(super) place: Place,
}

/// Room for what comes while nobody looks: a busy machine has much else to say.
const BUFFER: usize = 1 << 20;

impl Ear {
    /// Opens one; the thread is in the machine's namespace, or in the host's.
    pub(super) fn open(place: Place) -> Result<Self, Errno> {
        let socket = match place {
            Place::Machine(_) => {
                let socket = socket(AddressFamily::PACKET, SocketType::DGRAM, Some(eth::ALL))?;
                // Without it there is less room, and nothing worse.
                let _ = sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER);
                socket
            }
            Place::Host { from, to, protocol } => {
                let socket = raw(protocol, from.is_ipv6())?;
                if let Some(to) = to {
                    rustix::net::bind(&socket, &SocketAddr::new(to, 0))?;
                }
                rustix::net::connect(&socket, &SocketAddr::new(from, 0))?;
                socket
            }
        };
        Ok(Self { socket, place })
    }

    /// Hands over all that has come since.
    pub(super) fn drain(&self, mut each: impl FnMut(Seen)) {
        let mut buffer = [0; 256];
        loop {
            // A packet may be longer than what is wanted of it.
            let length = match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => length.min(buffer.len()),
                Err(Errno::INTR) => continue,
                Err(_) => return,
            };
            let seen = match self.place {
                // A raw socket of IPv6 leaves the header out.
                Place::Host { from: from @ IpAddr::V6(_), to, protocol } => {
                    packet::payload(&buffer[..length], protocol.protocol(true).1, from, to)
                }
                _ => packet::read(&buffer[..length]),
            };
            if let Some(seen) = seen {
                each(seen);
            }
        }
    }
}

impl AsFd for Ear {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Moves this thread from network namespace to network namespace; it is to end afterwards.
pub(super) struct Namespaces {
    host: File,
    at: Option<u32>,
}

impl Namespaces {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { host: File::open("/proc/thread-self/ns/net")?, at: None })
    }

    /// Into that of the machine with this first process; `None`: the host's.
    pub(super) fn enter(&mut self, machine: Option<u32>) -> io::Result<()> {
        if machine == self.at {
            return Ok(());
        }
        let file = match machine {
            Some(pid) => &self.open(pid)?,
            None => &self.host,
        };
        rustix::thread::move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        self.at = machine;
        Ok(())
    }

    fn open(&self, pid: u32) -> io::Result<File> {
        let file = File::open(format!("/proc/{pid}/ns/net"))?;
        if file.metadata()?.ino() == self.host.metadata()?.ino() {
            return Err(io::Error::other(format!("process {pid} has no network namespace of its own")));
        }
        Ok(file)
    }
}
