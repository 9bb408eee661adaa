#!/usr/bin/env bash
# Installs the systems that `python -m bench compare` measures beside replog, and builds their load generators.
#
# etcd and ZooKeeper come from Debian's archive, by package name, as Debian ships them; PySyncObj comes with the
# `bench` extra of this project. The load generators are built offline, from Debian's own client libraries: the Go
# client of etcd and the C client of ZooKeeper. Running it again does only what is missing.
#
#   bench/peers/install.sh            install and build (root, for apt-get)
#   bench/peers/install.sh --check    say what is there; exit code 4 if anything is missing
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
build="$here/build"
packages=(
    etcd-server            # the etcd daemon
    golang-go              # compiles the etcd load generator ...
    golang-etcd-server-dev # ... against etcd's own Go client
    zookeeper              # the ZooKeeper server, with a Java runtime
    gcc libc6-dev          # compile the ZooKeeper load generator ...
    libzookeeper-mt-dev    # ... against ZooKeeper's own C client
)

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "error: $1"
    say "next:  $2"
    exit 4
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing_packages() {
    local package
    for package in "${packages[@]}"; do
        is_installed "$package" || printf '%s\n' "$package"
    done
}

# A daemon that Debian's package started would take CPU from every measurement.
stop_new_daemons() {
    [ -d /run/systemd/system ] || return 0
    local unit
    for unit in etcd zookeeper; do
        case " $* " in *" $unit"*) systemctl disable --now "$unit" 2>/dev/null || true ;; esac
    done
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    [ "${#missing[@]}" -gt 0 ] || { say "packages: all there"; return 0; }
    command -v apt-get >/dev/null || fail "no apt-get here, so ${missing[*]} can't be installed." \
        "install them another way, or leave their systems out of --peers."
    [ "$(id -u)" = 0 ] || fail "installing ${missing[*]} needs root." "run this script as root."
    say "packages: installing ${missing[*]}"
    apt-get update -qq || fail "apt-get update failed." "check the sources of apt and the network."
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
        fail "apt-get could not install ${missing[*]}." "read apt's message above."
    stop_new_daemons "${missing[*]}"
}

is_built() { [ -x "$build/$1" ] && [ ! "$here/$2" -nt "$build/$1" ]; }

build_etcd_load() {
    is_built etcd_load etcd_load/main.go && { say "etcd load generator: built"; return 0; }
    say "etcd load generator: compiling"
    # Debian's Go libraries are a GOPATH, not modules; with modules off nothing is ever fetched.
    GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS= go build -o "$build/etcd_load" "$here/etcd_load/main.go" ||
        fail "the etcd load generator does not compile." "read the compiler's message above."
}

build_zookeeper_load() {
    is_built zookeeper_load zookeeper_load/load.c && { say "ZooKeeper load generator: built"; return 0; }
    say "ZooKeeper load generator: compiling"
    gcc -std=gnu11 -O2 -Wall -Wextra -DTHREADED -o "$build/zookeeper_load" "$here/zookeeper_load/load.c" \
        -lzookeeper_mt -lpthread -lm ||
        fail "the ZooKeeper load generator does not compile." "read the compiler's message above."
}

check() {
    local missing=0 package
    for package in $(missing_packages); do
        say "missing: $package"
        missing=1
    done
    is_built etcd_load etcd_load/main.go || { say "not built: etcd load generator"; missing=1; }
    is_built zookeeper_load zookeeper_load/load.c || { say "not built: ZooKeeper load generator"; missing=1; }
    [ "$missing" = 0 ] || fail "not all peers are ready." "run bench/peers/install.sh as root."
    say "all peers are ready"
}

case "${1:-}" in
    --check) check ;;
    "")
        install_packages
        mkdir -p "$build"
        build_etcd_load
        build_zookeeper_load
        check
        ;;
    *) fail "unknown argument: $1" "use no argument, or --check." ;;
esac
