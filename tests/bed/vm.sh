# Builds what a bed needs to run virtual machines with an emulated processor (see vm/README.md), and says when that cannot
# be done: exit code 77 and one sentence, so that a test can be skipped. Sourced by tests/sandbox.
# shellcheck shell=bash

VM_COMMANDS="gcc:gcc objcopy:binutils depmod:kmod cpio:cpio mkfs.vfat:dosfstools mcopy:mtools sgdisk:gdisk qemu-img:qemu-utils"
VM_CANNOT=77

cannot_vm() { echo "sandbox: no virtual machines here: $*" >&2; exit $VM_CANNOT; }

vm_possible() {   # what no package can give
  [ "$(uname -m)" = x86_64 ] || cannot_vm "the processor is $(uname -m), not x86_64"
  [ -c /dev/fuse ] || cannot_vm "the kernel has no FUSE (/dev/fuse)"
  [ -c /dev/net/tun ] || cannot_vm "the kernel has no TUN (/dev/net/tun)"
  grep -qs user_notif /proc/sys/kernel/seccomp/actions_avail || cannot_vm "the kernel has no seccomp notifications"
  python3 -c 'import socket; socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)' 2>/dev/null || cannot_vm "the kernel has no vsock"
}

missing_vm_packages() {
  local pair
  for pair in $VM_COMMANDS; do
    command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
  done
  [ -e /usr/include/linux/fuse.h ] || echo linux-libc-dev
  [ -e /usr/include/stdio.h ] || echo libc6-dev
  qemu_is_new_enough || echo qemu-system-x86
}

qemu_is_new_enough() {   # Incus 6 wants QEMU 8
  local version
  version=$(qemu-system-x86_64 --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p')
  [ "${version:-0}" -ge 8 ]
}

check_vm() {
  vm_possible
  [ -d "$(vm_parts_dir)" ] && [ -z "$(missing_vm_packages)" ] && return
  [ "${SANDBOX_NO_INSTALL:-0}" = 0 ] || cannot_vm "its parts are not built yet, and SANDBOX_NO_INSTALL=1 forbids it"
  command -v apt-get >/dev/null || cannot_vm "its parts come from Debian packages, and there is no apt-get"
}

install_vm_packages() {
  local missing=()
  exec 8>"$ROOT/.install.lock"; flock 8
  mapfile -t missing < <(missing_vm_packages)
  [ ${#missing[@]} = 0 ] || ( install_packages "${missing[@]}" ) >&2 || cannot_vm "packages are missing: ${missing[*]}"
  exec 8>&-
}

vm_parts_dir() { echo "$CACHE/vm-$(cat "$BED/vm.sh" "$BED"/vm/* | sha256sum | cut -c1-16)"; }

ensure_vm_parts() {   # prints the directory with the parts; built again when their sources have changed
  local dir
  check_vm
  dir=$(vm_parts_dir)
  install_vm_packages
  if [ ! -d "$dir" ]; then
    exec 9>"$CACHE/.vm-lock"; flock 9
    if [ ! -d "$dir" ]; then
      echo "sandbox: building the parts for virtual machines, once" >&2
      find "$CACHE" -maxdepth 1 -name 'vm-*' -mtime +7 -exec rm -rf {} +
      rm -rf "$dir.new"; mkdir -p "$dir.new/bin" "$dir.new/debs" "$dir.new/unpacked"
      ( cd "$dir.new" && build_vm_parts ) >"$CACHE/vm.log" 2>&1 ||
        cannot_vm "a part could not be built: $(tail -n 1 "$CACHE/vm.log")"
      mv "$dir.new" "$dir"
    fi
    exec 9>&-
  fi
  touch "$dir"
  echo "$dir"
}

build_vm_parts() {   # in the directory that gets them
  local kernel package
  gcc -O2 -o vsock-device "$BED/vm/vsock-device.c" && gcc -O2 -o vsock-shim "$BED/vm/vsock-shim.c" || return
  cp "$BED/vm/qemu-system-x86_64" bin/
  printf '#!/bin/sh\nexit 0\n' > bin/modprobe
  chmod 755 bin/*
  kernel=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: //p' | head -n 1)
  [ -n "$kernel" ] || { echo "no package linux-image-cloud-amd64 in apt's lists"; return 1; }
  ( cd debs && apt_retry -o APT::Sandbox::User=root download ovmf systemd-boot-efi "$kernel" ) || return
  for package in debs/*.deb; do dpkg-deb -x "$package" unpacked || return; done
  [ -e unpacked/lib ] || ln -s usr/lib unpacked/lib               # newer packages have it in /usr only
  "$BED/vm/build-guest" unpacked unpacked/usr/lib/systemd/boot/efi/linuxx64.efi.stub "$(static_busybox)" guest.qcow2 || return
  mv unpacked/usr/share/OVMF firmware
  insecure_firmware
  rm -rf debs unpacked
}

insecure_firmware() {   # the guest is not signed: where incusd takes the firmware for secure boot, it gets the plain one
  local file
  for file in firmware/OVMF_CODE_4M.*.fd; do [ -L "$file" ] || cp firmware/OVMF_CODE_4M.fd "$file"; done
  for file in firmware/OVMF_VARS_4M.*.fd; do [ -L "$file" ] || cp firmware/OVMF_VARS_4M.fd "$file"; done
  rm -f firmware/OVMF_CODE.* firmware/OVMF_VARS.*
}
