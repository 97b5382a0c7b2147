# Gathers the distribution's own packages that make a small guest with a real apt and dpkg: the image debian/13/apt.
# Sourced by tests/sandbox.
# shellcheck shell=bash

# What they ask for and a guest that installs packages without a signature, as root, does not need.
APT_NOT_NEEDED='^(adduser|passwd|debconf|gpgv|sqv|.*-archive-keyring|ubuntu-keyring|libpam.*|libsemanage.*|libsepol.*|libdb5.*|libaudit.*|libcap-ng.*|gcc-.*-base|base-passwd|perl-base|sysvinit-utils|init-system-helpers)$'

ensure_apt_packages() {   # prints the directory with them; fetched once. Fails where they cannot be fetched.
  local dir names=()
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return
  dir=$CACHE/apt-$(sha256sum "$BED/apt.sh" | cut -c1-16)
  if [ ! -d "$dir" ]; then
    exec 8>"$CACHE/.apt-lock"; flock 8
    if [ ! -d "$dir" ]; then
      mapfile -t names < <(apt_names)
      [ ${#names[@]} -gt 5 ] || { apt_retry update -qq >&2; mapfile -t names < <(apt_names); }
      [ ${#names[@]} -gt 5 ] || return
      rm -rf "$dir.new"; mkdir -p "$dir.new"
      ( cd "$dir.new" && apt_retry -o APT::Sandbox::User=root download "${names[@]}" ) || { rm -rf "$dir.new"; return 1; }
      mv "$dir.new" "$dir"
    fi
    exec 8>&-
  fi
  echo "$dir"
}

apt_names() {   # what apt would install on an empty machine
  apt-get -s -qq -o Dir::State::status=/dev/null --no-install-recommends install apt dpkg tar dash 2>/dev/null |
    awk '$1 == "Inst" {print $2}' | grep -vE "$APT_NOT_NEEDED"
}
