//! The table in a real kernel, inside network namespaces of the tests' own. Needs `nft` and `ip`, and no root.

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use super::live::{LiveTable, parse_live};
use super::ruleset::{batch, removal};
use super::sample;
use super::wall::Wall;

/// A network namespace that lives as long as this value.
pub(super) struct Namespace {
    holder: Child,
}

impl Namespace {
    pub(super) fn new() -> Self {
        let mut holder = Command::new("unshare")
            .args(["-rn", "sh", "-c", "echo ready; exec sleep 600"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut ready = [0; 6];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut ready).expect("a network namespace");
        let namespace = Self { holder };
        namespace.run("ip link set lo up");
        namespace
    }

    pub(super) fn pid(&self) -> u32 {
        self.holder.id()
    }

    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &self.pid().to_string(), "-U", "--preserve-credentials", "-n", "--", program])
            .env("LC_ALL", "C.UTF-8");
        command
    }

    /// Runs a line of shell; its standard output.
    pub(super) fn run(&self, line: &str) -> String {
        let output = self.try_run(line);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "`{line}` failed: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(super) fn try_run(&self, line: &str) -> Output {
        self.command("sh").args(["-c", line]).stdin(Stdio::null()).output().expect("nsenter runs")
    }

    pub(super) fn nft(&self, json: &Value) {
        let mut child = self.command("nft").args(["-j", "-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(json.to_string().as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "nft refused the table");
    }

    pub(super) fn live(&self) -> Option<LiveTable> {
        parse_live(self.run("nft -j list ruleset inet").as_bytes()).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[test]
fn kernel_reads_back_what_was_sent() {
    let host = Namespace::new();
    assert_eq!(host.live(), None);
    for wall in [Wall::default(), sample::wall()] {
        host.nft(&batch(&wall));
        host.nft(&batch(&wall));
        assert_eq!(host.live(), Some(LiveTable::wanted(&wall)));
    }
    host.nft(&removal());
    host.nft(&removal());
    assert_eq!(host.live(), None);
}

/// People keep their rules with `nft list ruleset > file`: ours must survive that.
#[test]
fn kernel_takes_its_own_listing_again() {
    let host = Namespace::new();
    host.nft(&batch(&sample::wall()));
    let listing = host.run("nft list ruleset");
    let mut child = host.command("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("flush ruleset\n{listing}").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "nft refused its own listing:\n{listing}");
    assert_eq!(host.live(), Some(LiveTable::wanted(&sample::wall())));
}
