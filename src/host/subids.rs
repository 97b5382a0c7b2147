//! The ids that root gives to containers, from `/etc/subuid` and `/etc/subgid`.

/// So many are what a container has.
const CONTAINER: u64 = 65_536;
/// What Incus takes where nothing is said.
const FIRST: u64 = 1_000_000;
const COUNT: u64 = 1_000_000_000;

/// What root has of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubIds {
    /// No such file: Incus takes what it always does.
    Unsaid,
    /// The file gives root none, or too few for one container.
    TooFew(u64),
    Enough(u64),
}

/// The largest range that root has in such a file.
pub(crate) fn of_root(file: Option<&str>) -> SubIds {
    let Some(text) = file else { return SubIds::Unsaid };
    let own = ranges(text).filter(|(owner, ..)| *owner == "root" || *owner == "0").map(|(_, _, count)| count);
    match own.max().unwrap_or_default() {
        few if few < CONTAINER => SubIds::TooFew(few),
        count => SubIds::Enough(count),
    }
}

/// The command that gives root enough, in both files, none of which anybody has yet.
pub(crate) fn grant(files: [Option<&str>; 2]) -> Vec<String> {
    let ends = files.into_iter().flatten().flat_map(ranges).map(|(_, first, count)| first.saturating_add(count));
    let first = ends.max().unwrap_or_default().max(FIRST);
    // Ids are numbers of 32 bits, the last one of which is none.
    let last = (first + COUNT).min(u64::from(u32::MAX)) - 1;
    let range = format!("{first}-{last}");
    ["usermod", "--add-subuids", &range, "--add-subgids", &range, "root"].map(str::to_owned).into()
}

fn ranges(text: &str) -> impl Iterator<Item = (&str, u64, u64)> {
    text.lines().filter_map(|line| {
        let mut parts = line.trim().split(':');
        Some((parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_enough_too_few_or_what_incus_takes() {
        assert_eq!(of_root(None), SubIds::Unsaid);
        assert_eq!(of_root(Some("")), SubIds::TooFew(0));
        assert_eq!(of_root(Some("me:100000:65536\n")), SubIds::TooFew(0));
        assert_eq!(of_root(Some("root:1000000:1000\nroot:5000000:20000\n")), SubIds::TooFew(20_000));
        assert_eq!(of_root(Some("me:100000:65536\nroot:1000000:1000000000\n")), SubIds::Enough(COUNT));
        assert_eq!(of_root(Some("0:1000000:65536\nnonsense\n")), SubIds::Enough(CONTAINER));
    }

    #[test]
    fn root_gets_what_nobody_else_has() {
        let words = |files| grant(files).join(" ");
        let usual = "usermod --add-subuids 1000000-1000999999 --add-subgids 1000000-1000999999 root";
        assert_eq!(words([Some(""), None]), usual);
        assert_eq!(words([Some("me:100000:65536\n"), Some("me:100000:65536\n")]), usual);
        let other = "me:100000:65536\nyou:2000000:1000000\n";
        assert_eq!(words([Some(other), Some("")]), usual.replace("1000000-1000999999", "3000000-1002999999"));
        let far = "you:4000000000:1000\n";
        assert_eq!(words([None, Some(far)]), usual.replace("1000000-1000999999", "4000001000-4294967294"));
    }
}
