//! Archives that Incus exports, as it is to import them: what they say of the machine is changed on the way, since an import
//! takes no words of its own.

use std::io::{Error, ErrorKind, Read, Result, Write};

use serde_yaml::{Mapping, Value};

const BLOCK: usize = 512;
/// Where a header says how long what follows is, its checksum, and what it is.
const SIZE: std::ops::Range<usize> = 124..136;
const SUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;

/// What a machine is to be as it comes in.
pub(crate) struct Entry {
    pub(crate) profiles: Vec<String>,
    /// Config keys to set.
    pub(crate) set: Vec<(String, String)>,
    /// The networks that are there.
    pub(crate) networks: Vec<String>,
}

/// Copies an archive, with what it says of the machine changed.
pub(crate) fn rewrite(mut from: impl Read, mut to: impl Write, entry: &Entry) -> Result<()> {
    let mut header = [0; BLOCK];
    loop {
        match from.read_exact(&mut header) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return to.flush(),
            result => result?,
        }
        let size = size(&header)?;
        let padded = size.next_multiple_of(BLOCK as u64);
        if is_description(&header) && size < 64 << 20 {
            let mut text = vec![0; usize::try_from(padded).map_err(Error::other)?];
            from.read_exact(&mut text)?;
            text.truncate(usize::try_from(size).map_err(Error::other)?);
            let text = described(&text, entry)?;
            resize(&mut header, text.len());
            to.write_all(&header)?;
            to.write_all(&text)?;
            to.write_all(&vec![0; text.len().next_multiple_of(BLOCK) - text.len()])?;
        } else {
            to.write_all(&header)?;
            let copied = std::io::copy(&mut from.by_ref().take(padded), &mut to)?;
            if copied < padded {
                return Err(Error::new(ErrorKind::UnexpectedEof, "the archive ends in the middle"));
            }
        }
    }
}

fn size(header: &[u8; BLOCK]) -> Result<u64> {
    let field = &header[SIZE];
    if field[0] & 0x80 != 0 {
        // Too long for digits: as a number, the highest bit apart.
        return Ok(field[4..].iter().fold(0, |size, byte| size << 8 | u64::from(*byte)));
    }
    let digits: String = field.iter().map(|byte| char::from(*byte)).filter(char::is_ascii_digit).collect();
    if digits.is_empty() { Ok(0) } else { u64::from_str_radix(&digits, 8).map_err(Error::other) }
}

/// `backup/index.yaml`, `backup/container/backup.yaml`: the machine's own, and not a file of the same name in it.
fn is_description(header: &[u8; BLOCK]) -> bool {
    let name: String = header[..100].iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect();
    let deep = name.matches('/').count();
    let is_file = matches!(header[KIND], b'0' | 0);
    is_file
        && (name == "backup/index.yaml"
            || (name.ends_with("/backup.yaml") && (deep == 2 || (deep == 3 && name.contains("snapshots/")))))
}

fn resize(header: &mut [u8; BLOCK], size: usize) {
    header[SIZE].copy_from_slice(format!("{size:011o}\0").as_bytes());
    header[SUM].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[SUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn described(text: &[u8], entry: &Entry) -> Result<Vec<u8>> {
    let mut value: Value = serde_yaml::from_slice(text).map_err(Error::other)?;
    for top in ["", "config"] {
        let whole = if top.is_empty() { Some(&mut value) } else { value.get_mut(top) };
        let Some(Value::Mapping(whole)) = whole else { continue };
        for key in ["container", "instance"] {
            if let Some(Value::Mapping(machine)) = whole.get_mut(key) {
                entry.change(machine, true);
            }
        }
        for snapshot in whole.get_mut("snapshots").and_then(Value::as_sequence_mut).into_iter().flatten() {
            if let Value::Mapping(snapshot) = snapshot {
                entry.change(snapshot, false);
            }
        }
    }
    serde_yaml::to_string(&value).map(String::into_bytes).map_err(Error::other)
}

impl Entry {
    /// Its volumes come in by themselves, its addresses may be taken and its network may not be there: `apply` gives it
    /// all of those again. What else somebody gave it stays.
    fn change(&self, machine: &mut Mapping, marked: bool) {
        for key in ["devices", "expanded_devices"] {
            let Some(Value::Mapping(devices)) = machine.get_mut(key) else { continue };
            devices.retain(|_, device| {
                let of = |key: &str| device.get(key).and_then(Value::as_str);
                let is_volume = of("type") == Some("disk") && of("pool").is_some() && of("source").is_some();
                let is_nowhere = of("network").is_some_and(|network| !self.networks.iter().any(|one| one == network));
                !is_volume && !is_nowhere
            });
            for (_, device) in devices.iter_mut() {
                if let (Some("nic"), Value::Mapping(device)) =
                    (device.get("type").and_then(Value::as_str).map(str::to_owned).as_deref(), device)
                {
                    device.retain(|key, _| !matches!(key.as_str(), Some("ipv4.address" | "ipv6.address" | "hwaddr")));
                }
            }
        }
        for key in ["config", "expanded_config"] {
            let Some(Value::Mapping(config)) = machine.get_mut(key) else { continue };
            config.retain(|key, _| {
                !key.as_str().is_some_and(|key| key.starts_with("volatile.") && key.ends_with(".hwaddr"))
            });
            for (key, value) in self.set.iter().filter(|_| marked) {
                config.insert(key.as_str().into(), value.as_str().into());
            }
        }
        let profiles = self.profiles.iter().map(|name| Value::from(name.as_str())).collect();
        machine.insert("profiles".into(), Value::Sequence(profiles));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const DESCRIPTION: &str = "\
container:
  config:
    user.mine: 'yes'
    volatile.eth0.hwaddr: 10:66:6a:00:00:01
  devices:
    data: {type: disk, pool: p, source: dev-data, path: /data}
    eth0: {type: nic, network: net-pro, ipv4.address: 10.0.0.1, name: eth0}
    eth1: {type: nic, network: gone}
    share: {type: disk, source: /srv, path: /srv}
  profiles: [default, old]
snapshots:
- {name: one, config: {}, devices: {data: {type: disk, pool: p, source: dev-data}}, profiles: [old]}
pool: {name: p}
";

    fn entry() -> Entry {
        Entry {
            profiles: vec!["default".into()],
            set: vec![("user.new".into(), "1".into())],
            networks: vec!["net-pro".into()],
        }
    }

    #[test]
    fn what_it_says_of_the_machine_changes_and_nothing_else() {
        let text = described(DESCRIPTION.as_bytes(), &entry()).unwrap();
        let value: Value = serde_yaml::from_slice(&text).unwrap();
        let expected: Value = serde_yaml::from_str(
            "container:
  config: {user.mine: 'yes', user.new: '1'}
  devices:
    eth0: {type: nic, network: net-pro, name: eth0}
    share: {type: disk, source: /srv, path: /srv}
  profiles: [default]
snapshots:
- {name: one, config: {}, devices: {}, profiles: [default]}
pool: {name: p}",
        )
        .unwrap();
        assert_eq!(value, expected);
    }

    #[test]
    fn an_archive_stays_one_that_tar_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(path("backup/container/rootfs")).unwrap();
        std::fs::write(
            path("backup/index.yaml"),
            format!("name: dev\nconfig:\n  {}", DESCRIPTION.replace('\n', "\n  ")).trim_end(),
        )
        .unwrap();
        std::fs::write(path("backup/container/backup.yaml"), DESCRIPTION).unwrap();
        std::fs::write(
            path("backup/container/rootfs/backup.yaml"),
            "container: {devices: {data: {type: disk, pool: a, source: b}}}",
        )
        .unwrap();
        std::fs::write(path("backup/container/rootfs/big"), vec![7; 100_000]).unwrap();
        let tar = |args: &[&str]| {
            let output = Command::new("tar").current_dir(dir.path()).args(args).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        tar(&["-cf", "old.tar", "backup/index.yaml", "backup/container"]);
        let open = |name: &str| std::fs::File::open(path(name)).unwrap();
        rewrite(open("old.tar"), std::fs::File::create(path("new.tar")).unwrap(), &entry()).unwrap();
        assert_eq!(tar(&["-tf", "new.tar"]), tar(&["-tf", "old.tar"]));
        assert!(tar(&["-xOf", "new.tar", "backup/index.yaml"]).contains("user.new"));
        assert!(tar(&["-xOf", "new.tar", "backup/container/backup.yaml"]).contains("user.new"));
        assert!(
            tar(&["-xOf", "new.tar", "backup/container/rootfs/backup.yaml"]).contains("source: b"),
            "a file of the guest"
        );
        let short = std::fs::read(path("old.tar")).unwrap();
        let whole = rewrite(&short[..60_000], Vec::new(), &entry());
        assert!(whole.is_err(), "cut off in the middle of a file");
    }
}
