//! A plan: what differs, which actions make it so, in which order. Plain data.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::incus::call::Call;

/// A kind of thing, in the order in which kinds are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Packages of the host's distribution.
    Package,
    /// A storage pool.
    Pool,
    Firewall,
    /// A file of the host.
    File,
    /// What the host starts at boot.
    Service,
    Project,
    /// A filter on a domain's bridge.
    Acl,
    /// A DNS zone.
    Zone,
    Network,
    /// A name in a DNS zone.
    Record,
    Image,
    /// A directory of the host that machines see.
    Directory,
    Profile,
    Volume,
    Instance,
    /// Of a machine: `machine/name`.
    Snapshot,
}

impl Kind {
    /// The table between the domains, and what keeps it: one for all domains, and never left out of a plan.
    pub(crate) fn is_isolation(self) -> bool {
        matches!(self, Self::Firewall | Self::File | Self::Service)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Package => "package",
            Self::Pool => "pool",
            Self::Firewall => "firewall",
            Self::File => "file",
            Self::Service => "service",
            Self::Project => "project",
            Self::Acl => "acl",
            Self::Zone => "zone",
            Self::Network => "network",
            Self::Record => "record",
            Self::Image => "image",
            Self::Directory => "directory",
            Self::Profile => "profile",
            Self::Volume => "volume",
            Self::Instance => "instance",
            Self::Snapshot => "snapshot",
        })
    }
}

/// What a thing is called in Incus.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(crate) struct Id {
    pub(crate) kind: Kind,
    /// The Incus project it is in; empty for what no project holds.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) project: String,
    pub(crate) name: String,
}

impl Id {
    /// A thing outside of any project.
    pub(crate) fn global(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, project: String::new(), name: name.into() }
    }

    /// A thing in a project.
    pub(crate) fn within(kind: Kind, project: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, project: project.into(), name: name.into() }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Firewall => f.write_str("firewall"),
            // Every project has a `default` one: say which.
            Kind::Profile => write!(f, "profile {} of {}", self.name, self.project),
            kind => write!(f, "{kind} {}", self.name),
        }
    }
}

/// What an action does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verb {
    Create,
    /// Takes over something that stood there without anklume's mark.
    Adopt,
    Update,
    Start,
    Stop,
    /// Stops and starts, or starts what is stopped.
    Restart,
    /// Writes an image into the image repository.
    Export,
    /// Freezes a running machine.
    Pause,
    /// Lets a frozen one run on.
    Resume,
    Delete,
    /// Takes an address away from a machine, so that another one can have it.
    Release,
    /// Sets a machine aside under another name, with all that is in it.
    Keep,
    /// Makes a copy of something with its data.
    Copy,
    /// Puts a complete copy in its place.
    Move,
    /// Brings back what a snapshot holds.
    Restore,
    /// Brings what is installed in a machine up to date.
    Upgrade,
}

impl Verb {
    /// The word for people; `done` says it as it is under way or over.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Adopt => "adopt",
            Self::Update => "update",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Export => "export",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Delete => "delete",
            Self::Release => "release",
            Self::Keep => "keep",
            Self::Copy => "copy",
            Self::Move => "move",
            Self::Restore => "restore",
            Self::Upgrade => "upgrade",
        }
    }

    /// The sign in front of a line of the plan.
    pub(crate) fn sign(self) -> char {
        match self {
            Self::Create => '+',
            Self::Delete => '-',
            _ => '~',
        }
    }
}

/// What a change does to what is running.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "why")]
pub(crate) enum Impact {
    /// At once, and nobody notices.
    Live,
    /// A running machine has to stop and start for it.
    Restart,
    /// The machine has to be made again.
    Rebuild(String),
    /// Incus cannot change it; why, and what can be done instead.
    Refused(String),
}

/// One key that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Field {
    /// `limits.cpu`, `eth0 ipv4.address`, `description`.
    pub(crate) key: String,
    /// What it is now, secrets shortened; `None` where it is not set.
    #[serde(serialize_with = "null_or_text")]
    pub(crate) before: Option<String>,
    /// What it will be.
    #[serde(serialize_with = "null_or_text")]
    pub(crate) after: Option<String>,
    pub(crate) impact: Impact,
}

#[expect(clippy::ref_option, reason = "serde hands it over this way")]
fn null_or_text<S: Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    text.serialize(serializer)
}

/// One change, as it is shown and as it is run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Action {
    pub(crate) id: Id,
    /// The domain it belongs to, as the file names it; empty for what belongs to none.
    pub(crate) domain: String,
    pub(crate) verb: Verb,
    pub(crate) fields: Vec<Field>,
    /// The worst of its fields.
    pub(crate) impact: Impact,
    /// A word more for the reader: the image of a machine, the range of a network.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) note: String,
    /// Counts against the tighter bound for virtual machines.
    #[serde(skip)]
    pub(crate) heavy: bool,
    /// The calls that make it so, one after the other.
    #[serde(rename = "commands")]
    pub(crate) calls: Vec<Call>,
    /// Earlier actions that have to be done first.
    pub(crate) after: Vec<usize>,
}

impl Action {
    /// An action of no domain, that nobody notices and that waits for nothing.
    pub(crate) fn bare(id: Id, verb: Verb, calls: Vec<Call>) -> Self {
        Self {
            id,
            domain: String::new(),
            verb,
            fields: Vec::new(),
            impact: Impact::Live,
            note: String::new(),
            heavy: false,
            calls,
            after: Vec::new(),
        }
    }
}

/// Something that differs and that this plan does not change, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Held {
    pub(crate) id: Id,
    pub(crate) domain: String,
    /// `orphan`, `protected`, `restart`, `rebuild`, `refused`, …
    pub(crate) why: Why,
    /// What differs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) fields: Vec<Field>,
    /// The sentence for people, with what to type.
    pub(crate) message: String,
}

/// Why something that differs is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Why {
    /// Left the file; goes with `--prune`.
    Orphan,
    /// Left the file, and is protected: goes only when named.
    Protected,
    /// Left the file, and is never deleted: a volume with its data, and the project around it.
    Kept,
    /// Would restart a running machine; made with `--restart`.
    Restart,
    /// The machine would have to be made again.
    Rebuild,
    /// Incus cannot change it.
    Refused,
    /// Stands in another domain than the file has it in; `anklume move` brings it.
    Moved,
    /// A copy that was cut off.
    Unfinished,
    /// Cannot be told: the firewall, without the right to read it.
    Unknown,
}

impl Why {
    /// It differs in nothing from the file, which no longer has it.
    pub(crate) fn left_the_file(self) -> bool {
        matches!(self, Self::Orphan | Self::Protected | Self::Kept)
    }
}

/// The difference between what is wanted and what is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Plan {
    /// In an order in which they can be run: `after` points to earlier ones only.
    pub(crate) actions: Vec<Action>,
    pub(crate) held: Vec<Held>,
}

impl Plan {
    /// Nothing differs, or nothing but orphans.
    pub(crate) fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.held.iter().all(|held| held.why.left_the_file())
    }

    /// How many actions carry this sign.
    pub(crate) fn count(&self, sign: char) -> usize {
        self.actions.iter().filter(|action| action.verb.sign() == sign).count()
    }
}
