# Sourced by the scripts beside it: finds Python, makes the venv, installs what the caller names. Prints only when it works.
# Nothing here needs root; what does (Debian packages) is in need_debian, which says the command when it may not run it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$here"
venv=${EDGE_VENV:-$here/.venv}
unset PYTHONDONTWRITEBYTECODE  # tests start the programs some hundred times: a second of compiling each time, where this is set
python=
case "${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}" in zh*) zh=1 ;; *) zh= ;; esac
say() { if [ -n "$zh" ]; then printf '%s\n' "$1" >&2; else printf '%s\n' "$2" >&2; fi; }

# may_root WHY: whether this user may become root. sudo may ask for its password, but only a sudoer at a terminal.
may_root() {
  [ "$(id -u)" = 0 ] && return 0
  command -v sudo >/dev/null || return 1
  sudo -n true 2>/dev/null || { [ -t 0 ] && id -nG | grep -qw sudo && sudo -p "sudo ($1): " -v; }
}
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# find_python: sets $python to a Python this project runs on.
find_python() {
  for python in "${EDGE_PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    [ -n "$python" ] && "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && return 0
  done
  python=
  return 1
}

# venv_sound: the venv is there, was made at this path (not moved or copied), and its Python still has its packages.
venv_sound() { [ -x "$venv/bin/python" ] && "$venv/bin/pip" --version 2>/dev/null | grep -qF "$(cd "$venv" && pwd -P)/"; }

# has PACKAGE: whether what this Debian package brings is here, from wherever it came.
has() {
  case $1 in
    python3) venv_sound || find_python ;;
    python3-venv) venv_sound || { find_python && "$python" -c 'import ensurepip, venv' 2>/dev/null; } ;;
    dbus) has dbus-daemon ;;
    fuse3) has fusermount3 ;;
    e2fsprogs) has mke2fs ;;
    iproute2) has ip ;;
    qemu-system-arm) has qemu-system-aarch64 ;;
    qemu-system-x86) has qemu-system-x86_64 ;;
    qemu-utils) has qemu-img ;;
    postgresql) compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ;;
    *) PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null ;;
  esac
}

# need_debian PACKAGE...: install those that are missing, or say in one line what to run.
need_debian() {
  local missing=() package
  for package in "$@"; do has "$package" || missing+=("$package"); done
  [ ${#missing[@]} = 0 ] && return 0
  if may_root "apt-get install ${missing[*]}"; then
    say "安装系统软件包: ${missing[*]} ..." "Installing Debian packages: ${missing[*]} ..."
    as_root apt-get update -qq >/dev/null || true  # an old list may still do
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null || true
  fi
  for package in "${missing[@]}"; do
    has "$package" && continue
    say "缺少系统软件包, 请先执行: sudo apt-get install -y ${missing[*]}" \
        "Debian packages are missing. Run first: sudo apt-get install -y ${missing[*]}"
    exit 69
  done
}

# need_python WHAT...: a venv with this project (editable) and the named pip arguments. Installs only what is new: another
# pyproject.toml, another Python, another place.
need_python() {
  local want stamp=$venv/.edge-stamp log
  if [ -x "$venv/bin/python" ]; then
    want="$(cksum <pyproject.toml) $("$venv/bin/python" -V 2>&1) $here"
    [ -f "$stamp" ] && grep -qxF -- "$want $*" "$stamp" && return 0
  fi
  need_debian python3 python3-venv
  [ ! -e "$venv" ] || [ -w "$venv" ] || { say "对 $venv 没有写权限 (属于其他用户)" "$venv belongs to another user and cannot be written"; exit 77; }
  say "准备 Python 环境 (首次约一分钟) ..." "Preparing the Python environment (about a minute, the first time) ..."
  # --clear touches nothing but a venv: one that was moved, half made, or whose Python the system replaced.
  if ! venv_sound; then
    [ ! -e "$venv" ] || [ -f "$venv/pyvenv.cfg" ] || { say "$venv 不是 Python 虚拟环境, 请先移走" "$venv is no Python venv. Move it away first"; exit 69; }
    find_python
    "$python" -m venv --clear "$venv"
  fi
  want="$(cksum <pyproject.toml) $("$venv/bin/python" -V 2>&1) $here"
  log=$venv/.pip.log
  # --group came with pip 25.1, and Debian 12 has 23.0.
  if ! { case " $* " in *" --group "*) pip_quietly --upgrade 'pip>=25.1' ;; esac && pip_quietly "$@"; } >"$log" 2>&1; then
    cat "$log" >&2
    say "安装 Python 软件包失败, 请检查网络后重试" "Installing the Python packages failed. Check the network and run this again"
    exit 69
  fi
  { [ ! -f "$stamp" ] || grep -F -- "$want " "$stamp" || true; } >"$stamp.new"
  printf '%s\n' "$want $*" >>"$stamp.new"
  mv "$stamp.new" "$stamp"
}

# --no-compile: most of these modules are never imported, and those that are compile themselves once.
pip_quietly() { "$venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check "$@"; }
