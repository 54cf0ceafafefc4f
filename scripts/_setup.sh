# Sourced by the scripts beside it: finds Python, makes the venv, installs what the caller names. Prints only when it works.
# Nothing here needs root; what does (Debian packages) is in need_debian, which says the command when it may not run it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$here"
venv=${EDGE_VENV:-$here/.venv}
case "${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}" in zh*) zh=1 ;; *) zh= ;; esac
say() { if [ -n "$zh" ]; then printf '%s\n' "$1" >&2; else printf '%s\n' "$2" >&2; fi; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif sudo -n true 2>/dev/null; then sudo "$@"; else return 1; fi
}

# need_debian PACKAGE=PROBE ...: install the packages whose probe (a command on PATH, or /sbin) is missing.
need_debian() {
  local missing=() pair
  for pair in "$@"; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "${pair#*=}" >/dev/null || missing+=("${pair%%=*}")
  done
  [ ${#missing[@]} = 0 ] && return 0
  say "安装系统软件包: ${missing[*]}" "Installing Debian packages: ${missing[*]}"
  if ! { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null; }; then
    say "需要管理员权限, 请先执行: sudo apt-get install -y ${missing[*]}" "This needs root. Run first: sudo apt-get install -y ${missing[*]}"
    exit 69
  fi
}

# need_python WHAT...: a venv with this project (editable) and the named pip arguments, made anew only when pyproject.toml changed.
need_python() {
  local python
  for python in "${EDGE_PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    [ -n "$python" ] && "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && break
    python=
  done
  if [ -z "$python" ]; then
    say "需要 Python 3.11-3.13, 请先执行: sudo apt-get install -y python3 python3-venv" \
        "Python 3.11-3.13 is needed. Run first: sudo apt-get install -y python3 python3-venv"
    exit 69
  fi
  local stamp want
  want="$(cksum < pyproject.toml) $*"
  stamp=$venv/.edge-stamp
  if [ -x "$venv/bin/python" ] && [ -f "$stamp" ] && grep -qxF "$want" "$stamp"; then return 0; fi
  if ! "$python" -c 'import ensurepip' 2>/dev/null; then need_debian "python3-venv=edge-no-such-command"; fi
  say "准备 Python 环境 (首次约一分钟) ..." "Preparing the Python environment (about a minute, the first time) ..."
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' 2>&1 | grep -v '^WARNING' >&2 || true
  if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" 2>"$venv/.pip.log"; then
    cat "$venv/.pip.log" >&2
    say "安装 Python 软件包失败, 请检查网络后重试" "Installing the Python packages failed. Check the network and run this again"
    exit 69
  fi
  printf '%s\n' "$want" >> "$stamp"
}
