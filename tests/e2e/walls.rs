//! What keeps domains apart stands before anything that it keeps apart; `leaks` has every packet.

use crate::harness::Bed;

/// Two domains.
const FILE: &str = "
project_name: walls
global: {}
domains:
  a: {machines: {a1: {}, a2: {}}}
  b: {machines: {b1: {}}}
network_policies:
  - {from: a1, to: b1, ports: [80], protocol: tcp}
";

/// The table stands before the first machine starts, and a table that cannot be loaded starts none.
#[test]
fn coverage_25_isolation_stands_before_any_machine_starts() {
    let bed = Bed::up();
    bed.infra(FILE);
    // An `incus` that looks whether the table is there when a machine is to be launched or started.
    bed.write(
        "bin/incus",
        "#!/bin/sh
         case $1 in launch|start) nft list table inet anklume >/dev/null 2>&1 || echo \"$*\" >> early;; esac
         exec /usr/bin/incus \"$@\"",
    );
    bed.sh("chmod 755 bin/incus; PATH=$PWD/bin:$PATH $ANKLUME apply --yes").ok();
    assert!(!bed.dir().join("early").exists(), "started before the table stood");
    bed.plan_is_empty();
    // The machines stop and the table goes; the next apply loads it before it starts them.
    bed.sh("incus stop -f --project a --all; nft delete table inet anklume").ok();
    bed.sh("PATH=$PWD/bin:$PATH $ANKLUME apply --yes").ok();
    assert!(!bed.dir().join("early").exists(), "started before the table stood");
    bed.plan_is_empty();
    // A table that the kernel takes when asked and then refuses: nothing starts.
    bed.sh("incus stop -f --project a --all; nft delete table inet anklume").ok();
    bed.write(
        "bin/nft",
        "#!/bin/sh
         case \" $* \" in *' -c '*|*' list '*) exec /usr/sbin/nft \"$@\";; esac
         echo 'Error: no' >&2; exit 1",
    );
    let refused = bed.sh("chmod 755 bin/nft; PATH=$PWD/bin:$PATH $ANKLUME apply --yes").code(1);
    refused.says(&["failed: create firewall", "skipped: start instance a1, which needs: create firewall"]);
    assert_eq!(bed.machine("a", "a1")["status"], "Stopped");
    bed.apply(&[]);
    bed.plan_is_empty();
}
