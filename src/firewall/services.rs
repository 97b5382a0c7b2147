//! The services that stand for the table: one loads it at boot, one restores it whenever it is gone.

use std::borrow::Cow;

use crate::host::boot::{Init, Service};

/// The service that loads the table before Incus starts. It uses nothing but nft, so that it works wherever anklume is,
/// and when anklume is gone.
pub(crate) fn loading(init: Init) -> Service {
    let (text, link) = match init {
        Init::Systemd => (
            include_str!("services/anklume-firewall.service"),
            "etc/systemd/system/incus.service.requires/anklume-firewall.service",
        ),
        Init::OpenRc => (include_str!("services/anklume-firewall.openrc"), "etc/runlevels/default/anklume-firewall"),
    };
    Service { init, name: "anklume-firewall", text: Cow::Borrowed(text), link, stays: false }
}

/// The service that runs `anklume firewall watch`; `anklume` is the program's place.
pub(crate) fn watching(init: Init, anklume: &str) -> Service {
    let (text, link) = match init {
        Init::Systemd => (
            include_str!("services/anklume-firewall-watch.service"),
            "etc/systemd/system/multi-user.target.wants/anklume-firewall-watch.service",
        ),
        Init::OpenRc => {
            (include_str!("services/anklume-firewall-watch.openrc"), "etc/runlevels/default/anklume-firewall-watch")
        }
    };
    let text = text.replace("@ANKLUME@", &quoted(init, anklume));
    Service { init, name: "anklume-firewall-watch", text: text.into(), link, stays: true }
}

/// What goes between double quotes.
fn quoted(init: Init, path: &str) -> String {
    let escaped = path.replace('\\', r"\\").replace('"', "\\\"");
    match init {
        Init::Systemd => escaped.replace('%', "%%").replace('$', "$$"),
        Init::OpenRc => escaped.replace('$', r"\$").replace('`', r"\`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::keep::FILE;

    /// The file's name is in the services too.
    #[test]
    fn the_services_load_the_kept_file_and_no_other() {
        assert_eq!(loading(Init::Systemd).text.matches(FILE).count(), 3);
        assert_eq!(loading(Init::OpenRc).text.matches(FILE).count(), 2);
    }

    #[test]
    fn the_program_is_found_whatever_its_place_is_called() {
        let systemd = watching(Init::Systemd, r#"/opt/a "b" 100%/$x/anklume"#).text;
        assert!(systemd.contains(r#"ExecStart="/opt/a \"b\" 100%%/$$x/anklume" firewall watch"#), "{systemd}");
        let openrc = watching(Init::OpenRc, "/opt/$x/anklume").text;
        assert!(openrc.contains(r#"command="/opt/\$x/anklume""#), "{openrc}");
    }
}
