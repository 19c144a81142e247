#!/usr/bin/env bash
# What the Makefile needs from the machine.
#
#   deploy/parts.sh venv      make .venv and install weizhan into it (editable, exact versions)
#   deploy/parts.sh missing   name the Debian packages of the real parts the tests use and do not find
#   deploy/parts.sh install   install those as root on Debian, else name them; never leaves a service running
#   deploy/parts.sh tests     every test, the kill -9 campaigns beside the others; with arguments: pytest with them
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin"

say() { printf '%s\n' "$*" >&2; }

# Package -> how to see that it is there. By probe, not by package name, so that other systems work too.
probe() {
  case "$1" in
    mosquitto)          command -v mosquitto && command -v mosquitto_passwd ;;
    mosquitto-clients)  command -v mosquitto_pub && command -v mosquitto_sub ;;
    influxdb)           command -v influxd ;;
    victoria-metrics)   command -v victoria-metrics ;;
    gcc)                command -v gcc ;;
    libc6-dev)          [ -e /usr/include/stdio.h ] ;;
    pkg-config)         command -v pkg-config ;;
    libmodbus-dev)      pkg-config --exists libmodbus ;;
    mbpoll)             command -v mbpoll ;;
    gcc-arm-none-eabi)  command -v arm-none-eabi-gcc ;;
    qemu-system-arm)    command -v qemu-system-arm ;;
    chromium)           command -v chromium ;;
    fonts-noto-cjk)     [ -n "$(find /usr/share/fonts -iname 'NotoSansCJK*' -print -quit 2>/dev/null)" ] ;;
  esac >/dev/null 2>&1
}

PARTS=(gcc libc6-dev pkg-config libmodbus-dev mbpoll mosquitto mosquitto-clients influxdb victoria-metrics
  chromium fonts-noto-cjk gcc-arm-none-eabi qemu-system-arm)
# Services these packages bring; the tests start their own copies on free ports.
SERVICES=(mosquitto influxdb victoria-metrics)

missing() {
  local part
  for part in "${PARTS[@]}"; do probe "$part" || printf '%s\n' "$part"; done
}

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ -e /etc/debian_version ]; }

# Start nothing while packages are unpacked (policy-rc.d), and leave no new service enabled for the next boot.
apt_install() {
  local policy=/usr/sbin/policy-rc.d ours="" log was_enabled="" service status=0
  log=$(mktemp)
  for service in "${SERVICES[@]}"; do
    if systemctl is-enabled --quiet "$service" 2>/dev/null; then was_enabled+=" $service "; fi
  done
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && ours=yes
    # An interrupted install must not leave the machine refusing to start services.
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  export DEBIAN_FRONTEND=noninteractive
  {
    say "parts: reading the package lists" &&
      apt-get -qq -o Acquire::Retries=3 update &&
      say "parts: installing $*" &&
      apt-get -qq -y -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 --no-install-recommends install "$@"
  } >"$log" 2> >(tee -a "$log" | grep --line-buffered '^parts: ' >&2) </dev/null || status=$?
  if [ -n "$ours" ]; then rm -f "$policy" && trap - EXIT; fi
  for service in "${SERVICES[@]}"; do
    case " $was_enabled " in *" $service "*) continue ;; esac
    case " $* " in *" $service "*) systemctl disable --quiet "$service" 2>/dev/null || true ;; esac
  done
  if [ "$status" != 0 ]; then
    tail -n 30 "$log" >&2
    say "parts: apt-get: got exit $status installing $*, want 0. Read the lines above; the log is $log."
    return "$status"
  fi
  rm -f "$log"
}

install_parts() {
  local wanted
  mapfile -t wanted < <(missing)
  if [ "${#wanted[@]}" = 0 ]; then return; fi
  if can_install; then
    apt_install "${wanted[@]}"
    mapfile -t wanted < <(missing)
    if [ "${#wanted[@]}" = 0 ]; then return; fi
    say "parts: got no ${wanted[*]} after installing, want all. Install them by hand."
    exit 1
  fi
  say "parts: got no ${wanted[*]}, want all for the whole test. Tests that need them are skipped here."
  say "parts: on Debian: sudo apt-get install --no-install-recommends ${wanted[*]}"
}

find_python() {
  local name
  for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$name"
      return
    fi
  done
  say "setup: got no Python 3.11 or later, want one. Install python3.11 or set PYTHON."
  exit 1
}

make_venv() {
  local python
  if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    say "setup: making .venv with $("$python" --version)"
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
      # Debian splits ensurepip off into python3.X-venv.
      local package
      package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
      if ! can_install; then
        say "setup: $python: got no ensurepip, want it. Run: sudo apt-get install $package"
        exit 1
      fi
      apt_install "$package"
    fi
    "$python" -m venv --clear .venv
  fi
  say "setup: installing weizhan and what it needs (constraints.txt)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
}

# The campaigns are mostly waiting: beside the other tests they cost little. Those share the cores, a file at a time, in the
# order of their folders: many small files come last, so that both cores end together. A test that waits for a browser or
# a process may fail only because others had the machine: what failed is asked once more, alone.
run_tests() {
  local status=0 campaigns=0 python=.venv/bin/python
  if [ $# != 0 ]; then exec "$python" -m pytest "$@"; fi
  # Short, because a Unix socket's path may have 107 bytes.
  scratch=$(mktemp -d /tmp/wz-XXXX)
  "$python" -m pytest -o cache_dir=.pytest_cache/campaigns --basetemp="$scratch/c" -m chaos >"$scratch/log" 2>&1 &
  campaign=$!
  # Not local: the trap runs after this function has returned.
  trap 'kill -INT $campaign 2>/dev/null || true; wait $campaign 2>/dev/null || true; rm -rf "$scratch"' EXIT
  "$python" -m pytest -o cache_dir=.pytest_cache/tests --basetemp="$scratch/t" -m "not chaos" -n 2 --dist loadfile --no-loadscope-reorder || status=$?
  say "tests: waiting for the kill -9 campaigns"
  wait "$campaign" || campaigns=$?
  cat "$scratch/log"
  if [ "$status" = 1 ]; then again tests "not chaos" && status=0; fi
  if [ "$campaigns" = 1 ]; then again campaigns chaos && campaigns=0; fi
  exit $((status != 0 ? status : campaigns))
}

again() {
  say "tests: asking what failed of the $1 once more, alone"
  .venv/bin/python -m pytest -o cache_dir=".pytest_cache/$1" --basetemp="$scratch/again" --last-failed -m "$2"
}

case "${1:-}" in
  venv) make_venv ;;
  missing) missing ;;
  install) install_parts ;;
  tests) shift && run_tests "$@" ;;
  *)
    say "deploy/parts.sh: got '${1:-}', want venv, missing, install or tests."
    exit 2
    ;;
esac
