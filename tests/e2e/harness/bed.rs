//! A bed to try anklume in: a real Incus of its own (`tests/sandbox`), with things beside it that are not anklume's
//! and that no test may change.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use super::output::Output;
use super::plan::Plan;
use super::running::Running;
use super::wait_for;

const ANKLUME: &str = env!("CARGO_BIN_EXE_anklume");
const SANDBOX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sandbox");
/// The scripts that beds are made of.
const BED_PARTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed");

/// Beds are hungry: there are never more than two at once, however many threads the tests have.
struct Places {
    free: Mutex<usize>,
    left: Condvar,
}

static PLACES: Places = Places { free: Mutex::new(2), left: Condvar::new() };

struct Place;

impl Place {
    fn take() -> Self {
        let free = PLACES.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut free =
            PLACES.left.wait_while(free, |free| *free == 0).unwrap_or_else(std::sync::PoisonError::into_inner);
        *free -= 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *PLACES.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
        PLACES.left.notify_one();
    }
}

/// A bed of one's own; gone when it is dropped, or when the tests end in whatever way.
pub(crate) struct Bed {
    name: String,
    dir: TempDir,
    /// What there is beside anklume, as it was at the beginning.
    beside: Option<String>,
    _place: Place,
}

impl Bed {
    /// A bed with Incus, a pool, and things beside that are not anklume's.
    pub(crate) fn up() -> Self {
        let mut bed = Self::bare(&[]).unwrap_or_else(|why| panic!("{why}"));
        bed.sh(BESIDE).ok();
        bed.beside = Some(bed.beside());
        bed
    }

    /// A bed with these options of `tests/sandbox up`, and nothing beside; the reason why there can be none.
    pub(crate) fn bare(options: &[&str]) -> Result<Self, String> {
        static COUNT: Mutex<u32> = Mutex::new(0);
        let place = Place::take();
        let number = {
            let mut count = COUNT.lock().unwrap();
            *count += 1;
            *count
        };
        let (me, dir) = (std::process::id(), tempfile::tempdir().unwrap());
        let name = format!("e2e-{me}-{number}");
        let mut up = Command::new(SANDBOX);
        up.args(["up", &name, "--owner", &me.to_string()]).args(options).stdin(Stdio::null());
        let up = Output::of(&mut up, format!("tests/sandbox up {name} {}", options.join(" ")));
        if up.code == 77 {
            return Err(up.stderr.trim().to_owned());
        }
        let _ = up.ok();
        Ok(Self { name, dir, beside: None, _place: place })
    }

    /// The directory in which everything runs.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file there.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.dir().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Writes `infra.yml`.
    pub(crate) fn infra(&self, text: &str) {
        self.write("infra.yml", text);
    }

    pub(super) fn command(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = Command::new(SANDBOX);
        command.args([verb, &self.name, "--"]).args(args).current_dir(self.dir()).stdin(Stdio::null());
        command.env("NO_COLOR", "1").env_remove("ANKLUME_LOG");
        command
    }

    fn run(&self, verb: &str, args: &[&str]) -> Output {
        Output::of(&mut self.command(verb, args), format!("{verb} {}", args.join(" ")))
    }

    /// Runs anklume, whatever comes of it.
    pub(crate) fn try_anklume(&self, args: &[&str]) -> Output {
        let mut output = self.run("exec", &[&[ANKLUME], args].concat());
        output.command = format!("anklume {}", args.join(" "));
        output
    }

    /// Runs anklume; it ends well.
    #[track_caller]
    pub(crate) fn anklume(&self, args: &[&str]) -> Output {
        self.try_anklume(args).ok()
    }

    /// `anklume apply --yes`, with more words; it ends well. No virtual machine here has an agent to wait for.
    #[track_caller]
    pub(crate) fn apply(&self, more: &[&str]) -> Output {
        self.anklume(&[&["apply", "--yes", "--agent-wait", "1"], more].concat())
    }

    /// There is nothing left to do, but perhaps something that is not in the file.
    #[track_caller]
    pub(crate) fn plan_is_empty(&self) {
        let plan = self.anklume(&["plan", "--detailed-exitcode"]);
        let nothing = ["Nothing to do", "Plan: 0 to create, 0 to change, 0 to delete; "];
        assert!(nothing.iter().any(|text| plan.stdout.contains(text)), "something is left to do\n{plan}");
    }

    /// The plan as JSON.
    #[track_caller]
    pub(crate) fn plan(&self, more: &[&str]) -> Plan {
        Plan(self.anklume(&[&["plan", "--format", "json"], more].concat()).json())
    }

    /// The file becomes this one: the plan is exactly these actions (sorted), is made, and nothing is left to do.
    #[track_caller]
    pub(crate) fn turns(&self, infra: &str, more: &[&str], actions: &[&str]) -> Plan {
        self.infra(infra);
        let plan = self.plan(more);
        assert_eq!(plan.sorted(), actions, "{:#}", plan.0);
        self.apply(more);
        self.plan_is_empty();
        plan
    }

    /// Starts anklume and comes back at once.
    pub(crate) fn start_anklume(&self, args: &[&str]) -> Running<'_> {
        self.start(&format!("exec {ANKLUME} {}", args.join(" ")))
    }

    /// Starts a shell script and comes back at once.
    pub(crate) fn start(&self, script: &str) -> Running<'_> {
        static COUNT: Mutex<u32> = Mutex::new(0);
        let pid_file = {
            let mut count = COUNT.lock().unwrap();
            *count += 1;
            format!(".pid-{count}")
        };
        let script = format!("echo $$ > {pid_file}; {script}");
        let mut command = self.command("exec", &["sh", "-c", &script]);
        let command = command.env("ANKLUME", ANKLUME);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running::new(self, child, script, pid_file)
    }

    /// Runs a shell script in the bed; `$ANKLUME` is the program.
    pub(crate) fn sh(&self, script: &str) -> Output {
        let mut command = self.command("exec", &["sh", "-ec", script]);
        Output::of(command.env("ANKLUME", ANKLUME).env("ANKLUME_BED", BED_PARTS), script.to_owned())
    }

    /// Runs a shell script in the bed's "internet".
    pub(crate) fn inet(&self, script: &str) -> Output {
        self.run("inet", &["sh", "-ec", script])
    }

    /// Runs a shell script in a machine.
    pub(crate) fn guest(&self, project: &str, machine: &str, script: &str) -> Output {
        self.run("exec", &["incus", "exec", machine, "--project", project, "--", "sh", "-c", script])
    }

    /// Restarts Incus: `TERM`, machines go on; `KILL`, like a crash.
    pub(crate) fn restart_incus(&self, signal: &str) {
        let mut command = Command::new(SANDBOX);
        command.args(["restart", &self.name, signal]).stdin(Stdio::null());
        Output::of(&mut command, format!("tests/sandbox restart {} {signal}", self.name)).ok();
    }

    /// What the API says of a path.
    #[track_caller]
    pub(crate) fn incus(&self, path: &str) -> Value {
        self.run("exec", &["incus", "query", path]).ok().json()
    }

    /// Is there such a thing?
    pub(crate) fn has(&self, path: &str) -> bool {
        self.run("exec", &["incus", "query", path]).code == 0
    }

    /// A machine.
    #[track_caller]
    pub(crate) fn machine(&self, project: &str, name: &str) -> Value {
        self.incus(&format!("/1.0/instances/{name}?project={project}"))
    }

    /// Waits until a machine answers on the address that it is to have, and on its web page.
    pub(crate) fn wait_for_guest(&self, project: &str, machine: &str, address: &str) {
        let has_it = format!("ip -4 addr show | grep -q 'inet {address}/' && wget -qO- http://127.0.0.1/ >&2");
        wait_for(&format!("{machine} to have {address}"), || self.guest(project, machine, &has_it).code == 0);
    }

    /// The addresses of all machines of an applied infrastructure are really there.
    pub(crate) fn wait_for_guests(&self, machines: &[(&str, &str, &str)]) {
        for (project, machine, address) in machines {
            self.wait_for_guest(project, machine, address);
        }
    }

    /// The first process of a machine: the same as before where it was not restarted.
    #[track_caller]
    pub(crate) fn pid(&self, project: &str, name: &str) -> u64 {
        self.incus(&format!("/1.0/instances/{name}/state?project={project}"))["pid"].as_u64().unwrap()
    }

    /// Sends packets, all at once: each from a machine (`project/name`), `host` or `inet` to `ping ADDRESS` or
    /// `tcp ADDRESS:PORT`, and all of them pass, or none.
    #[track_caller]
    pub(crate) fn packets(&self, pass: bool, probes: &[(&str, &str)]) {
        let wrong = std::thread::scope(|scope| {
            let sent: Vec<_> = probes.iter().map(|probe| (probe, scope.spawn(|| self.packet(*probe, pass)))).collect();
            let outputs = sent.into_iter().map(|(probe, sent)| (probe, sent.join().unwrap()));
            let wrong = outputs.filter(|(_, output)| (output.code == 0) != pass);
            wrong.map(|((from, to), output)| format!("{from} -> {to}\n{output}")).collect::<Vec<_>>()
        });
        assert!(wrong.is_empty(), "expected to {}:\n{}", if pass { "pass" } else { "be dropped" }, wrong.join("\n"));
    }

    fn packet(&self, (from, to): (&str, &str), patient: bool) -> Output {
        let seconds = if patient { 5 } else { 1 };
        let script = match to.split_once(' ') {
            Some(("ping", address)) => format!("busybox ping -c 1 -W {seconds} {address}"),
            Some(("tcp", end)) => format!("busybox timeout {seconds} busybox wget -qO- http://{end}/"),
            _ => panic!("neither ping nor tcp: {to}"),
        };
        match from.split_once('/') {
            Some((project, machine)) => self.guest(project, machine, &script),
            None if from == "inet" => self.inet(&script),
            None => self.sh(&script),
        }
    }

    /// Everything that Incus and the kernel hold, as text.
    pub(crate) fn everything(&self) -> String {
        let kinds = ["projects", "networks", "profiles?all-projects=true", "instances?all-projects=true"]
            .into_iter()
            .chain(["images?project=default", "storage-pools", "network-acls", "network-zones"]);
        let mut text = String::new();
        for kind in kinds {
            let recursion = if kind.contains('?') { "&recursion=1" } else { "?recursion=1" };
            // Of nothing at all it prints nothing.
            let said = self.sh(&format!("incus query '/1.0/{kind}{recursion}'")).ok();
            let mut listed = if said.stdout.trim().is_empty() { Value::Null } else { said.json() };
            // Who uses a thing follows from the users, and comes in any order.
            for one in listed.as_array_mut().into_iter().flatten() {
                one["used_by"].take();
            }
            text.push_str(&format!("{kind}: {listed:#}\n"));
        }
        let rest = "nft list ruleset; find /run/anklume /var/lib/anklume /etc/anklume /srv ! -type d ! -name lock 2>/dev/null || true";
        text + &self.sh(rest).ok().stdout
    }

    /// Nothing was written since then.
    #[track_caller]
    pub(crate) fn is_unchanged(&self, before: &str) {
        let after = self.everything();
        let new: Vec<&str> = after.lines().filter(|line| !before.lines().any(|old| old == *line)).collect();
        let gone: Vec<&str> = before.lines().filter(|line| !after.lines().any(|new| new == *line)).collect();
        assert!(after == before, "something was written: new {new:#?}, gone {gone:#?}");
    }

    fn beside(&self) -> String {
        self.sh(
            "incus query /1.0/projects/mine; incus query /1.0/networks/mybr0; incus query '/1.0/profiles/own?project=mine'
             incus query '/1.0/instances/pet?project=mine'; incus query '/1.0/instances/pet/state?project=mine' | grep -w pid
             incus query '/1.0/instances/loner'; nft list table inet mine",
        )
        .ok()
        .stdout
    }
}

/// A project with a profile and a running machine, a bridge, a machine and an nftables table that are not anklume's.
const BESIDE: &str = "
    incus project create mine -c user.note=by-hand </dev/null
    incus network create mybr0 ipv4.address=10.99.0.1/24 ipv4.nat=false ipv6.address=none </dev/null
    incus profile create own --project mine </dev/null
    incus profile device add default root disk path=/ pool=default --project mine
    incus launch images:alpine/3.20 pet --project mine -p default -p own -c user.note=by-hand </dev/null
    incus create --empty loner -n mybr0 </dev/null
    nft 'add table inet mine; add chain inet mine keep'";

impl Drop for Bed {
    fn drop(&mut self) {
        let changed = (!std::thread::panicking())
            .then(|| self.beside.take().map(|before| (before, self.beside())))
            .flatten()
            .filter(|(before, after)| before != after);
        let _ = Command::new(SANDBOX).args(["down", &self.name]).status();
        if let Some((before, after)) = changed {
            panic!("what is not anklume's was changed, from\n{before}\nto\n{after}");
        }
    }
}
