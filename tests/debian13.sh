#!/bin/sh
# debian13.sh: builds and tests the tree in a Debian 13, whatever Debian runs this. Needs root and
# debootstrap.
#
# The system is made once, in DEBIAN13_ROOT (build-debian13), and kept; the tree is copied into it at
# each run. In it, as README.md says: make deps, make, make demo, then unit tests, integration tests and
# the short faults: with its own PostgreSQL 17 and RabbitMQ 4.0, and with PostgreSQL 15 as primary,
# and as replicas. T selects integration tests, as in make test; then no faults.
#
# Mounts and processes live in namespaces of their own: they end with this script, however it ends,
# and `rm -r build` never reaches a mounted /dev.
set -eu

cd "$(dirname "$0")/.."
root=${DEBIAN13_ROOT:-$PWD/build-debian13}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null 2>&1; then
	echo "test-debian13: must be root, and needs the package debootstrap" >&2
	exit 1
fi
if [ "${1-}" != inside ]; then
	exec unshare --mount --pid --fork --kill-child --mount-proc "$0" inside
fi
# The first process of a namespace ignores what it does not catch.
trap 'exit 1' INT TERM

# ---- the system ----

if [ ! -e "$root/etc/pgfanout-made" ]; then
	rm -rf "$root"
	mkdir -p "$root"
	debootstrap --variant=minbase --include=make,ca-certificates trixie "$root" "$mirror"
	touch "$root/etc/pgfanout-made"
fi
# PostgreSQL 15 comes from Debian 12; nothing else does that Debian 13 has too.
echo "deb $mirror bookworm main" >"$root/etc/apt/sources.list.d/bookworm.list"
printf 'Package: *\nPin: release n=bookworm\nPin-Priority: 100\n' >"$root/etc/apt/preferences.d/bookworm"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
apt-config dump | grep -i '^Acquire::.*Proxy' >"$root/etc/apt/apt.conf.d/80proxy" || :

# The tree as it is, committed or not.
rm -rf "$root/src" "$root"/tmp/*
mkdir "$root/src"
tar -c --exclude=./.git --exclude='./build*' --exclude=__pycache__ -f - . | tar -x -f - -C "$root/src"

# ---- the run ----

cat >"$root/src/build-and-test.sh" <<'SCRIPT'
set -eu
cd /src
step() { echo; echo "== $*"; "$@"; }
tests_with() {
	step env POSTGRES_VERSIONS="$1" make test-integration
	test -n "${T-}" || step env POSTGRES_VERSIONS="$1" make test-faults-short test-positions-short \
		test-failovers-short SEED="${SEED:-1}"
}

step make deps
step tests/deps.sh mixed
step make -j "$(nproc)"
step env DEMO=once make demo
step make test-unit layers check-docs
tests_with ''
tests_with 'primary=15'
tests_with 'replica=15'
SCRIPT

mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
# Not exec: as number 1 this shell ends whatever a step has left behind.
chroot "$root" env -i HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 T="${T-}" SEED="${SEED-}" \
	PATH=/usr/sbin:/usr/bin:/sbin:/bin sh /src/build-and-test.sh
