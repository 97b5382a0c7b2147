//! What to type when Incus or nft cannot be used: their words, told apart, and a hint for each.

use super::door::CallError;

/// The hint for a failed call, where there is one worth giving.
pub(crate) fn hint(error: &CallError) -> Option<String> {
    match error {
        CallError::Missing("incus") => {
            Some("install Incus: `apt install incus` (on Debian 12 from bookworm-backports)".into())
        }
        CallError::Missing("nft") => Some("install nftables: `apt install nftables`".into()),
        CallError::Missing("ip") => Some("install iproute2: `apt install iproute2`".into()),
        CallError::Missing(_) | CallError::Broken { .. } => None,
        CallError::Failed { program, said } => said_hint(program, said),
        CallError::Garbled { .. } => Some("is `incus` the real one? `command -v incus; incus version` tells".into()),
    }
}

/// (program, what is found in its words, what to type)
const HINTS: [(&str, &str, &str); 20] = [
    (
        "incus",
        "doesn't appear to be started",
        "start it: `systemctl start incus` (never used here yet? then `incus admin init --minimal` next)",
    ),
    (
        "incus",
        "http://unix.socket",
        "Incus went away meanwhile: `systemctl status incus` tells; once it is back, run this again",
    ),
    (
        "incus",
        "needed permissions to talk to the incus daemon",
        "run as root, or join the group: `usermod -aG incus-admin $USER`, then log in again",
    ),
    ("incus", "No root device could be found", "add a root disk to a profile of the machine, or use profile `default`"),
    (
        "incus",
        "requested image couldn't be found",
        "`incus image list images:` lists what there is; correct `os_image` in the file",
    ),
    (
        "incus",
        "Image with same fingerprint already exists",
        "it is here under another name: `incus image list`, then `incus image alias create NAME FINGERPRINT`",
    ),
    ("incus", "The remote", "`incus remote list` shows the remotes; `incus remote add` makes one"),
    ("incus", "Unable to connect to", "is the image server reachable? `incus image list images:` tries it"),
    (
        "incus",
        "is not supported on this server",
        "virtual machines need KVM and QEMU here: `incus info | grep -i driver` shows what Incus can run",
    ),
    ("incus", "Failed to detect requested GPU device", "`incus info --resources` shows the GPUs of this host"),
    ("incus", "Instance is protected", "protected machines go only by name: `anklume destroy NAME --force`"),
    ("incus", "The network is currently in use", "`incus network show NAME` lists who uses it"),
    (
        "incus",
        "Required idmapping abilities not available",
        "the host directory is on a file system that cannot shift owners (overlay, NFS, …): move it to ext4, XFS or btrfs, \
         or write `shift: false` for a shared volume",
    ),
    (
        "incus",
        "Failed shutting down instance",
        "it did not stop when it was asked to: `anklume stop NAME --force` cuts it off, then run this again",
    ),
    ("incus", "Disk quota exceeded", "a volume holds more than its new `size`: delete some of it first"),
    (
        "mkdir",
        "",
        "a directory that machines see is made on this host: is the disk writable, and is no file in its way?",
    ),
    (
        "incus",
        "Only empty projects can be removed",
        "`incus list --project NAME` and `incus image list --project NAME` show what is left",
    ),
    ("sh", "rsync is missing", "`apt install rsync`, then this again: it goes on from here"),
    ("nft", "Operation not permitted", "only root may read and change nftables: run as root, or with `sudo`"),
    (
        "nft",
        "Could not process rule",
        "does the kernel have all of nftables? `modprobe -a nft_ct nft_fib_inet` loads what is used; \
         `anklume plan --commands` prints the table",
    ),
];

fn said_hint(program: &str, said: &str) -> Option<String> {
    HINTS.iter().find(|(of, words, _)| *of == program && said.contains(words)).map(|(_, _, hint)| (*hint).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(program: &'static str, said: &str) -> Option<String> {
        hint(&CallError::Failed { program, said: said.into() })
    }

    /// The words are those of Incus 6.0.4 and nft 1.0.6, as they were seen.
    #[test]
    fn each_known_trouble_has_its_own_hint() {
        let down = "The incus daemon doesn't appear to be started (socket path: /var/lib/incus/unix.socket)";
        assert!(failed("incus", down).unwrap().contains("systemctl start incus"));
        let leaving = "Get \"http://unix.socket/1.0\": EOF";
        assert!(failed("incus", leaving).unwrap().contains("systemctl status incus"));
        let closed = "You don't have the needed permissions to talk to the incus daemon (socket path: /x)";
        assert!(failed("incus", closed).unwrap().contains("usermod -aG incus-admin"));
        for closed in ["Operation not permitted (you must be root)", "Could not process rule: Operation not permitted"]
        {
            assert!(failed("nft", closed).unwrap().contains("root"));
        }
        assert!(failed("nft", "Could not process rule: Operation not supported").unwrap().contains("modprobe"));
        assert!(hint(&CallError::Missing("incus")).unwrap().contains("apt install incus"));
        assert!(failed("sh", "rsync is missing, which compares").unwrap().contains("apt install rsync"));
        assert_eq!(failed("incus", "something new"), None);
    }
}
