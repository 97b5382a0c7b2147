# Knows which beds there are, where their files are, and whether their processes live. Sourced by tests/sandbox.
#
# $ROOT/beds/NAME/     one bed: opts, log, cgroup, and the processes starter, unshare, init, owner
# $ROOT/cache/         what is built once: images, parts for virtual machines
# shellcheck shell=bash

BEDS=$ROOT/beds
CACHE=$ROOT/cache

bed_dir() { echo "$BEDS/$1"; }

valid_name() { [[ $1 =~ ^[a-z0-9][a-z0-9-]{0,39}$ ]] || die "a bed's name is 1 to 40 of a-z, 0-9 and -: '$1'"; }

# A process is remembered by its id and its start time, so that a re-used id is never taken for it.
process_start() {   # process_start PID: prints the start time; fails when it is gone or a zombie
  local stat
  read -r stat 2>/dev/null < "/proc/$1/stat" || return 1
  # shellcheck disable=SC2086
  set -- ${stat##*) }          # what follows the name: state, parent, ... the start time is the 20th
  [ "$1" != Z ] && echo "${20}"
}

remember_process() {   # remember_process NAME ROLE PID
  local start
  start=$(process_start "$3") && echo "$3 $start" > "$(bed_dir "$1")/$2"
}

process_of() {   # process_of NAME ROLE: prints the id if that very process still lives
  local pid start
  { read -r pid start < "$(bed_dir "$1")/$2"; } 2>/dev/null || return 1
  [ "$(process_start "$pid")" = "$start" ] && echo "$pid"
}

all_beds() {
  local dir
  for dir in "$BEDS"/*/; do
    [ -d "$dir" ] && basename "$dir"
  done
}

bed_is_stale() {   # its first process is gone and nobody is starting it; or the owner it was made for has gone
  [ ! -e "$(bed_dir "$1")/owner" ] || process_of "$1" owner >/dev/null || return 0
  ! process_of "$1" init >/dev/null && ! process_of "$1" starter >/dev/null
}

sweep_stale_beds() {
  local name
  for name in $(all_beds); do
    bed_is_stale "$name" && take_down "$name"
  done
}

prepare_root() {
  [ "$(id -u)" = 0 ] || die "beds need root"
  case $(readlink -m "$ROOT")/ in
    /etc/*|/run/*|/var/lib/*|/var/log/*|/var/cache/*|/srv/*) die "SANDBOX_ROOT cannot be in $ROOT: beds have their own";;
  esac
  mkdir -p "$(dirname "$ROOT")" || exit
  mkdir -m 700 "$ROOT" 2>/dev/null
  # what is kept there is run as root: it must not be anybody else's
  [ -O "$ROOT" ] && [ ! -L "$ROOT" ] && [ "$(stat -c %a "$ROOT")" = 700 ] || die "$ROOT is not ours alone (owner root, mode 700)"
  mkdir -p "$BEDS" "$CACHE"
}

claim_name() {   # claim_name NAME: makes the bed's directory; only one `up` can have it
  exec 9>"$ROOT/.lock"; flock 9
  sweep_stale_beds
  if mkdir "$(bed_dir "$1")" 2>/dev/null; then remember_process "$1" starter $$; else exec 9>&-; die "bed $1 is up"; fi
  exec 9>&-
}

ensure_images() {   # prints the directory with the image tree; built again when what it is made of has changed
  local dir busybox disk='' packages options=()
  busybox=$(static_busybox)
  [ "$VM" = 0 ] || { disk=$VM_PARTS/guest.qcow2; options=(--vm-disk "$disk"); }
  if packages=$(ensure_apt_packages); then options+=(--apt "$packages"); else
    echo "sandbox: the packages for the image debian/13/apt cannot be fetched; going on without" >&2
  fi
  # shellcheck disable=SC2086
  dir=$CACHE/images-$({ cat "$BED/make-images" "$busybox" $disk; echo "$packages"; } | sha256sum | cut -c1-16)
  if [ ! -d "$dir" ]; then
    exec 9>"$CACHE/.lock"; flock 9
    if [ ! -d "$dir" ]; then
      find "$CACHE" -maxdepth 1 -name 'images-*' -mtime +7 -exec rm -rf {} +
      rm -rf "$dir.new"
      echo "sandbox: building the images, once" >&2
      "$BED/make-images" "$dir.new" --busybox "$busybox" "${options[@]}" >/dev/null || { rm -rf "$dir.new"; die "the images could not be made"; }
      mv "$dir.new" "$dir"
    fi
    exec 9>&-
  fi
  touch "$dir"
  echo "$dir"
}
