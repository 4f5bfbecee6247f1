#!/usr/bin/env bash
# Build influxd 2.9.1 from its Go module into DIRECTORY, once: deploy/influxd/build.sh DIRECTORY
# Needs Go, a C compiler and a Rust toolchain (libflux is Rust). Takes 8 to 10 minutes on two cores.
# A finished build is left alone; an interrupted one leaves nothing behind under the final name.
set -euo pipefail

target=${1:?"say where influxd goes: deploy/influxd/build.sh DIRECTORY"}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$target"
target=$(cd "$target" && pwd)
if [ -x "$target/influxd" ]; then
    echo "influxd is built already: $target/influxd"
    exit 0
fi
for tool in go cargo cc; do
    command -v "$tool" >/dev/null || { echo "influxd needs $tool to build; install it and run this again" >&2; exit 69; }
done

work=$(mktemp -d "$target/.build.XXXXXX")
trap 'rm -rf "$work"' EXIT
export GOTOOLCHAIN=local RUSTUP_TOOLCHAIN=stable RUSTC_WRAPPER="$here/cap-lints.sh" CGO_ENABLED=1
cd "$here"
echo "building pkg-config (InfluxData's, which compiles libflux)"
go build -o "$work/bin/pkg-config" github.com/influxdata/pkg-config
echo "building influxd: 8 to 10 minutes on two cores, most of it libflux"
PATH="$work/bin:$PATH" go build -tags sqlite_foreign_keys,sqlite_json -o "$work/influxd" \
    -ldflags "-s -w -X main.version=v2.9.1" github.com/influxdata/influxdb/v2/cmd/influxd
mv "$work/influxd" "$target/influxd"
echo "built $target/influxd"
