//! Sends packets from the network namespaces of the machines and watches how far they come. Needs nothing in the
//! machines: a thread of anklume's own enters their namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{SendFlags, SocketType, sockopt};
use rustix::process::{Resource, Rlimit};

use super::Packet;
use super::ears::{self, Ear, Namespaces, Place, Wire};
use super::packet::{self, Header, Kind, Seen};

/// One packet to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shot {
    /// The first process of the machine that sends, and its address; `None`: the host sends.
    pub(crate) from: Option<(u32, IpAddr)>,
    pub(crate) to: IpAddr,
    pub(crate) watcher: Watcher,
    pub(crate) packet: Packet,
}

/// Who watches whether it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watcher {
    /// The namespace of the target's first process.
    Machine(u32),
    Host,
    /// A virtual machine, or the outside: only answers tell.
    Nobody,
}

/// How far a packet came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    /// Why the sender's own kernel would not send it.
    pub(crate) unsent: Option<String>,
    /// It left the machine.
    pub(crate) left: bool,
    /// It was seen at its target.
    pub(crate) arrived: bool,
    /// An answer was seen leaving the target.
    pub(crate) answered: bool,
    /// An answer came back to the sender.
    pub(crate) back: Option<Back>,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Back {
    pub(crate) from: IpAddr,
    /// Only the target itself can have said it; a refusal can also be a firewall's, in its name.
    pub(crate) certain: bool,
}

/// How many packets are under way at once.
const WAVE: usize = 1000;
/// Open files that are left for everything else.
const OTHER_FILES: usize = 256;
/// Source ports and numbers of pings: one for each packet, so that all are told apart.
const TAGS: std::ops::RangeInclusive<u16> = 20_000..=59_999;

/// Can the namespaces of these machines be entered, and are they theirs? For each its first process and address.
pub(crate) fn scout(machines: &[(u32, Ipv4Addr)]) -> io::Result<Vec<Result<(), String>>> {
    in_thread(|| {
        let mut namespaces = Namespaces::new()?;
        let mut one = |(pid, address): &(u32, Ipv4Addr)| -> io::Result<()> {
            namespaces.enter(Some(*pid))?;
            let socket = ears::socket(ears::family(false), SocketType::DGRAM, None)?;
            rustix::net::bind(&socket, &SocketAddr::new((*address).into(), 0))?;
            Ear::open(Place::Machine(*pid))?;
            Ok(())
        };
        machines
            .iter()
            .map(|machine| match one(machine) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                    Ok(Err(format!("does not have {} now", machine.1)))
                }
                result => Ok(result.map_err(|error| format!("cannot be entered: {error}"))),
            })
            .collect()
    })
}

/// Sends everything, so many at once, and waits so long for each.
pub(crate) fn fire(shots: &[Shot], patience: Duration) -> io::Result<Vec<Trace>> {
    in_thread(|| {
        let mut gun = Gun { namespaces: Namespaces::new()?, next: *TAGS.start(), ears: BTreeMap::new() };
        let files = files();
        let mut traces = Vec::with_capacity(shots.len());
        while traces.len() < shots.len() {
            let wave = first_wave(&shots[traces.len()..], files.saturating_sub(gun.ears.len()));
            traces.extend(gun.wave(wave, patience)?);
        }
        Ok(traces)
    })
}

/// In a thread of its own, since it does not come back to the namespace that it began in.
fn in_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| scope.spawn(work).join().expect("sending does not panic"))
}

/// How many files may be open; asks for more than the usual 1024.
fn files() -> usize {
    let wanted = 4 * WAVE + OTHER_FILES;
    let now = rustix::process::getrlimit(Resource::Nofile);
    let most = now.maximum.unwrap_or(u64::MAX).min(wanted as u64);
    if now.current.is_some_and(|current| current < most) {
        // Where it cannot be raised, fewer packets go at once.
        let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..now });
    }
    let files = rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(OTHER_FILES)
}

/// As many as go at once: each has a socket, and so has each place that is watched.
fn first_wave(shots: &[Shot], files: usize) -> &[Shot] {
    let mut watched = BTreeSet::new();
    let fits = |(count, shot): &(usize, &Shot)| {
        watched.extend(places(shot));
        *count < WAVE && count + watched.len() < files
    };
    let count = shots.iter().enumerate().take_while(fits).count();
    &shots[..count.max(1).min(shots.len())]
}

struct Gun {
    namespaces: Namespaces,
    next: u16,
    /// Those in the machines, kept for all waves: to close one takes the kernel some ten milliseconds.
    ears: BTreeMap<Place, Ear>,
}

impl Gun {
    fn wave(&mut self, shots: &[Shot], patience: Duration) -> io::Result<Vec<Trace>> {
        let at_host = self.open_ears(shots)?;
        let mut wave = Wave { shots, traces: vec![Trace::default(); shots.len()], tags: BTreeMap::new() };
        // They stay open until all is over, so that no kernel takes an answer for a stray one.
        let mut sockets = Vec::with_capacity(shots.len());
        for (at, shot) in shots.iter().enumerate() {
            let machine = shot.from.map(|(pid, _)| pid);
            match self.namespaces.enter(machine).and_then(|()| self.send(shot, |tag| wave.tags.insert(tag, at))) {
                Ok(socket) => sockets.push(socket),
                Err(error) => wave.traces[at].unsent = Some(error.to_string()),
            }
        }
        self.namespaces.enter(None)?;
        let ears: Vec<&Ear> = self.ears.values().chain(&at_host).collect();
        watch(&ears, patience, |place, seen| wave.note(place, seen))?;
        Ok(wave.traces)
    }

    /// Opens what watches for these; those of the host are handed over.
    fn open_ears(&mut self, shots: &[Shot]) -> io::Result<Vec<Ear>> {
        let places: BTreeSet<Place> = shots.iter().flat_map(places).collect();
        let mut at_host = Vec::new();
        for place in places.into_iter().filter(|place| !self.ears.contains_key(place)).collect::<Vec<_>>() {
            if let Place::Machine(pid) = place {
                self.namespaces.enter(Some(pid))?;
                self.ears.insert(place, Ear::open(place)?);
            } else {
                self.namespaces.enter(None)?;
                at_host.push(Ear::open(place)?);
            }
        }
        Ok(at_host)
    }

    /// Sends one, with the next source port that is free where it is sent from; `told` hears each that is tried.
    fn send(&mut self, shot: &Shot, mut told: impl FnMut(u16) -> Option<usize>) -> io::Result<OwnedFd> {
        const TRIES: usize = 8;
        for _ in 1..TRIES {
            let tag = self.tag();
            told(tag);
            match send(shot, tag) {
                Err(Errno::ADDRINUSE) => {}
                sent => return Ok(sent?),
            }
        }
        Err(Errno::ADDRINUSE.into())
    }

    fn tag(&mut self) -> u16 {
        let tag = self.next;
        self.next = if tag == *TAGS.end() { *TAGS.start() } else { tag + 1 };
        tag
    }
}

/// Where a packet and its answer can be seen.
fn places(shot: &Shot) -> Vec<Place> {
    let protocol = Wire::from(shot.packet);
    let mut places = match shot.from {
        Some((pid, _)) => vec![Place::Machine(pid)],
        // A datagram that nobody wants is answered by ICMP.
        None => [protocol, Wire::Icmp].map(|protocol| Place::Host { from: shot.to, to: None, protocol }).into(),
    };
    match (shot.watcher, shot.from) {
        (Watcher::Machine(pid), _) => places.push(Place::Machine(pid)),
        (Watcher::Host, Some((_, from))) => places.push(Place::Host { from, to: Some(shot.to), protocol }),
        (Watcher::Host, None) | (Watcher::Nobody, _) => {}
    }
    places
}

/// Sends one packet, whose source port is `tag`.
fn send(shot: &Shot, tag: u16) -> Result<OwnedFd, Errno> {
    let ipv6 = shot.to.is_ipv6();
    let any: IpAddr = if ipv6 { std::net::Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let source = shot.from.map_or(any, |(_, address)| address);
    let to = SocketAddr::new(shot.to, shot.packet.port());
    match shot.packet {
        Packet::Ping => {
            let socket = ears::raw(Wire::Icmp, ipv6)?;
            rustix::net::bind(&socket, &SocketAddr::new(source, 0))?;
            rustix::net::sendto(&socket, &packet::echo(tag, ipv6), SendFlags::empty(), &to)?;
            Ok(socket)
        }
        Packet::Udp(port) => {
            let socket = ears::socket(ears::family(ipv6), SocketType::DGRAM, None)?;
            rustix::net::bind(&socket, &SocketAddr::new(source, tag))?;
            rustix::net::sendto(&socket, packet::datagram(port), SendFlags::empty(), &to)?;
            Ok(socket)
        }
        Packet::Tcp(_) => {
            let socket = ears::socket(ears::family(ipv6), SocketType::STREAM, None)?;
            // Closed at once at the end, and nothing left behind that would keep the port.
            sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
            rustix::net::bind(&socket, &SocketAddr::new(source, tag))?;
            match rustix::net::connect(&socket, &to) {
                Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
                Err(error) => Err(error),
            }
        }
    }
}

/// Listens until the time is over.
fn watch(ears: &[&Ear], patience: Duration, mut note: impl FnMut(Place, Seen)) -> io::Result<()> {
    let end = Instant::now() + patience;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let mut waiting: Vec<PollFd<'_>> = ears.iter().map(|ear| PollFd::new(*ear, PollFlags::IN)).collect();
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match rustix::event::poll(&mut waiting, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for (ear, _) in ears.iter().zip(&waiting).filter(|(_, poll)| !poll.revents().is_empty()) {
            ear.drain(|seen| note(ear.place, seen));
        }
        if left.is_zero() {
            return Ok(());
        }
    }
}

/// The packets that are under way.
struct Wave<'a> {
    shots: &'a [Shot],
    traces: Vec<Trace>,
    tags: BTreeMap<u16, usize>,
}

impl Wave<'_> {
    /// Something was seen somewhere: if it is one of ours, or an answer to one, it is written down.
    fn note(&mut self, place: Place, seen: Seen) {
        match seen {
            Seen::Packet(header) => {
                if let Some(at) = self.request(&header) {
                    self.mark_request(at, place);
                } else if let Some(at) = self.answer(&header) {
                    let certain = !matches!(header.kind, Kind::Tcp { reset: true });
                    self.mark_answer(at, place, Back { from: header.source, certain });
                }
            }
            Seen::Error { from, about } => {
                if let Some(at) = self.request(&about) {
                    self.mark_answer(at, place, Back { from, certain: false });
                }
            }
        }
    }

    /// The source may have been translated on the way; the target and both ports were not.
    fn request(&self, header: &Header) -> Option<usize> {
        let at = *self.tags.get(&header.source_port)?;
        let shot = &self.shots[at];
        let same_target = header.target.is_none_or(|target| target == shot.to);
        (same_target && header.target_port == shot.packet.port() && shot.packet.is(header.kind)).then_some(at)
    }

    fn answer(&self, header: &Header) -> Option<usize> {
        let at = *self.tags.get(&header.target_port)?;
        let shot = &self.shots[at];
        let of_target = header.source == shot.to && header.source_port == shot.packet.port();
        (of_target && shot.packet.is(header.kind)).then_some(at)
    }

    fn mark_request(&mut self, at: usize, place: Place) {
        let trace = &mut self.traces[at];
        match role(&self.shots[at], place) {
            Some(Role::Sender) => trace.left = true,
            Some(Role::Target) => trace.arrived = true,
            None => {}
        }
    }

    fn mark_answer(&mut self, at: usize, place: Place, back: Back) {
        let trace = &mut self.traces[at];
        match role(&self.shots[at], place) {
            Some(Role::Sender) if trace.back.is_none_or(|before| back.certain && !before.certain) => {
                trace.back = Some(back);
            }
            Some(Role::Target) => trace.answered |= back.from == self.shots[at].to,
            Some(Role::Sender) | None => {}
        }
    }
}

/// Whose ear it is, for one packet.
enum Role {
    Sender,
    Target,
}

/// `None`: somebody who has nothing to do with it, such as a neighbour that a bridge floods.
fn role(shot: &Shot, place: Place) -> Option<Role> {
    match (place, shot.from, shot.watcher) {
        (Place::Machine(at), Some((pid, _)), _) if pid == at => Some(Role::Sender),
        (Place::Machine(at), _, Watcher::Machine(pid)) if pid == at => Some(Role::Target),
        (Place::Host { from, .. }, None, _) if from == shot.to => Some(Role::Sender),
        (Place::Host { from, .. }, Some((_, sender)), Watcher::Host) if from == sender => Some(Role::Target),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
