//! The made-up Incus says what the real one was seen to say.

use serde_json::{Value, json};

use super::{Fake, Trouble};
use crate::incus::call::Call;
use crate::incus::door::{CallError, Host};

/// Words in a line, and what is on standard input.
async fn said(fake: &Fake, line: &str, body: Option<Value>) -> Result<String, String> {
    let call = Call::incus(line.split(' '));
    let call = body.map_or(call.clone(), |body| call.body(body));
    match fake.call(&call).await {
        Ok(bytes) => Ok(String::from_utf8(bytes).unwrap()),
        Err(CallError::Failed { said, .. }) => Err(said),
        Err(other) => panic!("{other}"),
    }
}

fn network(address: &str) -> Value {
    json!({"config": {"ipv4.address": address, "ipv4.nat": "true", "ipv6.address": "none"}})
}

fn machine(network: &str, address: &str) -> Value {
    json!({"profiles": ["default"], "devices": {
        "root": {"type": "disk", "path": "/", "pool": "default"},
        "eth0": {"type": "nic", "network": network, "ipv4.address": address}}})
}

/// Projects `a` and `b` with a bridge each, and an image.
async fn two_domains() -> Fake {
    let fake = Fake::new();
    for (name, address) in [("a", "10.0.1.254/24"), ("b", "10.0.2.254/24")] {
        let features = json!({"config": {"features.profiles": "true", "features.images": "false"}});
        said(&fake, &format!("project create {name}"), Some(features)).await.unwrap();
        let line = format!("network create net-{name} --type=bridge --project default");
        said(&fake, &line, Some(network(address))).await.unwrap();
    }
    fake.state().put_image("golden", false);
    fake
}

/// A line, what is on standard input, and what is found in the words of the refusal.
async fn refused(fake: &Fake, cases: &[(&str, Option<Value>, &str)]) {
    for (line, body, words) in cases {
        let answer = said(fake, line, body.clone()).await;
        assert!(answer.as_ref().is_err_and(|said| said.contains(words)), "`{line}`: {answer:?}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_in_use_stays() {
    let fake = two_domains().await;
    said(&fake, "launch golden m --project a", Some(machine("net-a", "10.0.1.1"))).await.unwrap();
    said(&fake, "profile create p --project a", Some(json!({"config": {"limits.cpu": "1"}}))).await.unwrap();
    refused(
        &fake,
        &[
            ("project delete a", None, "Only empty projects can be removed."),
            ("network delete net-a --project default", None, "The network is currently in use"),
            ("profile delete default --project a", None, "cannot be deleted"),
            ("profile create default --project a", Some(json!({})), "The profile already exists"),
            ("delete m --project a", None, "currently running"),
            ("project edit a", Some(json!({})), "cannot be disabled on non-empty projects"),
        ],
    )
    .await;
    for line in ["delete m --force --project a", "profile delete p --project a", "project delete a"] {
        said(&fake, line, None).await.unwrap();
    }
    said(&fake, "network delete net-a --project default", None).await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn an_address_is_one_of_the_bridge_and_nobody_elses() {
    let fake = two_domains().await;
    said(&fake, "launch golden m --project a", Some(machine("net-a", "10.0.1.1"))).await.unwrap();
    refused(
        &fake,
        &[
            ("create golden n --project a", Some(machine("net-a", "10.0.9.1")), "not within network \"net-a\" subnet"),
            ("create golden n --project a", Some(machine("net-a", "10.0.1.254")), "is assigned to parent"),
            ("launch golden n --project a", Some(machine("net-a", "10.0.1.1")), "already defined on another NIC"),
            ("launch golden m --project b", Some(machine("net-a", "10.0.1.7")), "already used on network"),
            ("network edit net-b --project default", Some(network("10.0.1.254/24")), "Address already in use"),
        ],
    )
    .await;
    assert_eq!(fake.state().instance("a", "n").unwrap().status, "Stopped", "it was made, and did not start");
    said(&fake, "delete m --project b", None).await.unwrap();
    said(&fake, "network edit net-a --project default", Some(network("10.0.3.254/24"))).await.unwrap();
    let mut elsewhere = machine("net-a", "10.0.3.1");
    elsewhere["config"] = json!({"volatile.idmap.base": "0"});
    refused(&fake, &[("config edit m --project a", Some(elsewhere), "Failed to update device \"eth0\"")]).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_machine_starts_stops_and_pauses_only_from_where_it_is() {
    let fake = two_domains().await;
    said(&fake, "launch golden m --project a", Some(machine("net-a", "10.0.1.1"))).await.unwrap();
    refused(&fake, &[("start m --project a", None, "already running"), ("resume m --project a", None, "already")])
        .await;
    said(&fake, "pause m --project a", None).await.unwrap();
    refused(
        &fake,
        &[("pause m --project a", None, "already frozen"), ("stop m --timeout 60 --project a", None, "deadline")],
    )
    .await;
    said(&fake, "stop m --force --project a", None).await.unwrap();
    refused(&fake, &[("stop m --force --project a", None, "already stopped")]).await;
    said(&fake, "launch golden e --ephemeral --project a", Some(machine("net-a", "10.0.1.2"))).await.unwrap();
    said(&fake, "stop e --timeout 60 --project a", None).await.unwrap();
    assert_eq!(fake.state().instance("a", "e"), None);
}

#[tokio::test(flavor = "current_thread")]
async fn a_start_without_the_table_is_noticed() {
    let fake = two_domains().await;
    said(&fake, "launch golden m --project a", Some(machine("net-a", "10.0.1.1"))).await.unwrap();
    assert!(fake.state().unfenced.is_empty(), "not a bridge of anklume's");
    let mark = ("user.anklume.infra".to_owned(), "lab".to_owned());
    fake.state().networks.get_mut("net-b").unwrap().config.extend([mark]);
    said(&fake, "launch golden n --project b", Some(machine("net-b", "10.0.2.1"))).await.unwrap();
    assert_eq!(fake.state().unfenced, ["b/n on net-b"]);
}

#[tokio::test(flavor = "current_thread")]
async fn trouble_comes_when_it_was_asked_for() {
    let fake = two_domains().await;
    fake.expect(Trouble::Amid(1));
    said(&fake, "profile create p --project a", Some(json!({}))).await.unwrap();
    let launch = said(&fake, "launch golden m --project a", Some(machine("net-a", "10.0.1.1"))).await;
    assert!(launch.unwrap_err().contains("doesn't appear to be started"));
    assert!(said(&fake, "query /1.0", None).await.is_err());
    assert_eq!(fake.state().instance("a", "m").unwrap().status, "Stopped");
    fake.expect(Trouble::Once(0));
    assert!(said(&fake, "start m --project a", None).await.is_err());
    said(&fake, "start m --project a", None).await.unwrap();
    fake.expect(Trouble::From(0));
    assert!(said(&fake, "stop m --force --project a", None).await.is_err());
    assert_eq!(fake.state().instance("a", "m").unwrap().status, "Running");
}

#[tokio::test(flavor = "current_thread")]
async fn a_volume_is_whole_or_not_taken_and_keeps_its_project() {
    let fake = two_domains().await;
    let sized = |size: &str| Some(json!({"config": {"size": size}}));
    let disk = |keys: Value| {
        let mut body = machine("net-a", "10.0.1.1");
        body["devices"]["data"] = keys;
        Some(body)
    };
    for line in [
        "storage volume create default files --project a",
        "storage volume create default raw --type=block --project a",
    ] {
        said(&fake, line, sized("2GiB")).await.unwrap();
    }
    let odd = Some(json!({"config": {}, "devices": {}}));
    let of = |source: &str| json!({"type": "disk", "pool": "default", "source": source, "path": "/d"});
    let pathless = json!({"type": "disk", "pool": "default", "source": "files"});
    let missing = json!({"type": "disk", "source": "/srv/d", "path": "/d"});
    refused(
        &fake,
        &[
            ("storage volume create default files --project a", sized("1GiB"), "already exists"),
            ("storage volume create nope x --project a", sized("1GiB"), "Storage pool not found"),
            ("storage volume create default x --project a", odd, "field devices not found"),
            ("storage volume edit default raw --project a", sized("1GiB"), "cannot be shrunk"),
            ("create golden m --project a", disk(of("nope")), "Storage volume not found"),
            ("create golden m --project a", disk(of("raw")), "cannot be used on containers"),
            ("create golden m --project a", disk(pathless), "require a path"),
            ("create golden m --project a", disk(missing), "Missing source path \"/srv/d\""),
            ("project delete a", None, "Only empty projects can be removed."),
        ],
    )
    .await;
    said(&fake, "launch golden m --project a", disk(of("files"))).await.unwrap();
    said(&fake, "storage volume edit default files --project a", sized("1GiB")).await.unwrap();
    let users = said(&fake, "query /1.0/projects?recursion=1", None).await.unwrap();
    assert!(users.contains("/1.0/storage-pools/default/volumes/custom/raw?project=a"), "{users}");
}
