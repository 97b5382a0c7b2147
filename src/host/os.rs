//! The distribution that this host runs, and how it installs packages.

/// What `/etc/os-release` says, as far as it makes a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Os {
    Debian(u32),
    /// Year and month: 24.04 is (24, 4).
    Ubuntu(u32, u32),
    Fedora(u32),
    Arch,
    /// What it calls itself.
    Other(String),
}

impl Os {
    /// Reads `/etc/os-release`. What is made from one of these and says which is taken for that one only where its
    /// versions are the same.
    pub(crate) fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            let mut of_key = lines.filter(|(name, _)| *name == key).map(|(_, value)| value.trim_matches(['"', '\'']));
            of_key.next().unwrap_or_default()
        };
        let version = |text: &str| -> u32 { text.parse().unwrap_or_default() };
        let (id, number) = (value("ID"), value("VERSION_ID"));
        match id {
            // Testing and sid have no number; they are newer than all that have one.
            "debian" => Self::Debian(if number.is_empty() { u32::MAX } else { version(number) }),
            "ubuntu" => {
                let (year, month) = number.split_once('.').unwrap_or((number, ""));
                Self::Ubuntu(version(year), version(month))
            }
            "fedora" => Self::Fedora(version(number)),
            "arch" => Self::Arch,
            _ if value("ID_LIKE").split(' ').any(|like| like == "arch") => Self::Arch,
            _ => Self::Other(
                [value("PRETTY_NAME"), id].into_iter().find(|name| !name.is_empty()).unwrap_or("Linux").into(),
            ),
        }
    }

    /// The words that install packages, without a question.
    pub(crate) fn install(&self, packages: &[&str]) -> Option<Vec<String>> {
        let words: &[&str] = match self {
            Self::Debian(12) if packages.contains(&"incus") => {
                &["apt-get", "install", "-y", "-t", "bookworm-backports"]
            }
            Self::Debian(_) | Self::Ubuntu(..) => &["apt-get", "install", "-y"],
            Self::Fedora(_) => &["dnf", "install", "-y"],
            // Not `-y`: newer packages on an older system break it.
            Self::Arch => &["pacman", "-S", "--needed", "--noconfirm"],
            Self::Other(_) => return None,
        };
        Some(words.iter().chain(packages).map(|word| (*word).to_owned()).collect())
    }

    /// The package that `ip` is in.
    pub(crate) fn iproute(&self) -> &'static str {
        if matches!(self, Self::Fedora(_)) { "iproute" } else { "iproute2" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_distribution_is_known_by_its_own_words() {
        for (text, os) in [
            ("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n", Os::Debian(12)),
            ("PRETTY_NAME=\"Debian GNU/Linux forky/sid\"\nID=debian\n", Os::Debian(u32::MAX)),
            ("NAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n", Os::Ubuntu(24, 4)),
            ("NAME=\"Fedora Linux\"\nID=fedora\nVERSION_ID=43\n", Os::Fedora(43)),
            ("NAME=\"Arch Linux\"\nID=arch\nBUILD_ID=rolling\n", Os::Arch),
            ("NAME=\"EndeavourOS\"\nID=endeavouros\nID_LIKE=\"arch\"\n", Os::Arch),
            (
                "NAME=\"Alpine Linux\"\nID=alpine\nPRETTY_NAME=\"Alpine Linux v3.20\"\n",
                Os::Other("Alpine Linux v3.20".into()),
            ),
            ("", Os::Other("Linux".into())),
        ] {
            assert_eq!(Os::parse(text), os);
        }
    }

    #[test]
    fn packages_are_installed_in_each_ones_own_way() {
        let words = |os: Os, packages: &[&str]| os.install(packages).map(|words| words.join(" "));
        assert_eq!(
            words(Os::Debian(12), &["incus", "nftables"]).unwrap(),
            "apt-get install -y -t bookworm-backports incus nftables"
        );
        assert_eq!(words(Os::Debian(12), &["nftables"]).unwrap(), "apt-get install -y nftables");
        assert_eq!(words(Os::Debian(13), &["incus"]).unwrap(), "apt-get install -y incus");
        assert_eq!(words(Os::Ubuntu(24, 4), &["incus"]).unwrap(), "apt-get install -y incus");
        assert_eq!(words(Os::Fedora(43), &["incus"]).unwrap(), "dnf install -y incus");
        assert_eq!(words(Os::Arch, &["incus"]).unwrap(), "pacman -S --needed --noconfirm incus");
        assert_eq!(words(Os::Other("x".into()), &["incus"]), None);
    }
}
