# What the first process of a bed does, in its new namespaces: hides the host, builds the networks, starts the
# services, then waits and buries orphans. Sourced by tests/sandbox; `bed` is the way in.
# shellcheck shell=bash

bed() {   # bed NAME: PID 1
  local name=$1 dir
  dir=$(bed_dir "$name")
  # shellcheck source=/dev/null
  . "$dir/opts"
  exec >>"$dir/log" 2>&1 </dev/null
  forget_host_incus
  mount_sys_and_cgroups
  private_directories
  name_resolution_and_ids
  client_config
  [ "$IMAGES" = 0 ] || trust_image_server
  build_networks "$name"
  start_internet
  [ "$LXCFS" = 0 ] || start_lxcfs
  [ "$VM" = 0 ] || vm_devices
  [ "$INCUS" = 0 ] || prepare_incusd
  [ "$INCUS" = 0 ] || /run/bed/start-incusd
  echo up > "$dir/state"
  trap 'exit 0' TERM
  sleep infinity &
  while :; do wait; done
}

# Our copies of the host incusd's mounts must go, not only be hidden: incusd looks for ".../shmounts" in mountinfo,
# would take the hidden one for its own, and hot-plugged disks would fail. Propagation is private: the host keeps its.
forget_host_incus() {
  local dir
  awk '$5 ~ "^/var/lib/(incus|lxcfs|incus-lxcfs)(/|$)" {print $5}' /proc/self/mountinfo | sort -r | while read -r dir; do
    umount -l "$dir"
  done
}

mount_sys_and_cgroups() {   # mounted anew, they show this network and this cgroup namespace
  local hierarchies type dir options controllers
  if host_has_only_v2; then
    mount -t sysfs sysfs /sys
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mkdir -p /sys/fs/cgroup/init
    echo 1 > /sys/fs/cgroup/init/cgroup.procs
    tr ' ' '\n' < /sys/fs/cgroup/cgroup.controllers | while read -r controllers; do
      echo "+$controllers" > /sys/fs/cgroup/cgroup.subtree_control
    done
    return
  fi
  hierarchies=$(awk '$3 == "cgroup" || $3 == "cgroup2" {print $3, $2, $4}' /proc/self/mounts)
  mount -t sysfs sysfs /sys
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  while read -r type dir options; do
    mkdir -p "$dir"
    case $type in
      cgroup2) mount -t cgroup2 cgroup2 "$dir";;
      cgroup)
        controllers=$(tr , '\n' <<< "$options" | grep -vxE 'rw|ro|relatime|nosuid|nodev|noexec|xattr|clone_children|release_agent=.*' | paste -sd,)
        mount -t cgroup -o "$controllers" cgroup "$dir";;
    esac
  done <<< "$hierarchies"
}

private_directories() {   # /run is empty, so no systemd, D-Bus or docker socket can be reached either
  local dir upper
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/incus /run/netns /run/lock /run/bed/conf /run/bed/certs /run/bed/tmp
  for dir in /etc /var/lib /var/log /var/cache; do
    upper=/run/bed/overlay$dir
    mkdir -p "$upper/upper" "$upper/work"
    mount -t overlay -o "lowerdir=$dir,upperdir=$upper/upper,workdir=$upper/work" overlay "$dir" || exit 1
  done
  mkdir -p /var/lib/incus /var/lib/anklume /var/log/incus /var/cache/incus
  for dir in /srv /var/lib/anklume /var/log/incus /var/cache/incus "${HOME:-/root}/.config/incus" "${HOME:-/root}/.cache/incus"; do
    [ ! -d "$dir" ] || mount -t tmpfs -o mode=755 tmpfs "$dir"
  done
  if [ "$DISK" = 1 ]; then
    mkdir -m 711 "$BED_DISK"
    mount --bind "$BED_DISK" /var/lib/incus
  else
    mount -t tmpfs -o "size=$SIZE,mode=711" tmpfs /var/lib/incus
  fi
}

name_resolution_and_ids() {   # /etc is an overlay by now
  rm -f /etc/resolv.conf
  echo "nameserver 203.0.113.53" > /etc/resolv.conf
  echo "root:1100000000:500000000" | tee /etc/subuid > /etc/subgid         # not the ids of the host's containers
}

# A complete one: without a file incus prints a notice, with an empty one it knows no `images:`.
client_config() {
  cat > /run/bed/conf/config.yml <<-'CONFIG'
	default-remote: local
	remotes:
	  images:
	    addr: https://images.linuxcontainers.org
	    protocol: simplestreams
	    public: true
	  local:
	    addr: unix://
	    public: false
	CONFIG
}

trust_image_server() {   # client and daemon both fetch, and both read the system's bundle
  cp -a "$IMAGE_DIR" /run/bed/images                                       # a copy: a test may publish newer images
  mkdir -p /etc/ssl/certs
  cat /run/bed/images/ca.crt >> /etc/ssl/certs/ca-certificates.crt
}

build_networks() {   # build_networks NAME
  local host
  hostname "bed-$1"
  ip link set lo up
  ip netns add inet
  ip link add up0 type veth peer name wan0 netns inet
  ip -batch - <<-'IP'
	addr add 198.51.100.1/24 dev up0
	addr add 2001:db8:1::1/64 dev up0 nodad
	link set up0 up
	IP
  { for host in 10 53 80; do echo "addr add 203.0.113.$host/32 dev lo"; done
    cat <<-'IP'
	link set lo up
	link set wan0 up
	addr add 198.51.100.2/24 dev wan0
	addr add 2001:db8:1::2/64 dev wan0 nodad
	IP
  } | ip -n inet -batch -
  ip route add default via 198.51.100.2
  ip -6 route add default via 2001:db8:1::2
}

start_internet() {   # --local: no address of the other family is "no data", not "refused"
  ip netns exec inet dnsmasq --no-hosts --no-resolv --bind-interfaces --listen-address=203.0.113.53 \
    --pid-file= --keep-in-foreground --user=root --local=/linuxcontainers.org/ --local=/test/ \
    --address=/images.linuxcontainers.org/203.0.113.80 --address=/example.test/203.0.113.10 &
  mkdir -p /run/bed/www/cgi-bin
  echo "hello from the internet" > /run/bed/www/index.html
  # shellcheck disable=SC2016
  printf '%s\n' '#!/bin/sh' 'printf "Content-Type: text/plain\r\n\r\n"; echo "$REMOTE_ADDR"' > /run/bed/www/cgi-bin/ip
  chmod 755 /run/bed/www/cgi-bin/ip
  ip netns exec inet "$(static_busybox)" httpd -f -p 203.0.113.10:80 -h /run/bed/www &
  [ "$IMAGES" = 0 ] || ip netns exec inet python3 "$BED/image-server" /run/bed/images/tree 203.0.113.80 443 \
    /run/bed/images/server.crt /run/bed/images/server.key > /run/bed/images.log 2>&1 &
}

start_lxcfs() {
  mkdir -p /var/lib/lxcfs
  lxcfs -f /var/lib/lxcfs > /run/bed/lxcfs.log 2>&1 &
}

vm_devices() {   # a /dev of one's own, with the devices that incusd looks for
  local at=/run/bed/dev sub
  mkdir -p $at && mount -t tmpfs tmpfs $at && mkdir $at/upper $at/work $at/merged
  mount -t overlay -o lowerdir=/dev,upperdir=$at/upper,workdir=$at/work overlay $at/merged
  for sub in pts shm mqueue hugepages; do
    ! mountpoint -q /dev/$sub || mount --rbind /dev/$sub $at/merged/$sub
  done
  mount --rbind $at/merged /dev
  [ -e /dev/kvm ] || : > /dev/kvm
  [ -e /dev/vhost-vsock ] || { : > /dev/vhost-vsock; "$VM_PARTS/vsock-device" /dev/vhost-vsock; }
}

# Writes /run/bed/start-incusd, which `restart` uses too. AppArmor profiles are kernel-wide and named after the
# instance, so a bed must never load one. lxcfs' own part of LXC's configuration waits half a second at each stop.
prepare_incusd() {
  local lxc_config=/usr/share/lxc/config path=$PATH daemon=$DAEMON firmware=
  if [ "$VM" = 1 ]; then
    path=$VM_PARTS/bin:$PATH daemon="$VM_PARTS/vsock-shim $DAEMON" firmware=INCUS_EDK2_PATH=$VM_PARTS/firmware
  fi
  if [ "$LXCFS" = 0 ]; then
    mkdir -p /run/bed/lxc/common.conf.d
    cp $lxc_config/*.conf /run/bed/lxc/ 2>/dev/null
    lxc_config=/run/bed/lxc
  fi
  cat > /run/bed/start-incusd <<-START
	#!/bin/bash
	for procs in /sys/fs/cgroup/*/cgroup.procs; do echo \$\$ > \$procs; done 2>/dev/null
	setsid env -i PATH="$path" LANG=C.UTF-8 TMPDIR=/run/bed/tmp INCUS_SKIP_INSTANCE_TYPES=1 \\
	  INCUS_SECURITY_APPARMOR=false INCUS_LXC_TEMPLATE_CONFIG=$lxc_config $firmware $daemon \\
	  --group root --logfile /var/log/incus/incusd.log </dev/null >> /run/bed/incusd.out 2>&1 &
	echo \$! > /run/bed/incusd.pid
	START
  chmod 755 /run/bed/start-incusd
}
