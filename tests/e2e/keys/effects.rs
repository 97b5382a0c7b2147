//! What each key does, and where that is seen.

/// Where an effect is looked for.
#[derive(Debug)]
pub(super) enum Seen {
    /// A value of Incus: what is asked, and the place in its answer.
    Incus(&'static str, &'static str),
    /// What a script in a machine (`project/name`) prints.
    Guest(&'static str, &'static str),
    /// What a script on the host prints.
    Host(&'static str),
}
use Seen::{Guest, Host, Incus};

/// A key of `everything.yml`, where its effect is seen, and what is seen there.
pub(super) type Effect = (&'static str, Seen, &'static str);

const DEV: &str = "/1.0/instances/dev?project=pro";
const PRO: &str = "/1.0/projects/pro";
const BRIDGE: &str = "/1.0/networks/net-pro";
const ACL: &str = "/1.0/network-acls/net-pro?project=default";
const WHOLE: &str = "/1.0/profiles/whole?project=pro";
const VOLUME: &str = "/1.0/storage-pools/second/volumes/custom/dev-files?project=pro";

pub(super) const EVERYTHING: &[Effect] = &[
    ("project_name", Incus(PRO, "/config/user.anklume.infra"), "keys"),
    (
        "requires_anklume",
        Host("sed 's/>=0.1/>=9/' infra.yml > newer.yml; $ANKLUME -f newer.yml check 2>&1 | grep -c 'asks for `>=9`'"),
        "1",
    ),
    // 60 + 1 * 3: the second zone, `trusted`. 60 + 2 * 3: the third one.
    ("global.addressing.base_octet", Incus(BRIDGE, "/config/ipv4.address"), "10.63.7.254/24"),
    ("global.addressing.zone_base", Incus(BRIDGE, "/config/ipv4.address"), "10.63.7.254/24"),
    ("global.addressing.zone_step", Incus("/1.0/networks/net-home", "/config/ipv4.address"), "10.66.1.254/24"),
    ("global.default_os_image", Guest("pro/passing", "grep ^ID= /etc/os-release"), "ID=alpine"),
    (
        "global.default_connection",
        Host("$ANKLUME inventory --host dev | grep -w ansible_connection"),
        r#""ansible_connection": "local","#,
    ),
    ("global.default_user", Host("grep ^psot_default_user group_vars/all.yml"), "psot_default_user: tester"),
    ("global.default_pool", Incus("/1.0/profiles/default?project=home", "/devices/root/pool"), "second"),
    // With the prefix it would be `001-tv` here.
    ("global.nesting_prefix", Incus("/1.0/instances/tv?project=home", "/name"), "tv"),
    ("global.ai_vram_flush", Host("grep ^ai_vram_flush group_vars/all.yml"), "ai_vram_flush: false"),
    ("global.resource_policy.host_reserve.cpu", Host("$ANKLUME plan 2>&1 | grep -c \"less the host's reserve\""), "1"),
    ("global.resource_policy.host_reserve.memory", Host(SHARE), "a third of the rest"),
    ("global.resource_policy.mode", Host(SHARE), "a third of the rest"),
    ("global.resource_policy.cpu_mode", Incus(DEV, "/config/limits.cpu"), "1"),
    ("global.resource_policy.memory_enforce", Incus(DEV, "/config/limits.memory.enforce"), "null"),
    (
        "global.resource_policy.overcommit",
        Host("$ANKLUME check && echo good"),
        "keys: good, 2 domains, 4 machines\ngood",
    ),
    ("global.shared_volumes_base", Host("ls /srv/shares"), "based"),
    ("global.persistent_data_base", Host("ls /srv/data/pro/dev"), "papers"),
    ("global.image_repository", Host("$ANKLUME image list | grep -c 'from a file, in the repository'"), "2"),
    ("domains.pro.description", Incus(PRO, "/description"), "All keys of a domain"),
    ("domains.pro.subnet_id", Incus(BRIDGE, "/config/ipv4.address"), "10.63.7.254/24"),
    ("domains.pro.trust_level", Incus(BRIDGE, "/config/ipv4.address"), "10.63.7.254/24"),
    (
        "domains.pro.ephemeral",
        Incus("/1.0/instances/passing?project=pro", "/config/security.protection.delete"),
        "null",
    ),
    ("domains.pro.internet", Guest("pro/dev", "timeout 2 wget -qO- http://203.0.113.10/ >&2 || echo cut"), "cut"),
    ("domains.pro.ai_provider", Host("grep ^domain_ai_provider group_vars/pro.yml"), "domain_ai_provider: cloud"),
    ("domains.pro.ai_sanitize", Host("grep ^domain_ai_sanitize group_vars/pro.yml"), "domain_ai_sanitize: always"),
    ("domains.pro.file_portal.allowed_paths", Host(PORTAL), "allowed_paths: - /srv/in read_only: true"),
    ("domains.pro.file_portal.read_only", Host(PORTAL), "allowed_paths: - /srv/in read_only: true"),
    ("domains.pro.limits.instances", Incus(PRO, "/config/limits.instances"), "9"),
    ("domains.pro.limits.containers", Incus(PRO, "/config/limits.containers"), "8"),
    ("domains.pro.limits.virtual_machines", Incus(PRO, "/config/limits.virtual-machines"), "2"),
    ("domains.pro.limits.cpu", Incus(PRO, "/config/limits.cpu"), "640"),
    ("domains.pro.limits.memory", Incus(PRO, "/config/limits.memory"), "9000GiB"),
    ("domains.pro.limits.disk", Incus(PRO, "/config/limits.disk"), "5000GiB"),
    ("domains.pro.limits.processes", Incus(PRO, "/config/limits.processes"), "50000"),
    ("domains.pro.dns_zone", Incus(BRIDGE, "/config/dns.zone.forward"), "keys.home.arpa"),
    ("domains.pro.acl.0.direction", Incus(ACL, "/ingress/0/state"), "enabled"),
    ("domains.pro.acl.0.action", Incus(ACL, "/ingress/0/action"), "drop"),
    ("domains.pro.acl.0.protocol", Incus(ACL, "/ingress/0/protocol"), "tcp"),
    ("domains.pro.acl.0.source", Incus(ACL, "/ingress/0/source"), "10.1.0.0/16"),
    ("domains.pro.acl.0.destination", Incus(ACL, "/ingress/0/destination"), "10.2.0.0/16"),
    ("domains.pro.acl.0.destination_port", Incus(ACL, "/ingress/0/destination_port"), "81"),
    ("domains.pro.acl.0.description", Incus(ACL, "/ingress/0/description"), "A rule"),
    ("domains.pro.profiles.whole.description", Incus(WHOLE, "/description"), "All keys of a profile"),
    ("domains.pro.profiles.whole.config", Incus(DEV, "/expanded_config/limits.processes"), "300"),
    ("domains.pro.profiles.whole.devices", Incus(DEV, "/expanded_devices/root/size"), "1GiB"),
    ("domains.pro.machines.dev.description", Incus(DEV, "/description"), "All keys of a machine"),
    ("domains.pro.machines.dev.os_image", Guest("pro/dev", "grep ^ID= /etc/os-release"), "ID=debian"),
    ("domains.pro.machines.dev.ip", Guest("pro/dev", "ip -4 addr show eth0 | grep -o 10.63.7.70/24"), "10.63.7.70/24"),
    ("domains.pro.machines.dev.ephemeral", Incus(DEV, "/config/security.protection.delete"), "true"),
    ("domains.pro.machines.dev.profiles", Incus(DEV, "/profiles"), r#"["default","whole"]"#),
    ("domains.pro.machines.dev.config", Guest("pro/dev", "echo $COLOUR"), "green"),
    ("domains.pro.machines.dev.devices", Guest("pro/dev", "test -c /dev/null0 && echo there"), "there"),
    (
        "domains.pro.machines.dev.cloud_init.user_data",
        Incus(DEV, "/config/cloud-init.user-data"),
        "#cloud-config\npackages:\n  - less",
    ),
    (
        "domains.pro.machines.dev.cloud_init.vendor_data",
        Incus(DEV, "/config/cloud-init.vendor-data"),
        "#cloud-config\nruncmd: [ls]",
    ),
    (
        "domains.pro.machines.dev.cloud_init.network_config",
        Incus(DEV, "/config/cloud-init.network-config"),
        "version: 2",
    ),
    ("domains.pro.machines.dev.storage_volumes.files.pool", Incus(VOLUME, "/content_type"), "filesystem"),
    ("domains.pro.machines.dev.storage_volumes.files.size", Incus(VOLUME, "/config/size"), "50MiB"),
    ("domains.pro.machines.dev.storage_volumes.files.path", Guest("pro/dev", "mount | grep -c ' on /srv/files '"), "1"),
    ("domains.pro.machines.dev.storage_volumes.files.config", Incus(VOLUME, "/config/user.note"), "kept"),
    ("domains.pro.machines.dev.persistent_data.papers.path", Guest("pro/dev", "ls -d /srv/papers"), "/srv/papers"),
    (
        "domains.pro.machines.dev.persistent_data.papers.readonly",
        Guest("pro/dev", "touch /srv/papers/x 2>&1 | grep -c Read-only"),
        "1",
    ),
    ("domains.pro.machines.dev.boot_autostart", Incus(DEV, "/config/boot.autostart"), "true"),
    ("domains.pro.machines.dev.boot_priority", Incus(DEV, "/config/boot.autostart.priority"), "42"),
    ("domains.pro.machines.dev.snapshots_schedule", Incus(DEV, "/config/snapshots.schedule"), "@daily"),
    ("domains.pro.machines.dev.snapshots_expiry", Incus(DEV, "/config/snapshots.expiry"), "36H"),
    ("domains.pro.machines.passing.weight", Host(WEIGHTS), "9 times as much"),
    (
        "domains.pro.machines.passing.instance_ephemeral",
        Incus("/1.0/instances/passing?project=pro", "/ephemeral"),
        "true",
    ),
    ("domains.pro.machines.still.state", Incus("/1.0/instances/still?project=pro", "/status"), "Frozen"),
    (
        "domains.pro.machines.dev.roles",
        Host("$ANKLUME inventory --graph | grep -A 1 role_web | tail -n 1"),
        "|  |--dev",
    ),
    (
        "domains.pro.machines.dev.services",
        Host("grep -A 4 ^instance_services host_vars/dev.yml | xargs"),
        "instance_services: - name: web tool: httpd consumers: - passing",
    ),
    (
        "domains.pro.machines.dev.export_apps",
        Host("grep -A 1 ^instance_export_apps host_vars/dev.yml | xargs"),
        "instance_export_apps: - editor",
    ),
    ("domains.pro.machines.dev.health", Host("$ANKLUME status | grep -c '^  dev .*, healthy$'"), "1"),
    ("domains.away.enabled", Host("incus project list -f csv </dev/null | grep -c ^away || true"), "0"),
    ("network_policies.0.description", Host("nft list table inet anklume | grep -c '\"tv -> dev: The way in\"'"), "1"),
    ("network_policies.0.from", Guest("home/tv", "timeout 5 wget -qO- http://10.63.7.70/ >&2 && echo open"), "open"),
    ("network_policies.0.to", Guest("home/tv", "timeout 5 wget -qO- http://10.63.7.70/ >&2 && echo open"), "open"),
    ("network_policies.0.ports", Host("nft list table inet anklume | grep -c 'tcp dport { 80, 8000-8010 }'"), "2"),
    ("network_policies.0.protocol", Guest("home/tv", "ping -c 1 -W 1 10.63.7.70 >&2 || echo only TCP"), "only TCP"),
    (
        "network_policies.0.bidirectional",
        Guest("pro/dev", "timeout 5 wget -qO- http://10.66.1.1/ >&2 && echo open"),
        "open",
    ),
    ("shared_volumes.docs.source", Guest("home/tv", "ls /docs"), "f"),
    ("shared_volumes.docs.path", Guest("home/tv", "ls /docs"), "f"),
    ("shared_volumes.docs.shift", Incus(DEV, "/devices/sv-docs/shift"), "null"),
    ("shared_volumes.docs.propagate", Guest("home/tv", "ls -d /docs"), "/docs"),
    ("shared_volumes.docs.consumers", Guest("pro/dev", "touch /docs/x 2>&1 | grep -c Read-only"), "1"),
];

const PORTAL: &str = "grep -A 3 ^domain_file_portal group_vars/pro.yml | tail -n 3 | xargs";

/// The host's memory, less 30 % and what one machine says itself, in three equal parts, whatever their weights.
const SHARE: &str = r#"python3 - <<-'END'
	import json, subprocess
	ask = lambda path: json.loads(subprocess.check_output(["incus", "query", path]))
	rest = ask("/1.0/resources")["memory"]["total"] * 0.7 - 256 * 2**20
	shares = {ask(f"/1.0/instances/{name}?project=pro")["config"]["limits.memory"] for name in ("dev", "passing", "still")}
	print("a third of the rest" if shares == {f"{int(rest / 3 / 2**20)}MiB"} else shares)
	END"#;

/// Where weights count, one machine has 9 and another 1.
const WEIGHTS: &str = r#"
sed 's/mode: equal/mode: proportional/' infra.yml > weights.yml
$ANKLUME -f weights.yml plan --format json > weights.json
python3 - <<-'END'
	import json
	plan = json.load(open("weights.json"))
	shares = {action["id"]["name"]: field["after"] for action in plan["actions"] for field in action["fields"]
	          if field["key"] == "limits.memory"}
	print(round(int(shares["passing"][:-3]) / int(shares["still"][:-3])), "times as much")
	END"#;

/// A key of `elsewhere.yml`, and what the plan says because of it.
pub(super) const ELSEWHERE: &[(&str, &str)] = &[
    ("global.base_subnet", "10.99.3.0/24"),
    ("global.gpu_policy", "`model` and `trainer` both have the GPU"),
    ("global.firewall_mode", "instance 001-anklume-firewall  (vm, images:debian/13, 10.99.1.253)"),
    ("global.ai_access_policy", "pro -> ai-tools: ai_access_policy: exclusive (everything)"),
    ("global.ai_access_default", "pro -> ai-tools: ai_access_policy: exclusive (everything)"),
    ("domains.ai-tools.machines.model.gpu", "default,nvidia-compute"),
    ("domains.ai-tools.machines.trainer.type", "instance 001-trainer  (vm,"),
    (
        "domains.ai-tools.machines.trainer.storage_volumes.models.content_type",
        "volume default/001-trainer-models  (a raw disk of trainer)",
    ),
    ("domains.home.bridge.name", "network homebr0"),
    ("domains.home.bridge.address", "10.7.7.1/24, NAT"),
];
