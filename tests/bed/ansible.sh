# An Ansible of the tests' own: ansible-core and the collection community.general from PyPI, in a virtual environment.
# Sourced by tests/sandbox.
#
# It is made once, on the machine itself and not in a bed: a bed has no way to PyPI. Beds see it, since /tmp is the host's.
# shellcheck shell=bash

cmd_ansible() {   # prints the directory it is in (bin/, collections/); exit code 77 where PyPI cannot be reached
  ensure_packages
  prepare_root
  local python=/usr/bin/python3 dir code=0
  [ -x $python ] || python=$(command -v python3)
  dir=$CACHE/ansible-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  exec 7>"$ROOT/.ansible.lock"; flock 7     # two tests may want it at once
  [ -e "$dir/complete" ] || make_ansible "$python" "$dir" >&2 || code=$?
  exec 7>&-
  [ $code = 0 ] || exit $code
  echo "$dir"
}

make_ansible() {   # make_ansible PYTHON DIR
  local python=$1 dir=$2
  ensure_venv "$python" || return
  echo "sandbox: installing Ansible from PyPI, once"
  mkdir -p "$CACHE"; rm -rf "$dir"
  "$python" -m venv "$dir" || return
  pip_fetches "$dir" install ansible-core || return
  # The package `ansible` is ansible-core and all collections that there are: one of them is enough.
  pip_fetches "$dir" download --no-deps --dest "$dir/wheel" ansible || return
  "$python" - "$dir" <<-'END' || return
	import glob, sys, zipfile
	wanted = "ansible_collections/community/general/"
	with zipfile.ZipFile(glob.glob(sys.argv[1] + "/wheel/*.whl")[0]) as wheel:
	    names = [name for name in wheel.namelist() if name.startswith(wanted) and "/tests/" not in name]
	    wheel.extractall(sys.argv[1] + "/collections", names)
	END
  rm -rf "$dir/wheel"
  : > "$dir/complete"
}

pip_fetches() {   # pip_fetches DIR WORDS...: 77 where it found no way to PyPI
  local dir=$1 log; shift
  log=$(mktemp) || return
  if "$dir/bin/pip" --disable-pip-version-check --no-input "$1" --only-binary :all: --timeout 30 "${@:2}" >"$log" 2>&1 </dev/null; then
    rm -f "$log"; return
  fi
  if grep -q 'Retrying\|No matching distribution\|ConnectionError\|Temporary failure' "$log"; then
    echo "PyPI cannot be reached: $(grep '^ERROR' "$log" | tail -n 1)"; rm -f "$log"; return 77
  fi
  tail -n 20 "$log"; rm -f "$log"; return 1
}

ensure_venv() {   # Debian keeps what makes virtual environments in a package of its own
  "$1" -c 'import ensurepip, venv' 2>/dev/null && return
  [ "${SANDBOX_NO_INSTALL:-0}" != 1 ] || { echo "python3-venv is missing (SANDBOX_NO_INSTALL=1)"; return 77; }
  exec 8>"$ROOT/.install.lock"; flock 8
  install_packages python3-venv
  exec 8>&-
}
