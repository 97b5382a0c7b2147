//! What the end-to-end tests stand on: beds to try anklume in, and what programs say in them.

mod agent;
mod bed;
mod cut;
mod output;
mod plan;
mod running;

use std::time::{Duration, Instant};

pub(crate) use agent::Agent;
pub(crate) use bed::Bed;
pub(crate) use cut::{calls_of, cut_off_at};
pub(crate) use output::Output;
pub(crate) use plan::Plan;
pub(crate) use running::Running;

/// Devices that give a container the host's programs, in the place of `@PROGRAMS@`.
pub(crate) fn with_programs(text: &str) -> String {
    let devices = [("usr", "/usr", "/usr"), ("lib", "/usr/lib", "/lib"), ("lib64", "/usr/lib64", "/lib64")];
    let devices = devices
        .map(|(name, source, path)| format!("{name}: {{type: disk, source: {source}, path: {path}, readonly: true}}"));
    edited(text, &[("@PROGRAMS@", &devices.join("\n          "))])
}

/// Devices that give a container these, anklume, and the socket of the host's Incus, in the place of `@CONTROL@`.
pub(crate) fn with_control(bed: &Bed, text: &str) -> String {
    let anklume = bed.sh("dirname $ANKLUME").ok().stdout.trim().to_owned();
    let devices = format!(
        "@PROGRAMS@
          anklume: {{type: disk, source: \"{anklume}\", path: /opt/anklume, readonly: true}}
          incus:
            type: proxy
            bind: instance
            listen: unix:/tmp/incus.socket
            connect: unix:/var/lib/incus/unix.socket"
    );
    with_programs(&edited(text, &[("@CONTROL@", &devices)]))
}

/// Runs something in such a container, called `ctl` in the project `control`, where `infra.yml` is.
pub(crate) fn in_control(bed: &Bed, words: &str) -> Output {
    let path = "/opt/anklume:/usr/bin:/usr/sbin:/bin:/sbin";
    let script = format!("cd /root; export INCUS_SOCKET=/tmp/incus.socket PATH={path}; {words}");
    bed.guest("control", "ctl", &script)
}

/// Gives it that file.
pub(crate) fn push_to_control(bed: &Bed, infra: &str) {
    bed.write("inner.yml", infra);
    bed.sh("incus file push inner.yml ctl/root/infra.yml --project control -q").ok();
}

/// A text with some words replaced, each of which is in it.
#[track_caller]
pub(crate) fn edited(text: &str, edits: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (old, new) in edits {
        assert!(text.contains(old), "there is no `{old}` in:\n{text}");
        text = text.replace(old, new);
    }
    text
}

/// Waits until something is so; no test sleeps and hopes.
#[track_caller]
pub(crate) fn wait_for(what: &str, is_so: impl FnMut() -> bool) {
    wait_up_to(30, what, is_so);
}

/// The same for what takes long by nature, such as a virtual machine that starts.
#[track_caller]
pub(crate) fn wait_up_to(seconds: u64, what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(seconds), "waited {seconds} s for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A test that cannot run here says why; `tests/run` counts it as skipped.
pub(crate) fn skip(test: &str, why: &str) {
    #![expect(clippy::print_stderr, reason = "it is what a test says")]
    use std::io::Write;
    eprintln!("skipped: {test}: {why}");
    if let Some(path) = std::env::var_os("ANKLUME_TESTS_SKIPPED") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{test}: {why}").unwrap();
    }
}
