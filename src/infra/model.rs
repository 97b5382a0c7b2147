//! What a user wrote in `infra.yml`, typed, with no default filled in that depends on anything outside the file.

use std::net::Ipv4Addr;

use indexmap::IndexMap;
use ipnet::Ipv4Net;

/// A whole `infra.yml` (or `infra/` directory). Every map keeps the user's order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Infra {
    /// Names this infrastructure: everything it owns in Incus carries it as `user.anklume.infra`.
    pub(crate) project_name: String,
    pub(crate) global: Global,
    pub(crate) domains: IndexMap<String, Domain>,
    pub(crate) network_policies: Vec<Policy>,
    pub(crate) shared_volumes: IndexMap<String, SharedVolume>,
}

/// `global`: settings for all domains.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Global {
    pub(crate) addressing: Addressing,
    pub(crate) default_os_image: String,
    pub(crate) default_connection: String,
    pub(crate) default_user: String,
    /// `None`: the pool named `default`, else the only one.
    pub(crate) default_pool: Option<String>,
    pub(crate) nesting_prefix: bool,
    pub(crate) gpu_policy: GpuPolicy,
    pub(crate) firewall_mode: FirewallMode,
    pub(crate) ai_access: AiAccess,
    pub(crate) resource_policy: Option<ResourcePolicy>,
    pub(crate) shared_volumes_base: String,
    pub(crate) persistent_data_base: String,
    pub(crate) image_repository: Option<String>,
}

/// Where the domains' networks lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Addressing {
    /// `10.<zone_base + offset × zone_step>.<subnet_id>.0/24`, the offset coming from the trust level.
    Zones { base: u8, step: u8 },
    /// The older way, `base_subnet: "A.B"`: `A.B.<subnet_id>.0/24`.
    BaseSubnet(u8, u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GpuPolicy {
    /// At most one machine may have a GPU.
    Exclusive,
    /// Several may; a warning.
    Shared,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirewallMode {
    Host,
    /// A machine `anklume-firewall` is added to domain `anklume`.
    Vm,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AiAccess {
    pub(crate) exclusive: bool,
    pub(crate) default: Option<String>,
    pub(crate) vram_flush: bool,
}

/// How the host's CPUs and memory are shared out between machines that set no limits themselves.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the file")]
pub(crate) struct ResourcePolicy {
    pub(crate) reserve_cpu: Amount,
    pub(crate) reserve_memory: Amount,
    /// `mode: proportional` (by `weight`), else `equal`.
    pub(crate) proportional: bool,
    /// `cpu_mode: count` (`limits.cpu`), else `allowance` (`limits.cpu.allowance`).
    pub(crate) cpu_count: bool,
    /// `memory_enforce: soft`.
    pub(crate) memory_soft: bool,
    pub(crate) overcommit: bool,
}

/// A part of a total: a share of it, or so much (CPUs, or bytes).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Amount {
    Percent(u8),
    Absolute(f64),
}

/// A domain: an Incus project, a bridge and a /24.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Domain {
    pub(crate) description: String,
    pub(crate) enabled: bool,
    pub(crate) subnet_id: Option<u8>,
    pub(crate) trust_level: TrustLevel,
    pub(crate) ephemeral: bool,
    pub(crate) profiles: IndexMap<String, Profile>,
    pub(crate) machines: IndexMap<String, Machine>,
    pub(crate) ai_provider: AiProvider,
    /// `None`: true unless the provider is local.
    pub(crate) ai_sanitize: Option<AiSanitize>,
    pub(crate) file_portal: Option<FilePortal>,
    pub(crate) internet: bool,
    /// Project limits by Incus key (`limits.instances`, …).
    pub(crate) limits: IndexMap<String, String>,
    pub(crate) dns_zone: Option<String>,
    pub(crate) acl: Vec<AclRule>,
    pub(crate) bridge: Bridge,
}

/// One whose entry says nothing.
impl Default for Domain {
    fn default() -> Self {
        Self {
            description: String::new(),
            enabled: true,
            subnet_id: None,
            trust_level: TrustLevel::SemiTrusted,
            ephemeral: false,
            profiles: IndexMap::new(),
            machines: IndexMap::new(),
            ai_provider: AiProvider::Local,
            ai_sanitize: None,
            file_portal: None,
            internet: true,
            limits: IndexMap::new(),
            dns_zone: None,
            acl: Vec::new(),
            bridge: Bridge::default(),
        }
    }
}

/// A bridge that somebody made in another way than anklume would, and that a domain has all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bridge {
    /// `None`: the one that is called after the domain.
    pub(crate) name: Option<String>,
    /// Its own address with its network, instead of one from the address plan: the rest of it stays as it is.
    pub(crate) address: Option<Ipv4Net>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TrustLevel {
    Admin,
    Trusted,
    SemiTrusted,
    Untrusted,
    Disposable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AiProvider {
    Local,
    Cloud,
    LocalFirst,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AiSanitize {
    Off,
    On,
    Always,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilePortal {
    pub(crate) allowed_paths: Vec<String>,
    pub(crate) read_only: bool,
}

/// One rule of a domain's own network ACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AclRule {
    /// `ingress` or `egress`.
    pub(crate) direction: String,
    /// `allow`, `drop` or `reject`.
    pub(crate) action: String,
    pub(crate) protocol: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) destination: Option<String>,
    pub(crate) destination_port: Option<String>,
    pub(crate) description: String,
}

/// Keys and values of an Incus object, values as the text that was written.
pub(crate) type Config = IndexMap<String, String>;
/// Incus devices by name, each with its `type`.
pub(crate) type Devices = IndexMap<String, Config>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) description: String,
    pub(crate) config: Config,
    pub(crate) devices: Devices,
}

/// A machine: an Incus instance.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the file")]
pub(crate) struct Machine {
    pub(crate) description: String,
    pub(crate) vm: bool,
    /// `None`: the global default.
    pub(crate) os_image: Option<String>,
    pub(crate) ip: Option<Ipv4Addr>,
    /// `ip: dhcp`: no fixed address, whatever the addressing is.
    pub(crate) dhcp: bool,
    /// The host part to use when there is no `ip`: `anklume-firewall` is always .253 of its domain's network.
    pub(crate) host_part: Option<u8>,
    /// `None`: the domain's.
    pub(crate) ephemeral: Option<bool>,
    pub(crate) instance_ephemeral: bool,
    pub(crate) gpu: bool,
    /// `[default]` when the file says nothing.
    pub(crate) profiles: Vec<String>,
    pub(crate) config: Config,
    pub(crate) devices: Devices,
    pub(crate) cloud_init: CloudInit,
    pub(crate) storage_volumes: IndexMap<String, Volume>,
    pub(crate) persistent_data: IndexMap<String, PersistentData>,
    pub(crate) boot_autostart: Option<bool>,
    pub(crate) boot_priority: Option<u8>,
    /// Five cron fields or `@daily` and the like, as written.
    pub(crate) snapshots_schedule: Option<String>,
    /// As written: `30d`, `24h`, `60m` (days, hours, minutes).
    pub(crate) snapshots_expiry: Option<String>,
    pub(crate) weight: u32,
    pub(crate) roles: Vec<String>,
    pub(crate) services: Vec<Service>,
    pub(crate) export_apps: Vec<String>,
    pub(crate) state: RunState,
    /// `state` is in the file: what was paused by hand is drift only then.
    pub(crate) state_written: bool,
    pub(crate) health: Option<String>,
}

/// One whose entry says nothing.
impl Default for Machine {
    fn default() -> Self {
        Self {
            description: String::new(),
            vm: false,
            os_image: None,
            ip: None,
            dhcp: false,
            host_part: None,
            ephemeral: None,
            instance_ephemeral: false,
            gpu: false,
            profiles: vec!["default".to_owned()],
            config: IndexMap::new(),
            devices: IndexMap::new(),
            cloud_init: CloudInit::default(),
            storage_volumes: IndexMap::new(),
            persistent_data: IndexMap::new(),
            boot_autostart: None,
            boot_priority: None,
            snapshots_schedule: None,
            snapshots_expiry: None,
            weight: 1,
            roles: Vec::new(),
            services: Vec::new(),
            export_apps: Vec::new(),
            state: RunState::Running,
            state_written: false,
            health: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunState {
    Running,
    Stopped,
    Frozen,
}

/// Cloud-init documents as text; a map in the file has become YAML (user and vendor data with `#cloud-config` on top).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CloudInit {
    pub(crate) user_data: Option<String>,
    pub(crate) vendor_data: Option<String>,
    pub(crate) network_config: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) pool: Option<String>,
    pub(crate) size: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) config: Config,
    /// `content_type: block`, else a filesystem.
    pub(crate) block: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PersistentData {
    pub(crate) path: String,
    pub(crate) readonly: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) tool: Option<String>,
    pub(crate) consumers: Vec<String>,
}

/// One opening between two ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) description: String,
    /// A domain, a machine or `host`.
    pub(crate) from: String,
    pub(crate) to: String,
    /// Empty: all ports.
    pub(crate) ports: Vec<PortRange>,
    /// `None` with all ports: every protocol; with ports: TCP and UDP both.
    pub(crate) protocol: Option<Protocol>,
    pub(crate) bidirectional: bool,
}

/// Ports from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PortRange {
    pub(crate) first: u16,
    pub(crate) last: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

/// A host directory seen by several machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SharedVolume {
    pub(crate) source: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) shift: bool,
    pub(crate) propagate: bool,
    /// Domain or machine → may it write?
    pub(crate) consumers: IndexMap<String, bool>,
}
