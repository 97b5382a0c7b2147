//! `anklume import`: what stands on a host as a file; applied, it changes nothing but anklume's own marks.

use serde_json::{Value, json};

use crate::harness::{Bed, Output, Plan, skip};

/// Takes every mark of anklume away, as if all of it had been made by hand.
const STRIP: &str = r#"
import json, subprocess
def query(path, *more):
    said = subprocess.run(["incus", "query", path, *more], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return json.loads(said.stdout or "[]")
def every(path, kind, more=""):
    for one in query(path):
        name, project = one["name"], one.get("project", "")
        yield one, f"/1.0/{kind}/{name}" + (f"?project={project}" if project and kind in ("profiles", "instances") else more)
def all():
    yield from every("/1.0/projects?recursion=1", "projects")
    yield from every("/1.0/networks?recursion=1", "networks")
    yield from every("/1.0/network-acls?recursion=1", "network-acls")
    yield from every("/1.0/network-zones?recursion=1", "network-zones")
    for zone in query("/1.0/network-zones?recursion=1"):
        at = f"network-zones/{zone['name']}/records"
        yield from every(f"/1.0/{at}?recursion=1", at)
    yield from every("/1.0/profiles?recursion=1&all-projects=true", "profiles")
    yield from every("/1.0/instances?recursion=1&all-projects=true", "instances")
    for pool in query("/1.0/storage-pools?recursion=1"):
        at = f"storage-pools/{pool['name']}/volumes/custom"
        for one in query(f"/1.0/{at}?recursion=1&all-projects=true"):
            yield one, f"/1.0/{at}/{one['name']}?project={one['project']}"
KEPT = ["architecture", "config", "description", "devices", "egress", "entries", "ephemeral", "ingress", "profiles", "stateful"]
for one, path in list(all()):
    config = one.get("config") or {}
    kept = {key: value for key, value in config.items() if not key.startswith("user.anklume.")}
    if kept != config:
        body = {key: one[key] for key in KEPT if key in one} | {"config": kept}
        query(path, "--wait", "-X", "PUT", "-d", json.dumps(body))
"#;

/// Takes every mark of anklume away.
pub(crate) fn strip(bed: &Bed) {
    bed.write("strip.py", STRIP);
    bed.sh("python3 -B strip.py").ok();
    assert!(!bed.everything().contains("user.anklume."), "marks are left");
}

/// Writes a file of what stands, and plans it.
#[track_caller]
pub(crate) fn imported(bed: &Bed, words: &[&str]) -> (Output, Plan) {
    let said = bed.anklume(&[&["import", "-o", "imported.yml", "--force"], words].concat());
    let plan = bed.try_anklume(&["-f", "imported.yml", "plan", "--format", "json"]);
    assert!(plan.code == 0, "{}\n{plan}", file(bed));
    (said, Plan(plan.json()))
}

pub(crate) fn file(bed: &Bed) -> String {
    std::fs::read_to_string(bed.dir().join("imported.yml")).unwrap()
}

/// What the plan would do beside setting marks and loading the table.
pub(crate) fn changes(plan: &Plan) -> Vec<String> {
    let is_mark = |field: &Value| field["key"].as_str().unwrap().starts_with("user.anklume.");
    let of_isolation = |action: &Value| {
        let kind = action["id"]["kind"].as_str().unwrap();
        ["firewall", "file", "service"].contains(&kind)
    };
    let adopts = |action: &Value| {
        let all = action["fields"].as_array().unwrap().iter().all(is_mark);
        (action["verb"] == "adopt" || action["verb"] == "update") && all
    };
    let actions = plan.0["actions"].as_array().unwrap().iter();
    let wrong = actions.filter(|action| !of_isolation(action) && !adopts(action)).map(ToString::to_string);
    let left = |held: &&Value| ["orphan", "protected", "kept"].contains(&held["why"].as_str().unwrap());
    let held = plan.0["held"].as_array().unwrap().iter().filter(|held| !left(held)).map(ToString::to_string);
    wrong.chain(held).collect()
}

/// Everything that Incus has, without marks and without what follows from the rest.
fn standing(bed: &Bed) -> Value {
    let paths = [
        "/1.0/projects?recursion=1",
        "/1.0/networks?recursion=1",
        "/1.0/network-acls?recursion=1",
        "/1.0/profiles?recursion=1&all-projects=true",
        "/1.0/instances?recursion=1&all-projects=true",
        "/1.0/storage-pools/default/volumes/custom?recursion=1&all-projects=true",
    ];
    let mut all: Vec<Value> = paths
        .iter()
        .map(|path| bed.sh(&format!("incus query '{path}'")).ok().stdout)
        .map(|text| serde_json::from_str(&text).unwrap_or_default())
        .collect();
    for one in all.iter_mut().flat_map(|list| list.as_array_mut().into_iter().flatten()) {
        one["used_by"].take();
        for key in ["config", "expanded_config"] {
            if let Some(config) = one[key].as_object_mut() {
                config.retain(|key, _| !key.starts_with("user.anklume."));
            }
        }
    }
    Value::from(all)
}

#[test]
fn what_an_example_makes_is_imported_and_its_plan_is_empty() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let bed = Bed::up();
    for example in [
        "../infra.example.yml",
        "print-service/infra.yml",
        "teacher-lab/infra.yml",
        "tor-gateway/infra.yml",
        "ai-tools/infra.yml",
    ] {
        let path = format!("{examples}/{example}");
        // A machine whose GPU is not here is left out of it.
        let applied = bed.try_anklume(&["-f", &path, "apply", "--yes", "--agent-wait", "1"]);
        assert!(applied.code == 0 || applied.stdout.contains("this host has no GPU"), "{applied}");
        let status = bed.anklume(&["-f", &path, "status", "--format", "json"]).json();
        let names = status["domains"].as_array().unwrap().iter().map(|domain| domain["name"].as_str().unwrap());
        let names: Vec<String> = names.map(str::to_owned).collect();
        let words: Vec<&str> = names.iter().flat_map(|name| ["--project", name]).collect();
        let (said, plan) = imported(&bed, &words);
        said.says_not(&["left out"]);
        assert_eq!(plan.actions(), Vec::<String>::new(), "{example}\n{}", file(&bed));
        let mut away = vec!["-f", path.as_str(), "destroy", "--force", "--yes"];
        away.extend(names.iter().map(String::as_str));
        bed.anklume(&away);
    }
}

#[test]
fn what_an_example_with_virtual_machines_makes_is_imported_and_its_plan_is_empty() {
    let bed = match Bed::bare(&["--vm"]) {
        Ok(bed) => bed,
        Err(why) => return skip("what_an_example_with_virtual_machines_makes_is_imported", &why),
    };
    for example in ["vm-sandbox", "workstation"] {
        bed.sh(&format!("rm -rf ex && cp -r {}/examples/{example} ex", env!("CARGO_MANIFEST_DIR"))).ok();
        // Emulated machines have to do with less.
        bed.sh("grep -rl limits.memory ex | xargs sed -i 's/limits.memory: *[0-9]*GiB/limits.memory: 512MiB/'").ok();
        let path = if example == "vm-sandbox" { "ex/infra.yml" } else { "ex/infra" };
        let applied = bed.try_anklume(&["-f", path, "apply", "--yes", "--agent-wait", "0"]);
        assert!(applied.code == 0 || applied.stdout.contains("this host has no GPU"), "{applied}");
        let (_, plan) = imported(&bed, &[]);
        assert_eq!(plan.actions(), Vec::<String>::new(), "{example}\n{}", file(&bed));
        bed.anklume(&["-f", path, "flush", "--force", "--volumes", "--yes"]);
    }
}

/// Projects as people make them: with a bridge that is called as anklume calls one, with one of their own, on one that is
/// shared, and without any.
const BY_HAND: &str = r#"
launch() { incus launch images:alpine/3.20 "$@" </dev/null; }
incus network create net-shop ipv4.address=10.120.7.254/24 ipv4.nat=true ipv6.address=none \
    ipv4.dhcp.ranges=10.120.7.100-10.120.7.199 </dev/null
incus project create shop -c features.images=false -c limits.instances=9 </dev/null
incus profile device add default root disk path=/ pool=default --project shop
incus profile device add default eth0 nic network=net-shop --project shop
incus profile create small --project shop </dev/null
incus profile set small limits.memory=128MiB --project shop
incus storage volume create default till-data size=20MiB --project shop
incus storage volume create default loose --project shop
launch till --project shop -p default -p small -d eth0,ipv4.address=10.120.7.20 \
    -c user.note="$(printf 'a "quote", a back\\slash\n  and: #more\n\n')" -c environment.TOKEN="it's: {secret}" \
    -c cloud-init.user-data="$(printf '#cloud-config\npackages: [less]\n')" -c snapshots.expiry=2w \
    -c boot.autostart.priority=7 -c security.protection.delete=true
incus config device add till till-data disk pool=default source=till-data path=/srv/data --project shop
incus config device add till data disk pool=default source=till-data path=/srv/again --project shop || true
launch cold --project shop
incus pause cold --project shop
incus create images:debian/13 off --project shop </dev/null
incus create --empty never --project shop -c limits.cpu=1 </dev/null

incus network create gamebr0 ipv4.address=10.77.3.1/24 ipv4.nat=true ipv6.address=fd42:77::1/64 </dev/null
incus project create games </dev/null
launch chess --project games -n gamebr0 -s default
launch go --project games -n gamebr0 -s default -d eth0,ipv4.address=10.77.3.9 -d eth0,security.mac_filtering=true

incus project create shared </dev/null
incus network create lanbr0 ipv4.address=10.78.0.1/24 ipv6.address=none </dev/null
launch guest --project shared -n lanbr0 -s default
incus create --empty other -n lanbr0 </dev/null
incus project create Odd </dev/null
"#;

#[test]
fn coverage_30_what_was_made_by_hand_is_taken_over_and_nothing_else_is_changed() {
    let bed = Bed::up();
    bed.sh(BY_HAND).ok();
    let machines = [("shop", "till"), ("shop", "cold"), ("games", "chess"), ("games", "go")];
    let pids = || machines.map(|(project, name)| bed.pid(project, name));
    let addresses = || {
        [("shop", "till"), ("games", "chess"), ("games", "go")].map(|(project, name)| {
            bed.guest(project, name, "ip -o addr show eth0 scope global | grep -o 'inet6* [^ ]*'").stdout
        })
    };
    bed.wait_for_guest("games", "go", "10.77.3.9");
    let (before, ran, had) = (standing(&bed), pids(), addresses());

    let (said, plan) = imported(&bed, &[]);
    said.says(&["2 domains, 6 machines", "domain shared", "domain mine", "domain Odd", "secrets among them"]);
    let text = file(&bed);
    assert_eq!(changes(&plan), Vec::<String>::new(), "{text}");
    let told = [
        "bridge: {name: gamebr0, address: 10.77.3.1/24}",
        "till: 10.120.7.20",
        "- create network net-shared",
        "- `Odd` is not a domain name",
        "no machine has the volume default/loose: it stays as it is",
        "ip: dhcp",
        "state: frozen",
        "security.mac_filtering: false",
    ];
    let squeezed = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in told {
        let found = text.contains(words) || squeezed.contains(&words.replace(": 10.120.7.20", ": ip: 10.120.7.20"));
        assert!(found, "`{words}` is not in\n{text}");
    }
    assert_eq!(bed.sh("stat -c %a imported.yml").ok().stdout, "600\n");
    // Nothing was written but the file.
    assert_eq!(standing(&bed), before);

    bed.anklume(&["-f", "imported.yml", "apply", "--yes"]);
    bed.anklume(&["-f", "imported.yml", "plan", "--detailed-exitcode"]).says(&["Nothing to do"]);
    assert_eq!(standing(&bed), before);
    assert_eq!((pids(), addresses()), (ran, had));
    assert_eq!(bed.incus("/1.0/networks/gamebr0")["config"]["user.anklume.domain"], "games");
    assert_eq!(bed.machine("shop", "never")["config"]["user.anklume.infra"], "imported");
    assert_eq!(bed.machine("shared", "guest")["config"]["user.anklume.infra"], json!(null));

    // Once more, with marks: the same file, but for its first lines.
    let (_, plan) = imported(&bed, &["--project", "shop", "--project", "games"]);
    assert_eq!(plan.actions(), Vec::<String>::new(), "{}", file(&bed));
    // What is apart is apart now, and the rest goes on.
    bed.packets(false, &[("games/go", "ping 10.120.7.20"), ("shop/till", "ping 10.77.3.1")]);
    bed.packets(
        true,
        &[("games/go", "ping 10.77.3.1"), ("games/chess", "ping 10.77.3.9"), ("host", "ping 10.120.7.20")],
    );
}

#[test]
fn an_instance_of_the_project_default_comes_into_a_domain_by_the_steps_that_the_file_says() {
    let bed = Bed::up();
    bed.sh("incus network create webbr0 ipv4.address=10.79.0.1/24 ipv6.address=none </dev/null
            incus profile create more </dev/null; incus profile set more limits.processes=400
            incus launch images:alpine/3.20 web -p default -p more -n webbr0 -s default -c user.note=x </dev/null
            incus exec web -- sh -c 'echo kept > /root/it'")
        .ok();
    bed.try_anklume(&["import", "--project", "default"]).code(1).says(&["never anklume's", "`--project default:NAME`"]);
    bed.try_anklume(&["import", "--project", "default:nobody"]).code(1).says(&["has no instance `nobody`"]);
    bed.try_anklume(&["import", "--project", "nowhere"]).code(1).says(&["no Incus project `nowhere`"]);
    let before = bed.everything();
    let said = bed.anklume(&["import", "--project", "default:web", "-o", "infra.yml"]);
    said.says(&["left out, as comments with the reason: instance web of default"]);
    bed.is_unchanged(&before);
    bed.try_anklume(&["import", "--project", "default:web", "-o", "infra.yml"])
        .code(1)
        .says(&["is there already", "`--force`"]);

    let text = std::fs::read_to_string(bed.dir().join("infra.yml")).unwrap();
    // Its steps, one after the other.
    bed.apply(&[]);
    let typed: Vec<&str> = text.split('`').filter(|words| words.starts_with("incus ")).collect();
    assert_eq!(typed.len(), 2, "{text}");
    for words in typed {
        bed.sh(&format!("{words} </dev/null")).ok();
    }
    let entry = text.find("      # web:").unwrap();
    let (start, end) = text.split_at(entry);
    bed.infra(&(start.to_owned() + &end.replace("      # ", "      ")));
    let plan = bed.plan(&[]);
    assert_eq!(plan.sorted(), ["adopt instance web", "start instance web"], "{end}");
    bed.apply(&[]);
    bed.plan_is_empty();
    bed.guest("web", "web", "cat /root/it").says(&["kept"]);
    assert_eq!(bed.machine("web", "web")["profiles"], json!(["default", "more"]));
    assert!(!bed.has("/1.0/instances/web"));
}

#[test]
fn a_file_is_about_one_infrastructure_and_what_was_stripped_of_its_marks_gets_them_again() {
    let file_of = |name: &str, domain: &str, more: &str| {
        format!(
            "project_name: {name}\nglobal: {{default_os_image: images:alpine/3.20}}\ndomains:\n  {domain}:\n    ephemeral: true\n{more}"
        )
    };
    let everything = "    trust_level: untrusted
    internet: false
    description: 'All: of it'
    dns_zone: pro.home.arpa
    limits: {instances: 7}
    acl: [{direction: ingress, action: drop, protocol: tcp, destination_port: 81}]
    profiles: {small: {config: {limits.processes: 300}}}
    machines:
      dev: {profiles: [default, small], storage_volumes: {data: {path: /data, size: 10MiB}}, persistent_data: {d: {path: /d}}}
      web: {ip: 10.140.0.77, ephemeral: false, state: frozen, devices: {eth0: {type: nic, hwaddr: '00:16:3e:00:00:07'}}}
network_policies:
  - {from: dev, to: host, ports: [80, 90-99], protocol: tcp, bidirectional: true, description: 'The \"way\" out'}
shared_volumes: {docs: {path: /docs, consumers: {pro: rw}}}
";
    let bed = Bed::up();
    bed.infra(&file_of("one", "pro", everything));
    bed.write("two.yml", &file_of("two", "home", "    machines: {tv: {}}\n"));
    bed.apply(&[]);
    bed.anklume(&["-f", "two.yml", "apply", "--yes"]);
    bed.try_anklume(&["import"]).code(1).says(&["`one` has pro; `two` has home", "`--project NAME`"]);

    let (_, plan) = imported(&bed, &["--project", "pro"]);
    assert_eq!(plan.actions(), Vec::<String>::new(), "{}", file(&bed));
    assert_eq!(changes(&plan), Vec::<String>::new(), "{}", file(&bed));
    let first = file(&bed);
    let before = standing(&bed);
    strip(&bed);
    let (_, plan) = imported(&bed, &["--project", "pro", "--project", "home"]);
    assert_eq!(changes(&plan), Vec::<String>::new(), "{}", file(&bed));
    // The table is known by its bridges: it says the same, marks or not.
    for words in [
        "dns_zone: pro.home.arpa",
        "{direction: ingress,",
        "The 'way' out",
        "docs: {path: /docs, consumers: {pro: rw}}",
    ] {
        assert!(
            first.contains(words) && file(&bed).contains(words),
            "`{words}` is not in both\n{first}\n{}",
            file(&bed)
        );
    }
    bed.anklume(&["-f", "imported.yml", "apply", "--yes"]);
    bed.anklume(&["-f", "imported.yml", "plan", "--detailed-exitcode"]).says(&["Nothing to do"]);
    assert_eq!(standing(&bed), before);
}
