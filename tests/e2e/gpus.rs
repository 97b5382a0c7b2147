//! GPUs, on hosts that have none: the machine that wants one is told and left out, alone; the rest goes on.

use crate::harness::{Bed, edited, skip};

const AI: &str = r#"
project_name: gpus
global: {default_os_image: images:alpine/3.20, gpu_policy: shared}
domains:
  ai:
    ephemeral: true
    profiles:
      gpu-passthrough: {devices: {card: {type: gpu, gputype: physical, pci: "0000:0a:00.0"}}}
    machines:
      model: {gpu: true}
      plain: {}
      # a virtual machine
"#;

const TRAINER: (&str, &str) =
    ("# a virtual machine", "trainer: {type: vm, gpu: true, profiles: [default, gpu-passthrough]}");

#[test]
fn coverage_07_gpu_in_lxc_a_machine_whose_gpu_is_missing_is_told_and_left_out_alone() {
    let bed = Bed::up();
    bed.infra(AI);
    let plan = bed.plan(&[]);
    assert_eq!(plan.held(), ["refused instance model"]);
    assert!(plan.actions().contains(&"create instance plain".to_owned()), "{plan:?}");
    bed.try_anklume(&["apply", "--yes"])
        .code(1)
        .says(&["this host has no GPU that Incus can see, for the device `gpu`"]);
    bed.wait_for_guest("ai", "plain", "10.120.0.2");
    assert!(!bed.has("/1.0/instances/model?project=ai"));
    let pattern = bed.incus("/1.0/profiles/nvidia-compute?project=ai");
    assert_eq!(
        (&pattern["config"]["nvidia.runtime"], &pattern["devices"]["gpu"]["type"]),
        (&"true".into(), &"gpu".into())
    );

    // One that does not start needs no GPU yet.
    bed.infra(&edited(AI, &[("model: {gpu: true}", "model: {gpu: true, state: stopped}")]));
    bed.apply(&[]);
    bed.plan_is_empty();
    let model = bed.machine("ai", "model");
    assert_eq!(model["profiles"], serde_json::json!(["default", "nvidia-compute"]));
    assert_eq!(model["expanded_devices"]["gpu"]["type"], "gpu");
    // Incus says the same of it.
    let refused = bed.sh("incus config set model nvidia.runtime=false --project ai </dev/null
        incus start model --project ai </dev/null");
    assert!(refused.stderr.contains("Failed to detect requested GPU device"), "{refused}");
    bed.infra(AI);
    assert_eq!(bed.plan(&[]).held(), ["refused instance model"]);
    bed.infra(&edited(AI, &[("gpu_policy: shared", "gpu_policy: exclusive"), ("plain: {}", "plain: {gpu: true}")]));
    bed.try_anklume(&["plan"]).code(2).says(&["`model` and `plain` both have the GPU"]);
}

#[test]
fn coverage_08_gpu_in_vms_its_address_is_looked_for_and_the_iommu_too() {
    let bed = match Bed::bare(&["--vm"]) {
        Ok(bed) => bed,
        Err(why) => return skip("coverage_08_gpu_in_vms", &why),
    };
    bed.infra(&edited(AI, &[TRAINER]));
    let plan = bed.plan(&[]);
    assert_eq!(plan.held(), ["refused instance model", "refused instance trainer"]);
    bed.infra(&edited(AI, &[TRAINER, ("gpu: true, profiles", "gpu: true, state: stopped, profiles")]));
    let told = bed.anklume(&["plan", "--commands"]);
    if bed.sh("ls /sys/kernel/iommu_groups").stdout.trim().is_empty() {
        let _ = told.clone().says(&["warning: this host gives no device away to virtual machines: it has no IOMMU"]);
    }
    let _ = told.says(&["incus create anklume/images/alpine/3.20/vm trainer", "\"pci\": \"0000:0a:00.0\""]);
}
