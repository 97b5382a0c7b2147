//! Rows 21 and 22: limits of machines, shares of the host by `resource_policy`, and limits of a whole domain.

use crate::harness::Bed;

const SHARED: &str = r"
project_name: lim
global:
  default_os_image: images:alpine/3.20
  resource_policy: {host_reserve: {cpu: 20%, memory: 50%}}
domains:
  a:
    ephemeral: true
    limits: {instances: 3, memory: 64GiB}
    machines:
      small: {}
      large: {weight: 3}
      own: {config: {limits.memory: 256MiB, limits.cpu.allowance: 5%, limits.processes: 77}}
";

#[test]
fn coverage_21_limits_and_coverage_22_project_limits_share_the_host_out() {
    let bed = Bed::up();
    bed.infra(SHARED);
    bed.apply(&[]);
    bed.plan_is_empty();

    let memory = bed.incus("/1.0/resources")["memory"]["total"].as_f64().unwrap();
    let rest = memory / 2.0 - 256.0 * 1_048_576.0;
    let share = |parts: f64| format!("{}MiB", (rest * parts / 1_048_576.0).floor());
    let config = |machine: &str, key: &str| bed.machine("a", machine)["config"][key].as_str().unwrap_or("-").to_owned();
    assert_eq!(config("small", "limits.memory"), share(0.25));
    assert_eq!(config("large", "limits.memory"), share(0.75));
    // 80 % of the host, less the 5 % that one has of its own: a quarter and three quarters of 75 %.
    assert_eq!(config("small", "limits.cpu.allowance"), "18%");
    assert_eq!(config("large", "limits.cpu.allowance"), "56%");
    assert_eq!(config("small", "limits.memory.enforce"), "soft");
    assert_eq!(
        (config("own", "limits.memory").as_str(), config("own", "limits.memory.enforce").as_str()),
        ("256MiB", "-")
    );
    // What the kernel makes of it.
    let limit = |file: &str| {
        bed.sh(&format!("cat /sys/fs/cgroup/*/lxc.payload.a_own/{file} /sys/fs/cgroup/lxc.payload.a_own/{file} 2>/dev/null | head -1; true"))
    };
    assert_eq!(limit("pids.max").stdout.trim(), "77");

    let refused = bed.sh("incus create images:alpine/3.20 one-more --project a -c limits.memory=1GiB </dev/null");
    assert!(refused.code != 0 && refused.stderr.contains("maximum number of instances"), "{refused}");

    // One more machine, and everybody's share changes while they run.
    let pid = bed.pid("a", "small");
    bed.infra(
        &SHARED
            .replace("instances: 3", "instances: 4")
            .replace("large: {weight: 3}", "large: {weight: 3}\n      more: {weight: 4}"),
    );
    bed.anklume(&["plan"]).says(&["limits.cpu.allowance  18% → 9%", "limits.cpu.allowance  56% → 28%"]);
    bed.apply(&[]);
    bed.plan_is_empty();
    assert_eq!(config("small", "limits.cpu.allowance"), "9%");
    assert_eq!(bed.pid("a", "small"), pid, "shares change live");

    let greedy = SHARED.replace("256MiB", "4096GiB");
    bed.infra(&greedy);
    bed.try_anklume(&["plan"]).code(2).says(&["of memory, and", "are available", "`overcommit: true`"]);
    bed.infra(&greedy.replace("memory: 50%}", "memory: 50%}, overcommit: true"));
    bed.anklume(&["plan"]).says(&["warning: the machines are promised"]);
}
