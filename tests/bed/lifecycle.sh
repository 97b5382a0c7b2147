# The commands that start, enter and end beds. Sourced by tests/sandbox.
# shellcheck shell=bash

cmd_up() {
  local name=${1:-}
  [ $# -eq 0 ] || shift
  valid_name "$name"
  parse_options "$@"
  ensure_packages
  prepare_root
  DAEMON=$(find_incusd)
  [ "$VM" = 0 ] || VM_PARTS=$(ensure_vm_parts) || exit
  [ "$IMAGES" = 0 ] || IMAGE_DIR=$(ensure_images) || exit
  claim_name "$name"
  BED_DISK=$(bed_dir "$name")/incus
  declare -p DISK POOL BTRFS_SIZE SIZE LXCFS IMAGES INCUS VM IMAGE_DIR VM_PARTS DAEMON BED_DISK > "$(bed_dir "$name")/opts"
  [ -z "$OWNER" ] || remember_process "$name" owner "$OWNER" || { take_down "$name"; die "no process $OWNER"; }
  make_cgroups "$name"
  start_bed "$name" || { show_logs "$name"; take_down "$name"; die "bed $name did not start"; }
  [ -z "$OWNER" ] || watch_owner "$name" "$OWNER"
  [ "$INCUS" = 0 ] || ready_incus "$name" || { show_logs "$name"; take_down "$name"; die "no Incus in bed $name"; }
}

parse_options() {
  DISK=0 POOL=dir BTRFS_SIZE=5GiB SIZE=6g LXCFS=0 IMAGES=1 INCUS=1 VM=0 OWNER='' IMAGE_DIR='' VM_PARTS=''
  while [ $# -gt 0 ]; do
    case $1 in
      --pool|--btrfs-size|--size|--owner) [ $# -gt 1 ] || die "$1 needs a value";;
    esac
    case $1 in
      --disk) DISK=1;;
      --pool) POOL=$2; shift;;
      --btrfs-size) BTRFS_SIZE=$2; shift;;
      --size) SIZE=$2; shift;;
      --lxcfs) LXCFS=1;;
      --owner) OWNER=$2; shift;;
      --no-images) IMAGES=0;;
      --no-incus) INCUS=0;;
      --vm) VM=1;;
      *) die "unknown option $1";;
    esac
    shift
  done
  case $POOL in dir|btrfs|none) ;; *) die "--pool is dir, btrfs or none";; esac
}

start_bed() {   # start_bed NAME: a helper enters the bed's cgroups, then becomes unshare, whose child is the bed
  local name=$1 dir tries=0 helper first
  dir=$(bed_dir "$name")
  # shellcheck disable=SC2016
  setsid bash -c '"$0" __enter_cgroups "$1" $$ && cd / &&
      exec unshare --mount --net --pid --ipc --uts --cgroup --fork --kill-child --mount-proc --propagation private "$0" __bed "$1"' \
    "$SELF" "$name" </dev/null >>"$dir/log" 2>&1 &
  helper=$!
  disown $helper                       # its end is no news to `run`
  remember_process "$name" unshare $helper
  while [ ! -e "$dir/state" ]; do
    kill -0 $helper 2>/dev/null && [ $tries -lt 500 ] || return 1
    tries=$((tries + 1)); sleep 0.02
  done
  first=$(tr -d ' ' < /proc/$helper/task/$helper/children)
  remember_process "$name" init "$first"
}

watch_owner() {   # watch_owner NAME PID: when the owner is gone, even by SIGKILL, the bed goes too
  # shellcheck disable=SC2016
  setsid sh -c 'tail --pid="$1" -f /dev/null; exec "$0" down "$2"' "$SELF" "$2" "$1" </dev/null >/dev/null 2>&1 &
}

ready_incus() {   # ready_incus NAME: waits for the daemon, then gives it the pool and the default profile's root disk
  local size=
  [ "$POOL" != btrfs ] || size=size=$BTRFS_SIZE
  # shellcheck disable=SC2016
  ( enter "$1" sh -c 'incus admin waitready --timeout 60 || exit
      [ "$1" = none ] && exit
      incus storage create default "$1" $2 >/dev/null && incus profile device add default root disk path=/ pool=default >/dev/null' \
    sh "$POOL" "$size" )
}

show_logs() {
  tail -n 20 "$(bed_dir "$1")/log" >&2
  process_of "$1" init >/dev/null && ( enter "$1" cat /run/bed/incusd.out ) 2>/dev/null | tail -n 20 >&2
}

bed_environment() {   # bed_environment NAME: what every command in the bed gets; the host's remotes are never read
  printf '%s\n' INCUS_DIR=/var/lib/incus INCUS_SOCKET=/var/lib/incus/unix.socket INCUS_CONF=/run/bed/conf \
    INCUS_GLOBAL_CONF=/run/bed/none INCUS_CACHE=/run/bed/cache SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    SSL_CERT_DIR=/run/bed/certs TMPDIR=/run/bed/tmp NO_PROXY='*' "ANKLUME_SANDBOX=$1"
}

enter() {   # enter NAME CMD...: becomes CMD in the bed, in the same directory where there is one
  local name=$1 pid
  shift
  pid=$(process_of "$name" init) || die "bed $name is not running"
  enter_cgroups "$name" $BASHPID
  # shellcheck disable=SC2016,SC2046
  exec nsenter -t "$pid" -m -n -p -i -u -C \
    env -u INCUS_REMOTE -u INCUS_PROJECT -u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY \
    $(bed_environment "$name") sh -c 'cd "$1" 2>/dev/null || cd /; shift; exec "$@"' sh "$PWD" "$@"
}

take_down() {   # take_down NAME: killing its first process makes the kernel end all the others, mounts, networks, rules
  local name=$1 role pid tries
  for role in init unshare; do
    pid=$(process_of "$name" $role) || continue
    kill -KILL "$pid"
    thaw_cgroups "$name"
    for ((tries = 0; tries < 500; tries++)); do
      process_of "$name" $role >/dev/null || break
      sleep 0.02
    done
  done
  remove_cgroups "$name"
  rm -rf --one-file-system "$(bed_dir "$name")"
}

cmd_exec() {
  local name=${1:?which bed?}
  shift
  [ "${1:-}" != -- ] || shift
  [ $# -gt 0 ] || die "exec: no command"
  enter "$name" "$@"
}

cmd_inet() {
  local name=${1:?which bed?}
  shift
  [ "${1:-}" != -- ] || shift
  enter "$name" ip netns exec inet "$@"
}

cmd_shell() { enter "${1:?which bed?}" bash; }

cmd_restart() {
  # shellcheck disable=SC2016
  enter "${1:?which bed?}" bash -c '
    pid=$(cat /run/bed/incusd.pid)
    kill -"$1" "$pid"
    while [ -d /proc/$pid ] && ! grep -q "^State:.Z" /proc/$pid/status; do sleep 0.02; done
    /run/bed/start-incusd
    incus admin waitready --timeout 60' bash "${2:-TERM}"
}

cmd_env() {
  local name=${1:?which bed?} pid
  pid=$(process_of "$name" init) || die "bed $name is not running"
  bed_environment "$name"
  printf '%s\n' "SANDBOX_PID=$pid" "SANDBOX_DIR=$(bed_dir "$name")"
}

cmd_down() {
  local name
  [ "${1:?which bed?}" != --all ] || { for name in $(all_beds); do take_down "$name"; done; return; }
  valid_name "$1"
  [ ! -d "$(bed_dir "$1")" ] || take_down "$1"
}

cmd_ls() {
  local name
  for name in $(all_beds); do
    echo "$name $(process_of "$name" init || echo dead)"
  done
}

cmd_run() {
  local options=() code
  RUN_NAME=run-$$
  while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
  [ $# -gt 1 ] || die "run [OPTIONS] -- COMMAND..."
  shift
  trap 'cmd_down "$RUN_NAME"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  cmd_up "$RUN_NAME" --owner $$ "${options[@]}"
  ( enter "$RUN_NAME" "$@" )
  code=$?
  exit $code
}
