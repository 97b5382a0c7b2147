//! Reads how bare a host is.

use std::path::Path;

use serde_json::Value;

use super::{Backing, Bare, Standing};
use crate::host::boot::Init;
use crate::host::doctor::Reach;
use crate::host::doctor::gather::{is_in_path, refusal};
use crate::host::os::Os;
use crate::incus::call::Call;
use crate::incus::door::{CallError, Host, json};

/// Everything. `root` is `/`, but in tests.
pub(crate) async fn read(host: &impl Host, root: &Path) -> Bare {
    let text = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let (incus, backing, backports) = tokio::join!(standing(host), backing(host, root), backports(host));
    Bare {
        os: Os::parse(&text("etc/os-release").unwrap_or_default()),
        init: Init::of(root),
        incus,
        missing: ["nft", "ip", "rsync"].into_iter().filter(|program| !is_in_path(program)).collect(),
        backports,
        backing,
        has_btrfs: is_in_path("btrfs"),
        subids: ["etc/subuid", "etc/subgid"].map(text),
        docker: is_in_path("dockerd"),
        forwards_at_boot: forwards_at_boot(root),
    }
}

async fn standing(host: &impl Host) -> Standing {
    match asked(host).await {
        Ok(standing) => standing,
        Err(error) => match refusal(error) {
            Reach::Missing => Standing::NotInstalled,
            Reach::Down => Standing::Down,
            Reach::Denied => Standing::Broken("it does not let this user in".into()),
            Reach::Broken(said) => Standing::Broken(said),
            Reach::Answers(_) => unreachable!("an error is no answer"),
        },
    }
}

async fn asked(host: &impl Host) -> Result<Standing, CallError> {
    let (pools, profile) = (Call::query("/1.0/storage-pools?recursion=1"), Call::query("/1.0/profiles/default"));
    let pools = json(host, &pools).await?;
    let names = pools.as_array().into_iter().flatten().filter_map(|pool| pool["name"].as_str().map(str::to_owned));
    let names: Vec<String> = names.collect();
    if !names.is_empty() {
        return Ok(Standing::Initialised(names));
    }
    Ok(Standing::Empty { has_root: has_root(&json(host, &profile).await?) })
}

fn has_root(profile: &Value) -> bool {
    profile["devices"].as_object().into_iter().flatten().any(|(_, device)| device["path"] == "/")
}

/// The file system that Incus keeps its things on.
async fn backing(host: &impl Host, root: &Path) -> Backing {
    // Which may be a mount of its own already.
    let own = if root.join("var/lib/incus").is_dir() { "/var/lib/incus" } else { "/var/lib" };
    let call = Call::read("findmnt", ["--json", "--output", "FSTYPE,SOURCE", "--target", own]);
    let mounted = json(host, &call).await.map(|listed| on(&listed["filesystems"][0]));
    match mounted.unwrap_or(Backing::Plain) {
        Backing::Plain => only_zpool(host).await.map_or(Backing::Plain, Backing::Zfs),
        backing => backing,
    }
}

fn on(mounted: &Value) -> Backing {
    let source = mounted["source"].as_str().unwrap_or_default();
    match mounted["fstype"].as_str() {
        Some("btrfs") => Backing::Btrfs,
        // `rpool/ROOT/debian` is of the pool `rpool`.
        Some("zfs") => Backing::Zfs(source.split('/').next().unwrap_or_default().to_owned()),
        _ => Backing::Plain,
    }
}

/// The one pool that ZFS has; of several, nobody said which.
async fn only_zpool(host: &impl Host) -> Option<String> {
    let listed = host.call(&Call::read("zpool", ["list", "-H", "-o", "name"])).await.ok()?;
    let listed = String::from_utf8(listed).ok()?;
    let mut names = listed.lines().map(str::to_owned);
    names.next().filter(|_| names.next().is_none())
}

async fn backports(host: &impl Host) -> bool {
    let call = Call::read("apt-get", ["indextargets", "--format", "$(CODENAME)", "Created-By: Packages"]);
    let listed = host.call(&call).await.unwrap_or_default();
    String::from_utf8_lossy(&listed).lines().any(|suite| suite == "bookworm-backports")
}

/// The directories that systemd and `OpenRC` read; what stands in any of them is enough.
fn forwards_at_boot(root: &Path) -> bool {
    let directories = ["etc/sysctl.d", "run/sysctl.d", "usr/lib/sysctl.d"].map(|dir| root.join(dir));
    let listed = directories.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten();
    let files = listed.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "conf"));
    let texts = files.chain([root.join("etc/sysctl.conf")]).filter_map(|path| std::fs::read_to_string(path).ok());
    texts.into_iter().any(|text| text.lines().any(turns_on))
}

fn turns_on(line: &str) -> bool {
    line.split_once('=').is_some_and(|(key, value)| {
        ["net.ipv4.ip_forward", "net/ipv4/ip_forward"].contains(&key.trim().trim_start_matches('-'))
            && value.trim() == "1"
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_incus_is_on_is_read_off_the_mount() {
        assert_eq!(on(&json!({"fstype": "btrfs", "source": "/dev/sda2[/@]"})), Backing::Btrfs);
        assert_eq!(on(&json!({"fstype": "zfs", "source": "rpool/ROOT/debian"})), Backing::Zfs("rpool".into()));
        assert_eq!(on(&json!({"fstype": "ext4", "source": "/dev/sda2"})), Backing::Plain);
        assert!(has_root(&json!({"devices": {"disk": {"path": "/"}}})) && !has_root(&json!({"devices": {}})));
    }

    #[test]
    fn forwarding_is_on_at_boot_where_a_file_says_so() {
        let root = tempfile::tempdir().unwrap();
        assert!(!forwards_at_boot(root.path()));
        let dir = root.path().join("etc/sysctl.d");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("a.conf"), "# net.ipv4.ip_forward = 1\nnet.ipv4.ip_forward=0\n").unwrap();
        std::fs::write(dir.join("README"), "net.ipv4.ip_forward=1\n").unwrap();
        assert!(!forwards_at_boot(root.path()));
        std::fs::write(dir.join("b.conf"), "net.ipv4.ip_forward = 1\n").unwrap();
        assert!(forwards_at_boot(root.path()));
    }
}
