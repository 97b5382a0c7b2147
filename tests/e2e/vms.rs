//! Row 5: virtual machines, with an emulated processor and without the agent.

use serde_json::json;

use crate::harness::{Bed, edited, skip, wait_up_to};

const VMS: &str = "
project_name: vms
global: {}
domains:
  virt:
    ephemeral: true
    subnet_id: 0
    profiles: {small: {config: {limits.memory: 256MiB}}}
    machines:
      vm:
        {type: vm, ip: 10.120.0.10, profiles: [default, small], snapshots_schedule: '@daily', config: {limits.cpu: 1}}
      ct: {}
  other:
    ephemeral: true
    machines: {far: {}, near: {}}
network_policies:
  - {from: far, to: vm, ports: [80], protocol: tcp}
";

/// The address that Incus sees the machine have: by its lease, since there is no agent to ask.
fn address(bed: &Bed) -> String {
    let state = bed.incus("/1.0/instances/vm/state?project=virt");
    let addresses = state["network"]["eth0"]["addresses"].as_array().cloned().unwrap_or_default();
    let address = addresses.iter().find(|address| address["family"] == "inet");
    address.and_then(|address| address["address"].as_str()).unwrap_or_default().to_owned()
}

/// An emulated processor takes half a minute to get there, and more where others are at work.
fn wait_for_vm(bed: &Bed, ip: &str) {
    wait_up_to(120, "the virtual machine to have its address", || address(bed) == ip);
    let page = format!("busybox ping -c 1 -W 1 {ip} && busybox timeout 1 busybox wget -qO- http://{ip}/");
    wait_up_to(30, "an answer from it", || bed.sh(&page).code == 0);
}

/// Runs a line in the guest, over its serial console, and leaves it by Ctrl-A and Q, which Incus
/// sees only where they come one after the other; what it says.
fn console(bed: &Bed, line: &str) -> String {
    let script = format!(
        "said() {{ grep -q 'done 42' console-said 2>/dev/null; }}; rm -f console-said
         (printf '\\n{line}; echo done $((6 * 7))\\n'; for try in $(seq 300); do ! said || break; sleep 0.1; done; printf '\\001'; sleep 0.3; printf q) |
         timeout 60 script -qfec 'incus console vm --project virt --force' console-said >/dev/null && said && cat console-said"
    );
    bed.sh(&script).ok().stdout
}

#[test]
fn coverage_05_kvm_vms_are_made_walled_off_changed_and_go_again() {
    let bed = match Bed::bare(&["--vm"]) {
        Ok(bed) => bed,
        Err(why) => return skip("coverage_05_kvm_vms_are_made_walled_off_changed_and_go_again", &why),
    };
    bed.infra(VMS);
    bed.apply(&[]).says(&["create instance vm"]);
    bed.plan_is_empty();
    let vm = bed.machine("virt", "vm");
    assert_eq!((&vm["type"], &vm["status"]), (&json!("virtual-machine"), &json!("Running")));
    assert_eq!(vm["expanded_config"]["limits.memory"], "256MiB");
    bed.wait_for_guests(&[
        ("virt", "ct", "10.120.0.1"),
        ("other", "far", "10.120.1.1"),
        ("other", "near", "10.120.1.2"),
    ]);
    wait_for_vm(&bed, "10.120.0.10");
    bed.anklume(&["status"]).says(&["vm", "10.120.0.10", "as in the file"]);

    // To it and from it.
    bed.packets(
        true,
        &[("virt/ct", "tcp 10.120.0.10:80"), ("other/far", "tcp 10.120.0.10:80"), ("virt/ct", "ping 10.120.0.10")],
    );
    bed.packets(false, &[("other/near", "tcp 10.120.0.10:80"), ("other/far", "ping 10.120.0.10")]);
    let said = console(
        &bed,
        "ping -c 1 -W 2 10.120.0.1; ping -c 1 -W 1 10.120.1.1; ping -c 1 -W 1 10.120.1.254; ping -c 1 -W 2 203.0.113.10",
    );
    let answered = |from: &str| said.contains(&format!("bytes from {from}: "));
    let reached = ["10.120.0.1", "10.120.1.1", "10.120.1.254", "203.0.113.10"].map(answered);
    assert_eq!(reached, [true, false, false, true], "{said}");

    // A snapshot, as the schedule would take it, is not in the file and nobody's business.
    assert_eq!(vm["config"]["snapshots.schedule"], "@daily");
    bed.sh("incus snapshot create vm yesterday --project virt").ok();
    bed.plan_is_empty();
    // A disk of its own.
    let volume = "type: vm, storage_volumes: {raw: {content_type: block, size: 20MiB}}";
    let mut file = edited(VMS, &[("type: vm", volume)]);
    let pid = bed.pid("virt", "vm");
    bed.turns(&file, &[], &["create volume default/vm-raw", "update instance vm"]);
    assert_eq!(bed.pid("virt", "vm"), pid, "it went on running");
    let said = console(&bed, "cat /sys/block/*/size");
    assert!(said.contains("40960"), "20 MiB in sectors: {said}");

    // At once: a processor more, notes. At its next start only: memory, and a firmware without signatures.
    file = edited(&file, &[("limits.cpu: 1", "limits.cpu: 2, user.note: x")]);
    bed.turns(&file, &[], &["update instance vm"]);
    assert_eq!(bed.pid("virt", "vm"), pid, "it went on running");
    file = edited(
        &file,
        &[("256MiB", "320MiB"), ("limits.cpu: 2", "limits.cpu: 2, security.secureboot: false"), ("0.10", "0.11")],
    );
    bed.infra(&file);
    let held =
        ["restart profile virt/small: limits.memory", "restart instance vm: security.secureboot, eth0 ipv4.address"];
    assert_eq!(bed.plan(&[]).held(), held);
    // One restart for all of it: while it starts, it does not hear that it is to stop.
    bed.turns(&file, &["--restart"], &["update firewall", "update instance vm", "update profile virt/small"]);
    assert_ne!(bed.pid("virt", "vm"), pid);
    wait_for_vm(&bed, "10.120.0.11");
    bed.packets(true, &[("other/far", "tcp 10.120.0.11:80")]);
    bed.packets(false, &[("other/near", "tcp 10.120.0.11:80")]);

    let stands = || bed.machine("virt", "vm")["status"].as_str().unwrap().to_owned();
    for (state, action) in [("frozen", "pause"), ("running", "resume"), ("stopped", "stop")] {
        let file = edited(&file, &[("type: vm", &format!("type: vm, state: {state}"))]);
        bed.turns(&file, &[], &[&format!("{action} instance vm")]);
        assert_eq!(stands().to_lowercase(), state);
    }
    // What Incus refuses to a running one it takes from one that is stopped.
    let stopped = edited(&file, &[("type: vm", "type: vm, state: stopped"), ("limits.cpu: 2", "limits.cpu: 0-1")]);
    bed.turns(&stopped, &[], &["update instance vm"]);
    bed.anklume(&["destroy", "vm", "--yes"]).says(&["1 deleted."]);
    assert!(!bed.has("/1.0/instances/vm?project=virt"));
    // Its disk outlives it, as every volume does.
    bed.sh("incus storage volume delete default vm-raw --project virt").ok();
    bed.anklume(&["destroy", "--yes"]);
    assert!(!bed.everything().contains("anklume.infra"));
}
