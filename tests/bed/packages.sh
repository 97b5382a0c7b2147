# Knows what a bed needs from the machine, and installs what is missing from the distribution's own packages.
# Sourced by tests/sandbox.
#
# Nothing of this may give the machine a running Incus: packages are installed without their recommendations,
# under a policy-rc.d that refuses every service start (Debian's own way to say "not now"), and the units that came
# with them are disabled afterwards, so that the next boot does not start them either. A machine that already had
# Incus keeps it exactly as it was: then there is nothing to install and nothing to disable.
# shellcheck shell=bash

# command:package pairs; the daemon is looked for apart, since it lives outside PATH.
NEEDED_COMMANDS="incus:incus-client dnsmasq:dnsmasq-base nft:nftables ip:iproute2 unshare:util-linux nsenter:util-linux
  setsid:util-linux flock:util-linux busybox:busybox-static python3:python3 openssl:openssl mksquashfs:squashfs-tools
  unsquashfs:squashfs-tools"
OPTIONAL_COMMANDS="mkfs.btrfs:btrfs-progs"

find_incusd() {   # prints the daemon's path
  local path
  for path in "${INCUSD:-}" /usr/libexec/incus/incusd /usr/lib/incus/incusd /opt/incus/bin/incusd "$(command -v incusd)"; do
    [ -n "$path" ] && [ -x "$path" ] && { echo "$path"; return; }
  done
  return 1
}

static_busybox() {   # prints the path of a busybox that runs in an empty root
  local path
  for path in /usr/bin/busybox /bin/busybox "$(command -v busybox)"; do
    [ -n "$path" ] && [ -x "$path" ] && ! head -c 4096 "$path" | LC_ALL=C grep -qa 'ld-linux\|ld-musl' && { echo "$path"; return; }
  done
  return 1
}

missing_packages() {   # prints the packages that would have to be installed, one a line
  local pair
  { find_incusd >/dev/null || echo incus-base
    for pair in $NEEDED_COMMANDS; do
      command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
    done
    static_busybox >/dev/null || echo busybox-static
  } | sort -u
}

missing_optional_packages() {
  local pair
  for pair in $OPTIONAL_COMMANDS; do
    command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
  done
}

cmd_check() {
  why_not || return
  [ "${1:-}" != --vm ] || check_vm
}

why_not() {   # can beds run here? Says why not, one reason a line.
  local problem=0 package
  [ "$(id -u)" = 0 ] || { echo "not root"; problem=1; }
  for package in $(missing_packages); do echo "missing package: $package"; problem=1; done
  unshare --mount --net --pid --ipc --uts --cgroup --fork true 2>/dev/null || { echo "namespaces are refused here"; problem=1; }
  for package in $(missing_optional_packages); do echo "optional, missing package: $package"; done
  return $problem
}

ensure_packages() {   # what every command that starts a bed does first; silent when nothing is missing
  [ -z "$(missing_packages)" ] && return
  [ "${SANDBOX_NO_INSTALL:-0}" = 1 ] && { why_not >&2; die "cannot run here (SANDBOX_NO_INSTALL=1)"; }
  cmd_install >&2
}

cmd_install() {
  [ "$(id -u)" = 0 ] || die "installing needs root"
  prepare_root
  local wanted=()
  exec 8>"$ROOT/.install.lock"; flock 8     # two test runs may find the same thing missing
  mapfile -t wanted < <(missing_packages; missing_optional_packages)
  if [ ${#wanted[@]} = 0 ]; then echo "sandbox: nothing to install"; else install_packages "${wanted[@]}"; fi
  exec 8>&-
  [ -z "$(missing_packages)" ] || { why_not; die "still missing after the installation"; }
}

install_packages() {   # install_packages PACKAGE...: with no service started or left enabled
  command -v apt-get >/dev/null || die "only Debian and Ubuntu are known; install by hand: $*"
  local before after new=() options=()
  echo "sandbox: installing $*"
  apt_retry update -qq || echo "sandbox: apt-get update had errors; going on" >&2
  ensure_incus_suite "$@"
  # backports give a package only when asked: QEMU is older than Incus wants without them
  case " $* " in *" qemu-system-x86 "*) [ -z "$(backports_suite)" ] || options=(-t "$(backports_suite)");; esac
  before=$(installed_packages)
  refuse_service_starts
  if ! apt_retry "${options[@]}" install -qq -y --no-install-recommends "$@"; then allow_service_starts; die "apt-get install failed"; fi
  allow_service_starts
  after=$(installed_packages)
  mapfile -t new < <(comm -13 <(echo "$before") <(echo "$after"))
  disable_units_of "${new[@]}"
  echo "sandbox: installed ${new[*]}"
}

apt_retry() {   # apt-get, once more after a transient failure
  local options="-o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -o Acquire::Retries=3"
  local log; log=$(mktemp) || return
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get $options "$@" >"$log" 2>&1 </dev/null ||
    { sleep 5; DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get $options "$@" >"$log" 2>&1 </dev/null; } ||
    { tail -20 "$log" >&2; rm -f "$log"; return 1; }
  rm -f "$log"
}

installed_packages() { dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' | sed -n 's/^ii //p' | sort; }

backports_suite() {   # prints the name of Debian 12's backports if apt has them
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(CODENAME)' 'Created-By: Packages' | grep -m 1 -x bookworm-backports
}

# Debian 12 has Incus in its backports only: add that suite from the mirror and with the key the machine already uses.
ensure_incus_suite() {
  case " $* " in *" incus-base "*|*" incus-client "*|*" incus "*) ;; *) return;; esac
  local candidate suite mirror key sources
  candidate=$(apt-cache policy incus-base | sed -n 's/^ *Candidate: //p')
  case ${candidate:-(none)} in '(none)') ;; *) return;; esac
  # shellcheck disable=SC1091
  suite=$(. /etc/os-release; [ "$ID" = debian ] && echo "${VERSION_CODENAME:-}")
  [ "$suite" = bookworm ] || die "this distribution has no incus-base package"
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(ORIGIN)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)|$(SOURCESENTRY)' 'Created-By: Packages' |
    awk -F'|' -v suite="$suite" '$1 == "Debian" && $2 == suite && $3 == "main" {print $4 "|" $5; exit}')
  [ -n "$mirror" ] || die "apt has no mirror for $suite"
  key=${mirror#*|}; mirror=${mirror%%|*}
  key=$(sed -n 's/^Signed-By: *\(\/.*\)/\1/p; s/.*signed-by=\(\/[^] ]*\).*/\1/p' "${key%:*}" | head -1)
  [ -n "$key" ] || key=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -r "$key" ] || die "no keyring for $suite-backports"
  sources=/etc/apt/sources.list.d/$suite-backports.sources
  printf '%s\n' "# added by anklume's tests/sandbox: Incus for $suite" "Types: deb" "URIs: $mirror" \
    "Suites: $suite-backports" "Components: main" "Signed-By: $key" > "$sources"
  echo "sandbox: added the suite $suite-backports to apt's sources ($sources)"
  apt_retry update -qq || echo "sandbox: apt-get update had errors; going on" >&2
  candidate=$(apt-cache policy incus-base | sed -n 's/^ *Candidate: //p')
  case ${candidate:-(none)} in '(none)') die "$suite-backports has no incus-base";; esac
}

POLICY=/usr/sbin/policy-rc.d
refuse_service_starts() {
  [ -e $POLICY ] && { $POLICY incus start >/dev/null 2>&1; [ $? = 101 ]; } && return     # refused already
  [ ! -e $POLICY ] || mv $POLICY $POLICY.anklume-saved
  printf '#!/bin/sh\n# anklume sandbox: nothing starts while it installs\nexit 101\n' > $POLICY
  chmod 755 $POLICY
}
allow_service_starts() {
  ! grep -qs 'anklume sandbox' $POLICY || rm -f $POLICY
  [ ! -e $POLICY.anklume-saved ] || mv $POLICY.anklume-saved $POLICY
}

disable_units_of() {   # of the new packages, those that bring an Incus or lxcfs service: not at the next boot either
  local package unit units=
  command -v systemctl >/dev/null || return 0
  for package; do
    case $package in incus*|lxcfs|libpam-cgfs|dnsmasq*) ;; *) continue;; esac
    for unit in $(dpkg -L "$package" | sed -n 's#^\(/usr\)\?/lib/systemd/system/\([^/@]*\.\(service\|socket\|timer\)\)$#\2#p'); do
      systemctl --quiet disable "$unit" >/dev/null 2>&1 && units="$units $unit"
    done
  done
  [ -z "$units" ] || echo "sandbox: left disabled:$units (enable them to use Incus on this machine)"
}
