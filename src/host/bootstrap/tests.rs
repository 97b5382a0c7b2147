//! The steps of each distribution, from nothing and from anywhere on the way.

use super::*;

fn bare(os: Os) -> Bare {
    Bare {
        os,
        init: Some(Init::Systemd),
        incus: Standing::NotInstalled,
        missing: vec!["nft"],
        backports: false,
        backing: Backing::Plain,
        has_btrfs: false,
        subids: [Some("root:1000000:1000000000\n".into()), Some("root:1000000:1000000000\n".into())],
        docker: false,
        forwards_at_boot: false,
    }
}

fn words(bare: &Bare) -> Vec<String> {
    let steps = steps(bare).unwrap_or_else(|why| panic!("{why}"));
    steps.iter().flat_map(|step| &step.calls).map(Call::words).collect()
}

fn shown(bare: &Bare) -> String {
    steps(bare).unwrap().iter().flat_map(|step| &step.calls).map(|call| call.shell(|_, _| None) + "\n").collect()
}

const INIT: [&str; 3] =
    ["systemctl enable --now incus.service", "incus admin waitready --timeout 60", "incus admin init --preseed"];

#[test]
fn debian_12_has_it_in_its_backports_and_those_after_it_have_it_themselves() {
    let twelve = words(&bare(Os::Debian(12)));
    assert_eq!(
        twelve[..4],
        [
            format!("install -D -m 0644 /dev/stdin {BACKPORTS}.new"),
            format!("sync {BACKPORTS}.new"),
            format!("mv -f {BACKPORTS}.new {BACKPORTS}"),
            "apt-get update".to_owned()
        ]
    );
    let install = "env DEBIAN_FRONTEND=noninteractive apt-get install -y";
    assert_eq!(twelve[4], format!("{install} -t bookworm-backports incus nftables"));
    assert_eq!(twelve[5..], INIT);
    let with_backports = words(&Bare { backports: true, ..bare(Os::Debian(12)) });
    assert_eq!(with_backports, twelve[3..]);
    for os in [Os::Debian(13), Os::Debian(u32::MAX), Os::Ubuntu(24, 4)] {
        let words = words(&bare(os));
        assert_eq!(words[..2], ["apt-get update".to_owned(), format!("{install} incus nftables")]);
        assert_eq!(words[2..], INIT);
    }
}

#[test]
fn fedora_and_arch_have_their_own_words_and_names() {
    let all = |os| Bare { missing: vec!["nft", "ip", "rsync"], ..bare(os) };
    assert_eq!(words(&all(Os::Fedora(43)))[0], "env dnf install -y incus nftables iproute rsync");
    assert_eq!(words(&all(Os::Arch))[0], "env pacman -S --needed --noconfirm incus nftables iproute2 rsync");
    assert_eq!(words(&all(Os::Fedora(43)))[1..], INIT);
}

#[test]
fn what_has_no_package_of_it_is_told_with_another_way() {
    let why = |os| steps(&bare(os)).unwrap_err().to_string();
    assert_eq!(why(Os::Ubuntu(22, 4)), "Ubuntu 22.04 has no package of Incus");
    assert_eq!(why(Os::Debian(11)), "Debian 11 has no package of Incus");
    assert_eq!(why(Os::Fedora(39)), "Fedora 39 has no package of Incus");
    assert!(
        why(Os::Other("Alpine Linux v3.20".into())).contains("how Alpine Linux v3.20 installs packages is not known")
    );
    // With everything there already, nobody asks how it came.
    let there = Bare { incus: Standing::Empty { has_root: false }, missing: vec![], ..bare(Os::Other("x".into())) };
    assert_eq!(words(&there), ["incus admin init --preseed"]);
}

#[test]
fn an_incus_that_is_initialised_is_left_as_it_is() {
    let standing = Standing::Initialised(vec!["mine".into()]);
    let nothing = [Some("me:1:2\n".to_owned()), None];
    let ready =
        Bare { incus: standing, missing: vec![], subids: nothing, backing: Backing::Btrfs, ..bare(Os::Debian(13)) };
    assert_eq!(words(&ready), Vec::<String>::new());
    // What anklume itself needs may still be missing.
    let words = words(&Bare { missing: vec!["nft"], ..ready });
    assert_eq!(words[1..], ["env DEBIAN_FRONTEND=noninteractive apt-get install -y nftables"]);
}

#[test]
fn the_pool_is_on_what_there_is() {
    let empty =
        |backing| Bare { incus: Standing::Empty { has_root: false }, missing: vec![], backing, ..bare(Os::Debian(13)) };
    let dir = shown(&empty(Backing::Plain));
    assert!(dir.contains("\"driver\": \"dir\"") && dir.contains("\"root\""), "{dir}");
    let zfs = shown(&empty(Backing::Zfs("tank".into())));
    assert!(zfs.contains("\"driver\": \"zfs\"") && zfs.contains("\"source\": \"tank/incus\""), "{zfs}");
    let btrfs = Bare { has_btrfs: true, ..empty(Backing::Btrfs) };
    let made = shown(&btrfs);
    assert!(made.contains("\"driver\": \"btrfs\"") && made.contains("/var/lib/incus/storage-pools/default"), "{made}");
    let without = words(&empty(Backing::Btrfs));
    assert!(without[1].ends_with("install -y btrfs-progs"), "{without:?}");
    let has_root = shown(&Bare { incus: Standing::Empty { has_root: true }, ..btrfs });
    assert!(!has_root.contains("profiles"), "a root disk that somebody made stays: {has_root}");
}

#[test]
fn root_gets_ids_before_anything_is_installed_and_a_daemon_reads_them_again() {
    let subids = [Some("me:100000:65536\n".to_owned()), Some(String::new())];
    let new = Bare { subids: subids.clone(), ..bare(Os::Fedora(43)) };
    let usermod = "usermod --add-subuids 1000000-1000999999 --add-subgids 1000000-1000999999 root";
    assert_eq!(words(&new)[0], usermod);
    let running = Bare { incus: Standing::Empty { has_root: false }, missing: vec![], ..new.clone() };
    let restart =
        ["systemctl restart incus.service", "incus admin waitready --timeout 60", "incus admin init --preseed"];
    assert_eq!(words(&running), [&[usermod][..], &restart].concat());
    let unsaid = Bare { subids: [None, None], ..new };
    assert!(!words(&unsaid).contains(&usermod.to_owned()), "Incus has its own where nothing is said");
}

#[test]
fn a_daemon_that_is_down_is_started_by_what_boots_the_host() {
    let down = |init| Bare { incus: Standing::Down, missing: vec![], init, ..bare(Os::Debian(13)) };
    assert_eq!(words(&down(Some(Init::Systemd))), INIT);
    assert_eq!(words(&down(Some(Init::OpenRc)))[..2], ["rc-update add incus default", "rc-service incus start"]);
    let why = steps(&down(None)).unwrap_err().to_string();
    assert!(why.contains("neither systemd nor OpenRC"), "{why}");
    let broken = Bare { incus: Standing::Broken("no".into()), ..bare(Os::Arch) };
    assert_eq!(steps(&broken).unwrap_err().to_string(), "Incus does not answer: no");
}

#[test]
fn docker_finds_forwarding_on_from_the_next_boot() {
    let docker = Bare { docker: true, ..bare(Os::Debian(13)) };
    let of_file = |bare: &Bare| words(bare).iter().filter(|words| words.contains(FORWARDING)).count();
    assert_eq!(of_file(&docker), 3);
    assert!(shown(&docker).contains("net.ipv4.ip_forward = 1"));
    assert_eq!(of_file(&Bare { forwards_at_boot: true, ..docker }), 0);
}
