# `tests/sandbox demo`: shows anklume at work in a bed, from an empty Incus to two domains that cannot reach each other,
# and fails when any step does not do what it should. Sourced by tests/sandbox.
# shellcheck shell=bash

# Environment: ANKLUME (the program; built when not given), INFRA (the file to show; infra.example.yml when not given).
cmd_demo() {
  local repository binary infra
  repository=$(dirname "$(dirname "$SELF")")
  infra=${INFRA:-$repository/infra.example.yml}
  [ -r "$infra" ] || die "there is no $infra"
  binary=${ANKLUME:-}
  [ -n "$binary" ] || binary=$(build_anklume "$repository") || exit 1
  [ -x "$binary" ] || die "there is no program $binary"

  DEMO=demo-$$
  trap 'cmd_down "$DEMO"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  cmd_up "$DEMO" --owner $$ "$@"
  ( enter "$DEMO" sh -c 'mkdir -p /run/bed/demo/bin && cp "$1" /run/bed/demo/infra.yml && cp "$2" /run/bed/demo/bin/anklume' \
    sh "$(readlink -f "$infra")" "$(readlink -f "$binary")" ) || die "the demo's files could not be copied"

  heading "An Incus with nothing in it. What is there to do?"
  shown anklume plan || missed "plan failed"
  heading "Do it."
  shown anklume apply --yes || missed "apply failed"
  heading "What is there now?"
  shown anklume status || missed "status failed"
  show_the_walls
  heading "And nothing is left to do."
  shown anklume plan --detailed-exitcode || missed "the second plan is not empty"
  heading "Each step did what it should."
}

build_anklume() {   # prints the path of a debug build
  echo "sandbox: building anklume" >&2
  ( cd "$1" && cargo build --quiet --message-format=json ) | python3 -c '
import json, sys
programs = [json.loads(line).get("executable") for line in sys.stdin if line.startswith("{")]
programs = [p for p in programs if p and p.endswith("/anklume")]
print(programs[-1]) if programs else sys.exit(1)' || die "cargo build failed"
}

heading() { printf '\n# %s\n' "$*"; }
missed() { echo "demo: $*" >&2; exit 1; }

in_demo() { ( cd / && enter "$DEMO" sh -c 'cd /run/bed/demo && PATH=$PWD/bin:$PATH exec "$@"' sh "$@" </dev/null ); }
shown() { printf '$ %s\n' "$*"; in_demo "$@"; }

# Running containers, one a line: PROJECT INSTANCE ADDRESS. Virtual machines are not asked to ping: they have no agent here.
running_machines() {
  in_demo anklume status --format json | python3 -c '
import json, sys
for domain in json.load(sys.stdin)["domains"]:
    for machine in domain.get("machines", []):
        address = (machine.get("address") or "").split("/")[0]
        if address and machine.get("type") != "vm" and (machine.get("state") or "").lower() == "running":
            print(domain.get("project", domain["name"]), machine.get("instance", machine["name"]), address)'
}

show_the_walls() {   # pings from the first machine: to one of its own domain, and to one of every other domain
  local domain name address from_domain='' from_name='' machine seen='' inside=0 across=0
  local machines=()
  mapfile -t machines < <(running_machines)
  [ ${#machines[@]} -gt 1 ] || missed "status shows fewer than two running machines with an address"
  # a domain with two machines comes first, so that both pings start at the same place
  from_domain=$(printf '%s\n' "${machines[@]}" | awk 'n[$1]++ == 1 {print $1; exit}')
  for machine in "${machines[@]}"; do
    read -r domain name address <<< "$machine"
    : "${from_domain:=$domain}"
    [ "$domain" = "$from_domain" ] && { from_name=$name; break; }
  done
  for machine in "${machines[@]}"; do
    read -r domain name address <<< "$machine"
    [ "$domain/$name" != "$from_domain/$from_name" ] || continue
    case " $seen " in *" $domain "*) continue;; esac
    seen="$seen $domain"
    address_is_up "$domain" "$name" "$address" || missed "$name has not got its address $address"
    if [ "$domain" = "$from_domain" ]; then
      inside=1
      heading "$from_name reaches $name, of its own domain $domain."
      ping_from "$from_domain" "$from_name" "$address" ' 0% packet loss' || missed "$from_name did not reach $name"
    else
      across=1
      heading "$from_name does not reach $name, of the domain $domain."
      ping_from "$from_domain" "$from_name" "$address" '100% packet loss' || missed "$from_name reached $name, or could not even try"
    fi
  done
  [ $across = 1 ] || missed "there is only one domain with running machines"
  [ $inside = 1 ] || missed "no domain has two running machines"
}

address_is_up() {   # address_is_up DOMAIN MACHINE ADDRESS: waits for it, up to 10 s; a ping says nothing before
  local tries
  for ((tries = 0; tries < 50; tries++)); do
    in_demo incus exec "$2" --project "$1" -- ip -4 addr show 2>/dev/null | grep -qF "inet $3/" && return
    sleep 0.2
  done
  return 1
}

ping_from() {   # ping_from DOMAIN MACHINE ADDRESS EXPECTED: pings once, and EXPECTED is in what ping says
  local said
  printf '$ %s\n' "incus exec $2 --project $1 -- ping -c1 -W1 $3"
  said=$(in_demo incus exec "$2" --project "$1" -- ping -c1 -W1 "$3" 2>&1)
  printf '%s\n' "$said"
  case $said in *"$4"*) return 0;; esac
  return 1
}
