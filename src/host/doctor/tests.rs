//! Each line in each of its states, on made-up hosts.

mod leftovers;

use serde_json::{Value, json};

use super::*;
use crate::firewall::doctor as firewall;
use crate::firewall::fence::Table;
use crate::firewall::keep::{self, Keeping};
use crate::firewall::live::LiveTable;
use crate::infra::model::{AclRule, Infra};
use crate::resolve::sample::{domain, infra, machine, sound};
use crate::resources::{Found, RESOURCES};
use crate::ui::Surface;

/// A host on which all is well, without a file.
fn readings() -> Readings {
    Readings {
        os: Os::Debian(13),
        init: Some(Init::Systemd),
        root: true,
        user: "ann".into(),
        incus: Reach::Answers(Box::new(answers())),
        subids: [Some("root:1000000:1000000000\n".into()), Some("root:1000000:1000000000\n".into())],
        kvm: true,
        iommu: true,
        nvidia: true,
        nft: Nft::Tables(vec!["inet incus".into(), "inet anklume".into()]),
        bridged: false,
        clock: Clock { now: 1_800_000_000, synchronised: Some(true) },
        ports: Vec::new(),
    }
}

fn server(driver: &str, gpus: &Value) -> Server {
    let root = json!({"environment": {"server_version": "6.0.4", "driver": driver}});
    Server::parse(&root, &Value::Null, &Value::Null, &json!({"gpu": {"cards": gpus}}))
}

fn answers() -> Answers {
    let needed = "projects projects_networks projects_limits instance_all_projects profiles_all_projects \
        storage_volumes_all_projects storage_volume_state network_bridge_acl network_dns_records cloud_init";
    Answers {
        server: server("lxc | qemu", &json!([])),
        extensions: needed.split_whitespace().map(str::to_owned).collect(),
        pools: vec![pool("btrfs", "Created", Some((1, 100)))],
        live: Live::empty(),
        host_names: Vec::new(),
        elsewhere: false,
    }
}

const GIB: u64 = 1024 * 1024 * 1024;

fn pool(driver: &str, status: &str, gibibytes: Option<(u64, u64)>) -> Pool {
    let space = gibibytes.map(|(used, total)| (used * GIB, total * GIB));
    Pool { name: "default".into(), driver: driver.into(), status: status.into(), space }
}

fn of_answers(change: impl FnOnce(&mut Answers)) -> Readings {
    let mut answers = answers();
    change(&mut answers);
    Readings { incus: Reach::Answers(Box::new(answers)), ..readings() }
}

/// The lines of a check.
fn lines(readings: &Readings, file: &File, check: Check) -> Vec<Line> {
    report(readings, file).lines.into_iter().filter(|line| line.check == check).collect()
}

/// The only line of a check, without a file.
fn line(readings: &Readings, check: Check) -> Line {
    let mut lines = lines(readings, &File::None, check);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

#[track_caller]
fn is(line: &Line, level: Level, words: &str, mend: &[&str]) {
    assert!(line.message.contains(words), "{line:?}");
    assert_eq!(
        (line.level, line.mend.as_slice()),
        (level, mend.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice())
    );
}

fn file(infra: &Infra) -> OfFile {
    let desired = sound(infra);
    OfFile { wall: desired.wall.clone(), desired, misfits: Vec::new(), findings: Some(Vec::new()) }
}

fn good(of_file: OfFile) -> File {
    File::Good(Box::new(of_file))
}

fn two_domains() -> Infra {
    infra([("pro", domain([("pro-dev", machine())])), ("lab", domain([]))])
}

#[test]
fn on_a_good_host_every_line_is_good_and_what_needs_a_file_is_left_out() {
    let report = report(&readings(), &File::None);
    assert!(report.lines.iter().all(|line| line.level == Level::Ok && line.mend.is_empty()), "{report:#?}");
    assert!(!report.is_broken() && report.fixes().is_empty());
    let looked: Vec<Check> = report.lines.iter().map(|line| line.check).collect();
    let left_out: Vec<Check> = report.left_out.iter().flat_map(|left_out| left_out.checks.clone()).collect();
    assert_eq!(
        left_out,
        [
            Check::Table,
            Check::Boot,
            Check::Forwarding,
            Check::Filters,
            Check::LegacyFilters,
            Check::Routes,
            Check::File
        ]
    );
    assert!(looked.iter().all(|check| !left_out.contains(check)) && looked.is_sorted());
    let told = told::text(&report, &Surface { terminal: false, color: false, width: 80 });
    assert!(told.contains("ok Incus answers\n"), "{told}");
    assert!(
        told.contains(
            "left out: table, boot, forwarding, filters, legacy-filters, routes, file (there is no infra.yml"
        ),
        "{told}"
    );
    let json: Value = serde_json::from_str(&told::json(&report)).unwrap();
    assert_eq!((&json["lines"][0]["check"], &json["lines"][0]["level"]), (&json!("incus"), &json!("ok")));
}

#[test]
fn an_incus_that_does_not_answer_is_told_by_why_and_what_needs_it_is_left_out() {
    let of = |incus, init| {
        let readings = Readings { init, incus, ..readings() };
        let report = report(&readings, &File::None);
        assert!(report.is_broken());
        assert!(report.left_out.iter().any(|left_out| left_out.checks.contains(&Check::Storage)));
        line(&readings, Check::Incus)
    };
    let systemd = Some(Init::Systemd);
    is(&of(Reach::Missing, systemd), Level::Failure, "not installed", &["anklume bootstrap"]);
    let down = of(Reach::Down, systemd);
    is(&down, Level::Failure, "daemon does not run", &["systemctl enable --now incus.service"]);
    assert!(down.fix);
    let openrc = of(Reach::Down, Some(Init::OpenRc));
    is(&openrc, Level::Failure, "daemon does not run", &["rc-update add incus default", "rc-service incus start"]);
    is(&of(Reach::Down, None), Level::Failure, "daemon does not run", &[]);
    let denied = of(Reach::Denied, systemd);
    is(&denied, Level::Failure, "does not let this user in", &["usermod -aG incus-admin ann"]);
    assert!(!denied.fix, "who is in that group is as good as root");
    is(&of(Reach::Broken("odd".into()), systemd), Level::Failure, "does not answer: odd", &[]);
}

#[test]
fn an_incus_without_what_is_asked_of_it_is_too_old() {
    let old = of_answers(|answers| answers.extensions.retain(|one| one != "profiles_all_projects"));
    is(&line(&old, Check::Version), Level::Failure, "Incus 6.0.4 is too old: it has no profiles_all_projects", &[]);
}

#[test]
fn who_is_not_root_can_look_only() {
    let user = Readings { root: false, ..readings() };
    is(&line(&user, Check::User), Level::Warning, "ann, who can look but not load", &[]);
}

#[test]
fn ids_are_enough_too_few_or_those_of_incus() {
    let of = |uid: Option<&str>, gid: Option<&str>, init| {
        let subids = [uid, gid].map(|text| text.map(str::to_owned));
        lines(&Readings { init, subids, ..readings() }, &File::None, Check::Ids)
    };
    let few = of(Some("me:100000:65536\n"), None, Some(Init::Systemd));
    let grant = "usermod --add-subuids 1000000-1000999999 --add-subgids 1000000-1000999999 root";
    is(
        &few[0],
        Level::Failure,
        "root has 0 ids for containers in /etc/subuid",
        &[grant, "systemctl restart incus.service"],
    );
    is(&few[1], Level::Ok, "no /etc/subgid", &[]);
    is(&of(Some(""), None, None)[0], Level::Failure, "/etc/subuid", &[grant]);
}

#[test]
fn pools_are_there_work_and_have_room() {
    let none = of_answers(|answers| answers.pools.clear());
    let never = line(&none, Check::Storage);
    is(&never, Level::Failure, "no storage pool", &["anklume bootstrap --yes"]);
    assert!(never.fix);
    let of = |driver, status, space| of_answers(|answers| answers.pools = vec![pool(driver, status, space)]);
    let gone = of("zfs", "Unavailable", None);
    is(&line(&gone, Check::Storage), Level::Failure, "default is unavailable", &["incus storage info default"]);
    assert_eq!(lines(&gone, &File::None, Check::Space), []);
    let dir = line(&of("dir", "Created", None), Check::Storage);
    assert!(dir.level == Level::Ok && dir.note.contains("full copy"), "{dir:?}");
    let space = |used, total| line(&of("btrfs", "Created", Some((used, total))), Check::Space);
    is(&space(50, 100), Level::Ok, "50.0 GiB of 100.0 GiB left (50 %)", &[]);
    is(&space(92, 100), Level::Warning, "(8 %)", &["anklume image prune"]);
    is(&space(99, 100), Level::Failure, "(1 %)", &["anklume image prune"]);
    is(&space(2, 3), Level::Warning, "1.0 GiB of 3.0 GiB left", &["anklume image prune"]);
}

#[test]
fn virtual_machines_that_cannot_run_are_a_failure_only_where_the_file_has_some() {
    let without = |kvm, os| Readings { os, kvm, ..of_answers(|answers| answers.server = server("lxc", &json!([]))) };
    let debian = "apt-get install -y qemu-system-x86 ovmf";
    is(&line(&without(true, Os::Debian(13)), Check::VirtualMachines), Level::Warning, "finds no QEMU", &[debian]);
    is(
        &line(&without(true, Os::Fedora(43)), Check::VirtualMachines),
        Level::Warning,
        "finds no QEMU",
        &["dnf install -y qemu-kvm"],
    );
    let none = without(false, Os::Debian(13));
    is(&line(&none, Check::VirtualMachines), Level::Warning, "no /dev/kvm", &[]);
    let mut with_vm = two_domains();
    with_vm.domains["pro"].machines["pro-dev"].vm = true;
    is(&lines(&none, &good(file(&with_vm)), Check::VirtualMachines)[0], Level::Failure, "no /dev/kvm", &[]);
    is(&lines(&none, &good(file(&two_domains())), Check::VirtualMachines)[0], Level::Warning, "no /dev/kvm", &[]);
}

#[test]
fn a_gpu_is_for_those_that_the_host_can_give_it_to() {
    let with = |vendor: &str| {
        of_answers(|answers| {
            answers.server = server("lxc", &json!([{"pci_address": "0000:01:00.0", "vendor_id": vendor}]));
        })
    };
    is(&line(&with("1002"), Check::Gpus), Level::Ok, "1 GPU (0000:01:00.0), for containers and virtual machines", &[]);
    is(&line(&Readings { iommu: false, ..with("1002") }, Check::Gpus), Level::Warning, "no IOMMU", &[]);
    is(&line(&Readings { nvidia: false, ..with("10de") }, Check::Gpus), Level::Warning, "NVIDIA", &[]);
    is(&line(&Readings { nvidia: false, ..with("1002") }, Check::Gpus), Level::Ok, "1 GPU", &[]);
}

#[test]
fn nftables_is_there_and_who_else_uses_it_is_told() {
    let of = |nft| line(&Readings { nft, ..readings() }, Check::Nftables);
    is(&of(Nft::Missing), Level::Failure, "not installed", &["apt-get install -y nftables"]);
    is(&of(Nft::Unreadable("Operation not permitted".into())), Level::Warning, "Operation not permitted", &[]);
    let others = of(Nft::Tables(
        ["inet anklume", "inet incus", "bridge incus", "ip filter", "inet firewalld"].map(Into::into).into(),
    ));
    assert_eq!((others.level, others.note.as_str()), (Level::Ok, "others use it too: ip filter, inet firewalld"));
}

#[test]
fn bridged_packets_matter_where_the_file_filters_them() {
    let mut filtered = two_domains();
    let rule = AclRule {
        direction: "ingress".into(),
        action: "drop".into(),
        protocol: None,
        source: None,
        destination: None,
        destination_port: None,
        description: String::new(),
    };
    filtered.domains["pro"].acl.push(rule);
    let file = good(file(&filtered));
    let of = |bridged| lines(&Readings { bridged, ..readings() }, &file, Check::Bridged).remove(0);
    assert_eq!(of(true).level, Level::Ok);
    let commands = ["modprobe br_netfilter", "sysctl -w net.bridge.bridge-nf-call-iptables=1"];
    is(&of(false), Level::Warning, "the `acl` of pro does not filter", &commands);
    assert_eq!(line(&readings(), Check::Bridged).level, Level::Ok);
}

#[test]
fn the_clock_is_sane_and_synchronised() {
    let of = |now, synchronised| line(&Readings { clock: Clock { now, synchronised }, ..readings() }, Check::Clock);
    is(&of(86_400, None), Level::Failure, "years behind", &["timedatectl set-ntp true"]);
    is(&of(1_800_000_000, Some(false)), Level::Warning, "not synchronised", &["timedatectl set-ntp true"]);
    is(&of(1_800_000_000, None), Level::Ok, "sane", &[]);
}

#[test]
fn a_file_that_is_wrong_or_does_not_fit_is_told() {
    let wrong = File::Wrong("the file has 3 mistakes".into());
    is(&lines(&readings(), &wrong, Check::File)[0], Level::Failure, "3 mistakes", &["anklume check"]);
    let overlap = (Level::Failure, "`pro` takes what `tun0` has".to_owned(), "another subnet_id".to_owned());
    let misfits = vec![overlap, (Level::Warning, "old".into(), String::new())];
    let told = lines(&readings(), &good(OfFile { misfits, ..file(&two_domains()) }), Check::File);
    assert_eq!(
        (told[0].level, told[0].note.as_str(), told[1].level),
        (Level::Failure, "another subnet_id", Level::Warning)
    );
    assert_eq!(lines(&readings(), &good(file(&two_domains())), Check::File)[0].level, Level::Ok);
}

fn found(resource: usize, listed: &Value) -> Found {
    RESOURCES[resource].found(listed).expect("it is listed as Incus does")
}

fn live(found: impl IntoIterator<Item = Found>) -> Live {
    Live { found: found.into_iter().map(|found| (found.id.clone(), found)).collect(), ..Live::empty() }
}

fn marked(domain: &str) -> Value {
    json!({"user.anklume.infra": "lab", "user.anklume.domain": domain})
}

fn bridge(domain: &str) -> Found {
    let name = format!("net-{domain}");
    found(3, &json!({"name": name, "managed": true, "type": "bridge", "config": marked(domain)}))
}

fn project(domain: &str) -> Found {
    found(0, &json!({"name": domain, "config": marked(domain)}))
}

#[test]
fn the_table_is_in_force_gone_or_another_one() {
    let of_file = file(&two_domains());
    let of = |table: Table, bridges: bool| {
        let live = Live { table, ..live(bridges.then(|| bridge("pro"))) };
        let host = of_answers(|answers| answers.live = live);
        lines(&host, &good(of_file.clone()), Check::Table)
    };
    let wanted = Some(LiveTable::wanted(&of_file.wall));
    is(&of(Table::Known(wanted), true)[0], Level::Ok, "in force", &[]);
    let gone = of(Table::Known(None), true);
    is(&gone[0], Level::Failure, "GONE", &["anklume firewall apply --yes"]);
    assert!(gone[0].fix);
    let another = of(Table::Known(Some(LiveTable::default())), true);
    is(&another[0], Level::Failure, "not as the file says", &["anklume firewall apply --yes"]);
    assert!(!another[0].fix, "somebody may have meant it");
    assert_eq!(of(Table::Known(None), false), [], "nothing was applied yet");
    let unknown = Table::Unknown { why: "no".into(), hint: "sudo".into() };
    is(&of(unknown, true)[0], Level::Warning, "cannot be told: no", &[]);
}

#[test]
fn what_comes_back_at_the_next_boot_is_told() {
    let of_file = file(&two_domains());
    let of = |keeping: Keeping| {
        let live = Live { keeping, ..live([bridge("pro")]) };
        lines(&of_answers(|answers| answers.live = live), &good(of_file.clone()), Check::Boot).remove(0)
    };
    let systemd = Keeping { init: Some(Init::Systemd), ..Keeping::default() };
    let not_yet = of(systemd.clone());
    is(&not_yet, Level::Warning, "not the table of the file", &["anklume firewall apply --yes"]);
    is(&of(systemd.after(Some(&keep::text(&of_file.wall)))), Level::Ok, "in force before Incus starts", &[]);
    is(&of(Keeping::default()), Level::Warning, "GONE until", &[]);
}

#[test]
fn what_the_firewalls_own_doctor_finds_is_in_it() {
    let finding = |check, level| firewall::Finding {
        check,
        level,
        message: "x drops y".into(),
        mend: vec!["nft x".into()],
        note: "until then".into(),
    };
    let findings = vec![
        finding(FirewallCheck::Filters, firewall::Level::Failure),
        finding(FirewallCheck::LegacyFilters, firewall::Level::Warning),
    ];
    let file = good(OfFile { findings: Some(findings), ..file(&two_domains()) });
    let filters = lines(&readings(), &file, Check::Filters);
    is(&filters[0], Level::Failure, "x drops y", &["nft x"]);
    assert!(filters[0].fix && !lines(&readings(), &file, Check::LegacyFilters)[0].fix);
    assert_eq!(lines(&readings(), &file, Check::Routes)[0].level, Level::Ok);
    assert_eq!(report(&readings(), &file).fixes(), ["nft x"]);
    let unread = good(OfFile { findings: None, ..self::file(&two_domains()) });
    assert_eq!(report(&readings(), &unread).left_out[0].checks.len(), 4);
}

#[test]
fn where_incus_is_on_another_host_this_one_is_not_looked_at() {
    let there = of_answers(|answers| answers.elsewhere = true);
    let report = report(&Readings { nft: Nft::Missing, ..there }, &File::None);
    assert!(!report.is_broken(), "{report:#?}");
    assert!(report.left_out.iter().any(|left_out| left_out.why.contains("another host")));
}
