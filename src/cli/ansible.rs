//! The words of `anklume sync`, `inventory` and `provision`, and those of `anklume-inventory`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

/// Each file has a part that anklume writes, between two marks; what stands around it is yours and stays as it is.
/// Addresses are those that Incus holds.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option")]
pub(crate) struct SyncArgs {
    /// Where `inventory`, `group_vars` and `host_vars` are [default: beside the file of the infrastructure]
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) dir: Option<PathBuf>,
    /// Write nothing; exit with 1 when something would change
    #[arg(long)]
    pub(crate) check: bool,
    /// Show the lines that change
    #[arg(long)]
    pub(crate) diff: bool,
    /// Remove the files of what left the infrastructure, where nothing of yours is in them; protected ones stay
    #[arg(long)]
    pub(crate) prune: bool,
    /// Take anklume's part out of all files again; those with nothing else in them go
    #[arg(long, conflicts_with_all = ["prune", "offline"])]
    pub(crate) clear: bool,
    /// As for an empty host; needs no Incus
    #[arg(long)]
    pub(crate) offline: bool,
}

/// In the protocol that Ansible speaks with inventory scripts. A symbolic link to anklume that is called `anklume-inventory`
/// is such a script: `ansible -i ./anklume-inventory all -m ping`. It looks for the infrastructure in `$ANKLUME_FILE`, then
/// beside the link, then in the directory above, then here.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct InventoryArgs {
    /// Everything: groups, machines and their variables
    #[arg(long)]
    pub(crate) list: bool,
    /// The variables of one machine
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// The groups and their machines, for people
    #[arg(long)]
    pub(crate) graph: bool,
}

/// Runs the `ansible-playbook` that is installed, with a playbook made of the roles that machines have in the file. It finds
/// `roles`, `group_vars` and `host_vars` beside the file of the infrastructure.
#[derive(Debug, Args)]
pub(crate) struct ProvisionArgs {
    /// Domains or machines; none: all that have roles
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Where `roles`, `group_vars` and `host_vars` are [default: beside the file of the infrastructure]
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) dir: Option<PathBuf>,
    /// Change nothing in the machines: Ansible tells what it would do
    #[arg(long)]
    pub(crate) check: bool,
    /// Only the tasks with these tags
    #[arg(long, value_name = "TAGS")]
    pub(crate) tags: Vec<String>,
    /// More words for `ansible-playbook`, after `--`
    #[arg(value_name = "WORD", last = true)]
    pub(crate) more: Vec<String>,
}

/// What a link to anklume has to be called to be an inventory script. A dot may stand before it, and more behind.
pub(crate) const SCRIPT: &str = "anklume-inventory";
/// Where such a script finds the infrastructure.
pub(crate) const FILE_VARIABLE: &str = "ANKLUME_FILE";
/// What stands for `--yolo` there.
pub(crate) const YOLO_VARIABLE: &str = "ANKLUME_YOLO";

/// The words on the command line. Ansible gives an inventory script none but `--list` and `--host`: the rest is said here.
pub(crate) fn words(
    words: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Vec<OsString> {
    let words: Vec<OsString> = words.into_iter().collect();
    let program = words.first().map(PathBuf::from).unwrap_or_default();
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !name.trim_start_matches('.').starts_with(SCRIPT) {
        return words;
    }
    let file = variable(FILE_VARIABLE).map(PathBuf::from).or_else(|| program.parent().and_then(near));
    let file = file.into_iter().flat_map(|file| ["--file".into(), file.into_os_string()]);
    let yolo = variable(YOLO_VARIABLE).map(|_| "--yolo".into());
    let said = file.chain(yolo).chain(["inventory".into()]);
    [program.into_os_string()].into_iter().chain(said).chain(words.into_iter().skip(1)).collect()
}

/// The infrastructure beside a script, or above it: scripts are often kept in a directory of inventories.
fn near(dir: &Path) -> Option<PathBuf> {
    // Run by a bare name, it was found in the PATH: there is none beside that.
    let dir = Some(dir).filter(|dir| !dir.as_os_str().is_empty())?;
    let places = [dir.to_owned(), dir.join("..")];
    places.iter().find_map(|place| {
        let (file, directory) = (place.join("infra.yml"), place.join("infra"));
        if file.is_file() { Some(file) } else { directory.join("base.yml").is_file().then_some(directory) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(program: &Path, file: Option<&str>) -> Vec<String> {
        let variable = |name: &str| file.filter(|_| name == FILE_VARIABLE).map(OsString::from);
        let words = words([program.as_os_str().to_owned(), "--list".into()], variable);
        words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn under_another_name_it_is_an_inventory_script_that_finds_the_infrastructure() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        std::fs::create_dir(place("inventory")).unwrap();
        assert_eq!(said(&place("anklume"), None), ["--list"]);
        assert_eq!(said(&place("anklume-inventory"), None), ["inventory", "--list"]);
        std::fs::write(place("infra.yml"), "").unwrap();
        let beside = place("infra.yml").display().to_string();
        assert_eq!(said(&place("anklume-inventory"), None), ["--file", &beside, "inventory", "--list"]);
        let above = place("inventory/../infra.yml").display().to_string();
        assert_eq!(said(&place("inventory/anklume-inventory"), None), ["--file", &above, "inventory", "--list"]);
        assert_eq!(said(&place("anklume-inventory"), Some("/x")), ["--file", "/x", "inventory", "--list"]);
        assert_eq!(said(Path::new("anklume-inventory"), None), ["inventory", "--list"]);
    }
}
