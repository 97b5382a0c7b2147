//! Compares a copy with what it was made from, file by file, where this host can see both.

use std::path::Path;

use crate::incus::call::Call;
use crate::plan::Id;
use crate::resources::volume;

/// Fails with the first differences. A pool whose files are seen only while something runs (LVM, ZFS), or that is on
/// another host, is not looked into: what Incus says of its copy has to do there. Incus itself needs rsync.
const SCRIPT: &str = r#"
[ -e "$1" ] && [ -e "$2" ] || exit 0
command -v rsync >/dev/null || { echo "rsync is missing, which compares the copy with its source" >&2; exit 1; }
found=$(rsync -aHAX --dry-run --checksum --delete --omit-dir-times --itemize-changes "$1" "$2" 2>&1 | head -n 5)
[ -z "$found" ] || { echo "the copy is not the same: $found" >&2; exit 1; }"#;

/// Where Incus keeps its pools.
fn pools() -> String {
    let incus = std::env::var("INCUS_DIR").unwrap_or_else(|_| "/var/lib/incus".into());
    Path::new(&incus).join("storage-pools").to_string_lossy().into_owned()
}

/// Compares two directories, or two files.
pub(super) fn paths(from: &str, to: &str) -> Call {
    Call::run("sh", ["-c", SCRIPT, "sh", from, to])
}

/// Compares the root disks of two instances.
pub(super) fn instances(vm: bool, (from, from_pool): (&Id, &str), (to, to_pool): (&Id, &str)) -> Call {
    let (kind, content) = if vm { ("virtual-machines", "root.img") } else { ("containers", "rootfs/") };
    let path = |id: &Id, pool: &str| format!("{}/{pool}/{kind}/{}_{}/{content}", pools(), id.project, id.name);
    paths(&path(from, from_pool), &path(to, to_pool))
}

/// Compares two volumes.
pub(super) fn volumes(block: bool, from: &Id, to: &Id) -> Call {
    let content = if block { "root.img" } else { "" };
    let path = |id: &Id| {
        let (pool, name) = volume::parts(id);
        format!("{}/{pool}/custom/{}_{name}/{content}", pools(), id.project)
    };
    paths(&path(from), &path(to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incus::door::{Host, ThisHost};

    #[tokio::test(flavor = "current_thread")]
    async fn a_copy_that_lacks_a_byte_is_not_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned() + "/";
        for name in ["a", "b"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("f"), "text").unwrap();
        }
        let time = std::fs::metadata(dir.path().join("a/f")).unwrap().modified().unwrap();
        let same_time =
            || std::fs::File::options().write(true).open(dir.path().join("b/f")).unwrap().set_modified(time);
        same_time().unwrap();
        assert!(ThisHost.call(&paths(&path("a"), &path("b"))).await.is_ok());
        assert!(ThisHost.call(&paths(&path("a"), &path("nowhere"))).await.is_ok(), "not seen from here");
        std::fs::write(dir.path().join("b/f"), "tex1").unwrap();
        same_time().unwrap();
        let said = ThisHost.call(&paths(&path("a"), &path("b"))).await.unwrap_err().to_string();
        assert!(said.contains("the copy is not the same") && said.contains('f'), "{said}");
    }
}
