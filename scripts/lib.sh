# Shared by the scripts: finding the repository, installing what is missing, one way to say things.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# need COMMAND DEBIAN_PACKAGE: makes sure that COMMAND exists. Installs the package where it may (Debian or Ubuntu, as
# root or through sudo without a password prompt), after one line that says so; otherwise names the command to type.
need() {
  local command=$1 package=$2 sudo=""
  command -v "$command" >/dev/null 2>&1 && return 0
  if command -v apt-get >/dev/null 2>&1; then
    if [ "$(id -u)" != 0 ]; then
      if sudo -n true 2>/dev/null; then sudo=sudo; else die "$command is missing; install it with: sudo apt-get install -y $package"; fi
    fi
    say "$command is missing: installing the package $package with apt-get"
    if ! { $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package"; } >/dev/null; then
      die "could not install $package; try: sudo apt-get install -y $package"
    fi
    command -v "$command" >/dev/null 2>&1 || die "$package was installed, but $command is still not found in PATH"
  else
    die "$command is missing; install it with your package manager (Debian's package is called $package)"
  fi
}

# A Rust toolchain new enough, and a C compiler for SQLite and zstd.
need_toolchain() {
  [ -d "$HOME/.cargo/bin" ] && PATH="$PATH:$HOME/.cargo/bin"
  command -v cargo >/dev/null 2>&1 || die "cargo is missing; install Rust from https://rustup.rs, then run this again"
  local want have
  want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
  have=$(rustc --version | cut -d' ' -f2)
  [ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n 1)" = "$want" ] \
    || die "rustc $have is too old, $want or later is needed; run: rustup update stable"
  need cc gcc
}

# Python, and its package for YAML: the only one outside of its standard library that the scripts use.
need_python_yaml() {
  need python3 python3
  python3 -c 'import yaml' 2>/dev/null && return 0
  command -v apt-get >/dev/null 2>&1 || die "Python's package yaml is missing; install it with: python3 -m pip install pyyaml"
  local sudo=""
  if [ "$(id -u)" != 0 ]; then
    if sudo -n true 2>/dev/null; then sudo=sudo; else die "Python's package yaml is missing; install it with: sudo apt-get install -y python3-yaml"; fi
  fi
  say "Python's package yaml is missing: installing python3-yaml with apt-get"
  { $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-yaml; } >/dev/null \
    || die "could not install python3-yaml; try: sudo apt-get install -y python3-yaml"
  # A Python of one's own in front of Debian's does not see Debian's packages.
  python3 -c 'import yaml' 2>/dev/null || die "$(command -v python3) does not see python3-yaml; install it with: python3 -m pip install pyyaml"
}
