//! Reads what the doctor looks at: files below `/`, Incus and nft through the door.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::{Answers, Clock, Nft, Pool, Reach, Readings};
use crate::host::boot::Init;
use crate::host::facts::has_iommu;
use crate::host::gather::is_elsewhere;
use crate::host::os::Os;
use crate::incus::call::Call;
use crate::incus::door::{CallError, Host, all, json};
use crate::incus::live::Live;
use crate::incus::server::Server;
use crate::plan::Kind;

/// Everything. `root` is `/`, but in tests.
pub(crate) async fn read(host: &impl Host, root: &Path) -> Readings {
    let text = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let (incus, nft, synchronised) = tokio::join!(Box::pin(reach(host)), tables(host), synchronised(host, root));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default();
    let variable = |name: &str| std::env::var(name).ok();
    Readings {
        os: Os::parse(&text("etc/os-release").unwrap_or_default()),
        init: Init::of(root),
        root: is_root(&text("proc/self/status").unwrap_or_default()),
        user: variable("USER").or_else(|| variable("LOGNAME")).unwrap_or_else(|| "USER".into()),
        ports: ports(root, &incus),
        incus,
        subids: ["etc/subuid", "etc/subgid"].map(text),
        kvm: root.join("dev/kvm").exists(),
        iommu: has_iommu(root),
        nvidia: is_in_path("nvidia-container-cli"),
        nft,
        bridged: text("proc/sys/net/bridge/bridge-nf-call-iptables").is_some_and(|text| text.trim() == "1"),
        clock: Clock { now, synchronised },
    }
}

/// Is there a program of this name?
pub(crate) fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Those of root are not in everybody's path.
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    places.map(|dir| dir.join(program)).any(|file| file.is_file())
}

/// `Uid:` and four numbers: the second is who it acts as.
fn is_root(status: &str) -> bool {
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.and_then(|uids| uids.split_whitespace().nth(1)) == Some("0")
}

/// Why Incus does not answer.
pub(crate) fn refusal(error: CallError) -> Reach {
    match error {
        CallError::Missing(_) => Reach::Missing,
        CallError::Failed { said, .. }
            if ["appear to be started", "http://unix.socket", "connection refused"]
                .iter()
                .any(|words| said.contains(words)) =>
        {
            Reach::Down
        }
        CallError::Failed { said, .. } if said.contains("needed permissions") => Reach::Denied,
        other => Reach::Broken(other.to_string()),
    }
}

async fn reach(host: &impl Host) -> Reach {
    match answers(host).await {
        Ok(answers) => Reach::Answers(Box::new(answers)),
        Err(error) => refusal(error),
    }
}

async fn answers(host: &impl Host) -> Result<Answers, CallError> {
    let root = json(host, &Call::query("/1.0")).await?;
    let (pools, instances) =
        (Call::query("/1.0/storage-pools?recursion=1"), Call::query("/1.0/instances?recursion=1&all-projects=true"));
    let (server, live, pools, instances, elsewhere) = tokio::join!(
        Server::read(host),
        Live::read(host),
        json(host, &pools),
        json(host, &instances),
        is_elsewhere(host)
    );
    Ok(Answers {
        server: server?,
        extensions: texts(&root["api_extensions"]),
        pools: with_space(host, &pools?).await,
        live: live?,
        host_names: host_names(&instances?),
        // Without `ip` nothing is known of it; that is told elsewhere.
        elsewhere: elsewhere.unwrap_or_default(),
    })
}

async fn with_space(host: &impl Host, listed: &Value) -> Vec<Pool> {
    let mut pools: Vec<Pool> = listed.as_array().into_iter().flatten().map(pool).collect();
    let calls: Vec<Call> =
        pools.iter().map(|pool| Call::query(format!("/1.0/storage-pools/{}/resources", pool.name))).collect();
    let answers = all(calls.iter().map(|call| json(host, call))).await;
    for (pool, answer) in pools.iter_mut().zip(answers) {
        pool.space = answer.ok().and_then(|answer| space(&answer));
    }
    pools
}

fn pool(listed: &Value) -> Pool {
    let text = |key: &str| listed[key].as_str().unwrap_or_default().to_owned();
    Pool { name: text("name"), driver: text("driver"), status: text("status"), space: None }
}

fn space(resources: &Value) -> Option<(u64, u64)> {
    let space = &resources["space"];
    Some((space["used"].as_u64()?, space["total"].as_u64().filter(|total| *total > 0)?))
}

/// `volatile.eth0.host_name` of every machine.
fn host_names(instances: &Value) -> Vec<String> {
    let instances = instances.as_array().into_iter().flatten();
    let keys = instances.flat_map(|listed| listed["config"].as_object().into_iter().flatten());
    let names = keys.filter(|(key, _)| key.starts_with("volatile.") && key.ends_with(".host_name"));
    names.filter_map(|(_, value)| value.as_str().map(str::to_owned)).collect()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The ports of the bridges that Incus manages, of those that it names itself.
fn ports(root: &Path, incus: &Reach) -> Vec<(String, String)> {
    let Reach::Answers(answers) = incus else { return Vec::new() };
    let bridges = answers.live.found.keys().filter(|id| id.kind == Kind::Network).map(|id| &id.name);
    let ports = bridges.flat_map(|bridge| {
        let listed = std::fs::read_dir(root.join("sys/class/net").join(bridge).join("brif"));
        let names = listed.into_iter().flatten().flatten().map(|port| port.file_name().to_string_lossy().into_owned());
        names.map(|port| (bridge.clone(), port)).collect::<Vec<_>>()
    });
    let mut ports: Vec<(String, String)> = ports.filter(|(_, port)| is_named_by_incus(port)).collect();
    ports.sort();
    ports
}

/// `veth` and eight hexadecimal digits.
fn is_named_by_incus(port: &str) -> bool {
    port.strip_prefix("veth").is_some_and(|rest| rest.len() == 8 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

async fn tables(host: &impl Host) -> Nft {
    match json(host, &Call::nft(["-j", "list", "tables"])).await {
        Ok(listed) => {
            let objects = listed["nftables"].as_array().into_iter().flatten().filter_map(|object| object.get("table"));
            let text = |table: &Value, key: &str| table[key].as_str().unwrap_or_default().to_owned();
            Nft::Tables(objects.map(|table| format!("{} {}", text(table, "family"), text(table, "name"))).collect())
        }
        Err(CallError::Missing(_)) => Nft::Missing,
        Err(error) => Nft::Unreadable(error.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

/// Asked of systemd, where it boots this host.
async fn synchronised(host: &impl Host, root: &Path) -> Option<bool> {
    if Init::of(root) != Some(Init::Systemd) {
        return None;
    }
    let call = Call::read("timedatectl", ["show", "--property", "NTPSynchronized", "--value"]);
    match host.call(&call).await.ok()?.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_this_is_and_what_incus_names_is_read_off_words() {
        assert!(is_root("Name:\tx\nUid:\t1000\t0\t0\t0\n"));
        assert!(!is_root("Name:\tx\nUid:\t0\t1000\t0\t0\n") && !is_root(""));
        assert!(is_named_by_incus("veth0a1b2c3d"));
        assert!(!is_named_by_incus("vethernet") && !is_named_by_incus("stowaway-host"));
        let instances = json!([{"config": {"volatile.eth0.host_name": "veth1", "volatile.eth0.hwaddr": "x"}}]);
        assert_eq!(host_names(&instances), ["veth1"]);
        assert_eq!(space(&json!({"space": {"used": 1, "total": 2}})), Some((1, 2)));
        assert_eq!(space(&json!({"space": {"used": 1, "total": 0}})), None);
    }

    #[test]
    fn why_incus_does_not_answer_is_told_apart() {
        let of = |said: &str| refusal(CallError::Failed { program: "incus", said: said.into() });
        assert!(matches!(refusal(CallError::Missing("incus")), Reach::Missing));
        assert!(matches!(of("The incus daemon doesn't appear to be started (socket path: /x)"), Reach::Down));
        assert!(matches!(of("You don't have the needed permissions to talk to the incus daemon"), Reach::Denied));
        assert!(matches!(of("something new"), Reach::Broken(said) if said == "something new"));
    }
}
