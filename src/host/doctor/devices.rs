//! What of the host's hardware machines can have: virtualisation, GPUs.

use super::{Answers, Check, File, Line, Readings};

/// What NVIDIA's cards say of their maker.
const NVIDIA: &str = "10de";

/// That there are none is a failure only where the file asks for one.
pub(super) fn virtual_machines(readings: &Readings, answers: &Answers, file: &File) -> Line {
    let check = Check::VirtualMachines;
    if answers.server.runs_vms() {
        return Line::ok(check, "virtual machines can run");
    }
    let machines = match file {
        File::Good(of_file) => {
            of_file.desired.domains.iter().flat_map(|domain| &domain.machines).filter(|one| one.vm).count()
        }
        File::None | File::Wrong(_) => 0,
    };
    let why = match (answers.elsewhere, readings.kvm) {
        (true, _) => "Incus has no QEMU, or its host no KVM",
        (false, false) => "this host has no /dev/kvm: virtualisation is off in its firmware, or not passed to it",
        (false, true) => "there is KVM, and Incus finds no QEMU that it could use",
    };
    let message = format!("no virtual machine can run: {why}");
    let line = if machines > 0 { Line::failure(check, message) } else { Line::warning(check, message) };
    let packages = match readings.os {
        crate::host::os::Os::Fedora(_) => ["qemu-kvm"].as_slice(),
        crate::host::os::Os::Arch => &["qemu-base", "edk2-ovmf"],
        _ => &["qemu-system-x86", "ovmf"],
    };
    match readings.os.install(packages).filter(|_| readings.kvm && !answers.elsewhere) {
        Some(words) => line.mend([words.join(" ")]).note("then restart Incus: it looks for QEMU when it starts"),
        None if machines == 0 => line.note("the file has none, or there is no file: containers do without"),
        None => line,
    }
}

pub(super) fn gpus(readings: &Readings, answers: &Answers) -> Line {
    let check = Check::Gpus;
    let gpus = answers.server.gpus.as_deref().unwrap_or_default();
    if gpus.is_empty() {
        return Line::ok(check, "no GPU: no machine is given one");
    }
    let list: Vec<&str> = gpus.iter().map(|gpu| gpu.pci.as_str()).filter(|pci| !pci.is_empty()).collect();
    let there = format!("{} GPU ({})", gpus.len(), list.join(", "));
    let nvidia = gpus.iter().any(|gpu| gpu.vendor == NVIDIA);
    if answers.elsewhere {
        return Line::ok(check, there);
    }
    if nvidia && !readings.nvidia {
        return Line::warning(check, format!("{there}, and nothing that gives NVIDIA's to containers"))
            .note("NVIDIA's container toolkit does: `nvidia-container-cli` is looked for");
    }
    if !readings.iommu {
        return Line::warning(check, format!("{there}, and no IOMMU: containers can have it, virtual machines cannot"))
            .note("`intel_iommu=on` or `amd_iommu=on` on the kernel's command line, and in the firmware");
    }
    Line::ok(check, format!("{there}, for containers and virtual machines"))
}
