# Gives each bed a cgroup of its own in every hierarchy, v1 or v2, and takes it away again. Sourced by tests/sandbox.
# shellcheck shell=bash

cgroup_name() { cat "$(bed_dir "$1")/cgroup"; }

host_has_only_v2() { [ -f /sys/fs/cgroup/cgroup.controllers ]; }

make_cgroups() {   # make_cgroups NAME
  local name hierarchy dir
  name=anklume-bed-$(printf %s "$ROOT" | cksum | cut -d' ' -f1)-$1        # unique per root and name
  echo "$name" > "$(bed_dir "$1")/cgroup"
  host_has_only_v2 && { mkdir -p "/sys/fs/cgroup/$name"; return; }
  awk '$3 == "cgroup" || $3 == "cgroup2" {print $2}' /proc/self/mounts | while read -r hierarchy; do
    dir=$hierarchy/$name
    mkdir -p "$dir" || continue
    if [ -f "$dir/cpuset.cpus" ]; then       # cpuset starts empty in v1
      [ -n "$(<"$dir/cpuset.cpus")" ] || echo "$(<"$hierarchy/cpuset.cpus")" > "$dir/cpuset.cpus"
      [ -n "$(<"$dir/cpuset.mems")" ] || echo "$(<"$hierarchy/cpuset.mems")" > "$dir/cpuset.mems"
      echo 1 > "$dir/cgroup.clone_children"
    fi
  done
}

enter_cgroups() {   # enter_cgroups NAME PID
  local name dir leaf=
  name=$(cgroup_name "$1")
  # in v2 a group with controllers given to its children has no processes itself
  host_has_only_v2 && [ -d "/sys/fs/cgroup/$name/init" ] && leaf=/init
  for dir in "/sys/fs/cgroup/$name" /sys/fs/cgroup/*/"$name"; do
    [ ! -d "$dir" ] || echo "$2" > "$dir$leaf/cgroup.procs"
  done
}

thaw_cgroups() {   # thaw_cgroups NAME: what is frozen cannot die
  local file
  [ -e "$(bed_dir "$1")/cgroup" ] || return 0
  find /sys/fs/cgroup/freezer/"$(cgroup_name "$1")" -name freezer.state 2>/dev/null | while read -r file; do
    echo THAWED > "$file"
  done
}

remove_cgroups() {   # remove_cgroups NAME: the processes are gone, the kernel may need a moment to notice
  local name dir try
  [ -e "$(bed_dir "$1")/cgroup" ] || return 0
  name=$(cgroup_name "$1")
  for dir in /sys/fs/cgroup/*/"$name" "/sys/fs/cgroup/$name"; do
    for try in 1 2 3 4 5 6 7 8 9 10; do
      [ -d "$dir" ] || break
      find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null
      [ -d "$dir" ] && sleep 0.1
    done
    [ ! -d "$dir" ] || echo "sandbox: cgroup left after $try tries: $dir" >&2
  done
}
