//! Pages as somebody would have written them, and what they are read as.

use proptest::prelude::*;

use super::*;
use crate::infra::sample::good;

/// Everything that a page can say, as a page says it.
const PAGE: &str = "project_name: home
global:
  addressing: {zone_base: 50}
  default_os_image: images:alpine/3.20
  default_pool: fast
  nesting_prefix: false
  gpu_policy: shared
  shared_volumes_base: /srv/shares
  persistent_data_base: /srv/data

domains:

  pro:
    description: \"Work: all of it\"
    trust_level: trusted
    subnet_id: 3
    ephemeral: true
    internet: false
    limits: {instances: 4, memory: 8GiB}
    dns_zone: pro.home.arpa
    acl:
      - {direction: ingress, action: drop, protocol: tcp, source: 10.0.0.0/8, destination_port: \"80,443\"}
    profiles:
      default:
        devices:
          eth0: {}
      small:
        description: A little
        config: {limits.cpu: 1, limits.memory: 512MiB}
    machines:
      dev:
        description: Where it is done
        type: vm
        os_image: images:debian/13
        ip: 10.60.3.7
        ephemeral: false
        profiles: [default, small]
        boot_autostart: true
        boot_priority: 5
        snapshots_schedule: \"0 12 * * *\"
        snapshots_expiry: 30d
        config:
          environment.A: one
          environment.B: \"\"
          user.note: \"with a \\\"quote\\\", a \\u000d and more\"
          user.text: |
            one
              two

            three
        cloud_init:
          user_data: |
            #cloud-config
            packages: [less]
        devices:
          eth0: {type: nic, limits.egress: 1Mbit}
        storage_volumes:
          files: {path: /srv/files, size: 5GiB, pool: fast, config: {user.note: x}}
          raw: {content_type: block, size: 1GiB}
        persistent_data:
          papers: {path: /srv/papers, readonly: true}
        state: stopped
      web: {}

  home:
    bridge: {name: homebr0, address: 10.7.7.1/24}
    machines:
      tv: {ip: dhcp}

network_policies:
  - {from: home, to: dev, ports: [80, 8000-8010], protocol: tcp, bidirectional: true, description: The way in}
  - {from: web, to: host}

shared_volumes:
  docs: {source: /srv/docs, path: /docs, shift: false, propagate: true, consumers: {dev: ro, home: rw}}
";

#[test]
fn a_page_says_what_was_read_in_the_same_words() {
    let infra = good(PAGE);
    assert_eq!(text(&infra, &Remarks::default()), PAGE);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_as_it_was_written(texts in proptest::collection::vec(a_text(), 1..5), key in a_text()) {
        let mut infra = good(PAGE);
        let dev = &mut infra.domains["pro"].machines["dev"];
        dev.description.clone_from(&texts[0]);
        dev.config = texts.iter().enumerate().map(|(at, text)| (format!("user.{at}{key}"), text.clone())).collect();
        dev.devices.clear();
        let device = texts.iter().enumerate().map(|(at, text)| (format!("key{at}"), text.clone()));
        let device = [("type".to_owned(), "disk".to_owned())].into_iter().chain(device);
        dev.devices.insert("one".into(), device.collect());
        let text = text(&infra, &Remarks::default());
        prop_assert_eq!(good(&text), infra, "{}", text);
    }
}

/// Words, and what means something in YAML.
fn a_text() -> impl Strategy<Value = String> {
    let odd = [
        "#", ": ", " #", "- ", "\n", "\n\n", "  ", "\t", "\"", "'", "{", "]", ",", "&a", "*", "!x", "|", ">", "%", "@",
        "`", "\\", "\u{85}", "\u{2028}", "\u{feff}", "\r", "\u{7}", "é", "true", "null", "~", "<<", "---", "x-",
    ];
    let part = prop_oneof![proptest::sample::select(odd.to_vec()).prop_map(str::to_owned), "[a-z0-9.]{1,5}"];
    proptest::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

#[test]
fn notes_stand_at_their_places_and_what_is_off_does_not_count() {
    let mut infra = good(PAGE);
    infra.domains["pro"].machines["dev"].config.clear();
    let mut remarks = Remarks::default();
    remarks.note(&Path::default(), "first of all");
    remarks.note(&Path::of(["domains", "pro", "machines", "dev"]), "left out");
    remarks.off.insert(Path::of(["domains", "pro", "machines", "dev"]));
    remarks.off.insert(Path::of(["network_policies", "0"]));
    remarks.note(&Path::of(["domains", "home", "bridge"]), "made by hand");
    remarks.off.insert(Path::of(["shared_volumes", "docs"]));
    remarks.end.push("the end".into());
    let text = text(&infra, &remarks);
    assert!(text.starts_with("# first of all\n\nproject_name"), "{text}");
    assert!(text.contains("\n      # left out\n      # dev:\n      #   description: Where"), "{text}");
    assert!(text.contains("\n    # made by hand\n    bridge: {name"), "{text}");
    assert!(text.contains("\n  # - {from: home, to: dev,"), "{text}");
    assert!(text.ends_with("\n\n# the end\n"), "{text}");
    let mut read = infra.clone();
    read.domains["pro"].machines.shift_remove("dev");
    read.network_policies.remove(0);
    read.shared_volumes.clear();
    assert_eq!(good(&text), read);
}
