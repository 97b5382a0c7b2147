//! What is wanted in Incus and in the kernel, every default filled in and every name and address settled.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::firewall::wall::Wall;
use crate::infra::model::{AclRule, RunState, TrustLevel};

/// Keys and values of an Incus object, in one order only, so that equal means equal.
pub(crate) type Config = BTreeMap<String, String>;
/// Incus devices by name.
pub(crate) type Devices = BTreeMap<String, Config>;

/// The whole of what is wanted.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Desired {
    /// `project_name`, the mark of ownership.
    pub(crate) infra: String,
    /// The enabled domains, in the file's order.
    pub(crate) domains: Vec<Domain>,
    /// The disabled domains of the file: what they have is neither changed nor an orphan.
    pub(crate) disabled: BTreeSet<String>,
    /// The isolation of all of them.
    pub(crate) wall: Wall,
    /// The files of images that the image repository has, by what the file calls them and whether they are for
    /// virtual machines.
    pub(crate) stored: BTreeMap<(String, bool), Vec<String>>,
}

/// A domain, as it will stand.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Domain {
    pub(crate) name: String,
    /// The Incus project: the name with its nesting prefix.
    pub(crate) project: String,
    /// The bridge, at most 15 characters.
    pub(crate) bridge: String,
    pub(crate) description: String,
    pub(crate) trust: TrustLevel,
    /// False: protected from deletion.
    pub(crate) ephemeral: bool,
    pub(crate) internet: bool,
    /// The /24 with `.254` as its gateway, unless the file has another network for its bridge.
    pub(crate) subnet: Ipv4Net,
    pub(crate) gateway: Ipv4Addr,
    /// Somebody made the bridge in another way than anklume would: the file says where its network is, and the rest of it
    /// stays as it stands.
    pub(crate) as_it_stands: bool,
    /// First and last address of the DHCP range.
    pub(crate) dhcp: (Ipv4Addr, Ipv4Addr),
    /// Project limits (`limits.instances`, …).
    pub(crate) limits: Config,
    /// The zone that has the names of its machines.
    pub(crate) dns_zone: Option<String>,
    /// What its bridge lets through, beside what the wall does.
    pub(crate) acl: Vec<AclRule>,
    /// The pool that the project's `default` profile puts root disks on.
    pub(crate) pool: String,
    /// The domain's own profiles; the project's `default` comes from the fields above. One called `default` among
    /// these is what the file adds to it: its keys and devices win.
    pub(crate) profiles: Vec<Profile>,
    pub(crate) machines: Vec<Machine>,
}

/// A domain's own profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) config: Config,
    pub(crate) devices: Devices,
}

/// A machine, as its Incus instance will be.
#[expect(clippy::struct_excessive_bools, reason = "each is a yes or no of its own")]
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Machine {
    /// As in the file.
    pub(crate) name: String,
    /// The Incus instance: the name with its nesting prefix.
    pub(crate) instance: String,
    pub(crate) description: String,
    pub(crate) vm: bool,
    /// `REMOTE:ALIAS`, a local alias or a fingerprint.
    pub(crate) image: String,
    /// The static address; `None` where DHCP chooses (with `base_subnet` only).
    pub(crate) address: Option<Ipv4Addr>,
    /// Not to be deleted without being named (`security.protection.delete` is in `config`).
    pub(crate) protected: bool,
    /// An Incus ephemeral instance, gone when it stops.
    pub(crate) instance_ephemeral: bool,
    /// In order of assignment; `default` is the project's.
    pub(crate) profiles: Vec<String>,
    /// Everything the file asks for: the machine's own keys, boot, snapshot, cloud-init and protection keys.
    /// The ownership marks are not in it.
    pub(crate) config: Config,
    /// The machine's devices, `eth0` among them (with the bridge, the filters and the static address) unless the
    /// file declares its own.
    pub(crate) devices: Devices,
    /// Files that it finds in it at its first start: path and text.
    pub(crate) files: Vec<(String, String)>,
    /// Its storage volumes; the disks that they are attached as are among `devices`.
    pub(crate) volumes: Vec<Volume>,
    /// The host directories that its devices need.
    pub(crate) directories: Vec<Directory>,
    pub(crate) state: RunState,
    /// `state` is in the file: a machine paused by hand is drift only then.
    pub(crate) state_written: bool,
    /// Run in it by `sh -c`; it is healthy where that ends with 0.
    pub(crate) health: Option<String>,
}

/// A storage volume of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Volume {
    /// As in the file, and what the disk is called in the machine's devices.
    pub(crate) device: String,
    /// In Incus: the instance and the name in the file, so that two machines of a domain can use the same one.
    pub(crate) name: String,
    /// The pool that it stands on, or is to be made on.
    pub(crate) pool: String,
    /// The pool that the file wants it on: Incus moves no volume that is in use.
    pub(crate) wanted_pool: String,
    /// A raw disk, else a file system.
    pub(crate) block: bool,
    /// Where a machine sees it; none for a raw disk.
    pub(crate) path: Option<String>,
    /// Its size among the keys.
    pub(crate) config: Config,
}

/// A host directory that a machine sees. It is made on the host that anklume runs on: where that is a machine which has
/// the Incus socket of its host forwarded into it, that is not the host whose Incus looks for the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) path: String,
    /// Several machines may see it: it belongs to no domain.
    pub(crate) shared: bool,
}
