#!/bin/sh
# deps.sh build|run|test|fuzz|bench|mixed ...: the Debian packages that building, running, testing or
# measuring needs; mixed: a second PostgreSQL, for tests with different versions (Debian 12 has it).
#
# Installs what is missing and nothing else: with everything there it runs neither apt nor sudo
# and needs no network. Packages install without starting a service or making a database cluster;
# services and clusters that the machine already has are left alone.
set -eu

packages() {
	case $1 in
	build)
		echo gcc libc6-dev make pkg-config libpq-dev librabbitmq-dev libmicrohttpd-dev \
			libjansson-dev uuid-dev
		;;
	run)
		# Any server will do, a newer one from PostgreSQL's own archive as well.
		ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo postgresql
		command -v psql >/dev/null 2>&1 || echo postgresql-client
		echo rabbitmq-server python3 curl ca-certificates
		;;
	test)
		echo libcmocka-dev python3-pytest python3-pytest-xdist python3-psycopg2 python3-pika \
			python3-requests python3-jsonschema faketime pgbouncer
		;;
	fuzz)
		echo clang libclang-rt-dev
		;;
	bench)
		echo wrk
		# Node 18 or newer, wherever it comes from.
		command -v node >/dev/null 2>&1 || echo nodejs
		command -v npm >/dev/null 2>&1 || echo npm
		;;
	mixed)
		echo postgresql-15
		;;
	*)
		echo "usage: deps.sh build|run|test|fuzz|bench|mixed ..." >&2
		exit 2
		;;
	esac
}

[ $# -gt 0 ] || set -- build run test
wanted=
for set_name; do
	wanted="$wanted $(packages "$set_name")"
done

if ! command -v dpkg-query >/dev/null 2>&1; then
	echo "deps: not a Debian system; pgfanout needs what these packages hold:$wanted" >&2
	exit 0
fi

missing=
for package in $wanted; do
	case $(dpkg-query -W -f='${db:Status-Status} ' "$package" 2>/dev/null || true) in
	installed\ * | *\ installed\ *) ;;
	*) missing="$missing $package" ;;
	esac
done
# pkg-config is a virtual name where pkgconf has taken its place.
if [ -n "$missing" ] && command -v pkg-config >/dev/null 2>&1; then
	missing=$(printf '%s\n' $missing | grep -vx pkg-config | tr '\n' ' ' || true)
fi
missing=$(echo $missing)
[ -n "$missing" ] || exit 0

echo "deps: installing $missing"
if [ "$(id -u)" = 0 ]; then
	as_root=
elif command -v sudo >/dev/null 2>&1; then
	# Without a terminal there is nobody to type a password.
	if [ -t 0 ]; then as_root=sudo; else as_root='sudo -n'; fi
	if ! $as_root true; then
		echo "deps: sudo refused; as root, run: apt-get install --no-install-recommends $missing" >&2
		exit 1
	fi
else
	echo "deps: neither root nor sudo; as root, run: apt-get install --no-install-recommends $missing" >&2
	exit 1
fi

# One shell as root does it all, so that one trap puts back whatever was laid out.
$as_root sh -eu -s -- $missing <<'ROOT'
policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.d/pgfanout-deps.conf
made=
undo() {
	for path in $made; do
		rm -f "$path"
	done
	rmdir /etc/postgresql-common/createcluster.d 2>/dev/null || :
}
trap undo EXIT
trap 'exit 1' INT TERM HUP

# Debian starts a service as soon as it is installed, unless this script says no. One that is
# there already is the machine's own decision.
if [ ! -e $policy ] && [ ! -L $policy ]; then
	made="$made $policy"
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
fi
mkdir -p /etc/postgresql-common/createcluster.d
if [ ! -e $cluster ]; then
	made="$made $cluster"
	echo 'create_main_cluster = false' >$cluster
fi

export DEBIAN_FRONTEND=noninteractive
# Standard input is this script: apt-get must not eat it.
install() { apt-get install -y -q --no-install-recommends -o Dpkg::Use-Pty=0 "$@" </dev/null; }
# Package lists may be absent or too old; only then is there something to update.
if ! apt-get install -s -q --no-install-recommends "$@" </dev/null >/dev/null 2>&1; then
	apt-get update -q </dev/null
	install "$@"
elif ! install "$@"; then
	apt-get update -q </dev/null
	install "$@"
fi
ROOT
