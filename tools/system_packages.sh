#!/bin/sh
# Installs packages of the system, after it has said so. First argument: what they are for; the others:
# their names in Debian and Ubuntu.
set -eu
purpose=$1
shift
if ! command -v apt-get >/dev/null; then
    echo "Missing on this system: $*, for $purpose. Install what has these names in Debian by the" >&2
    echo "package manager of this system (macOS: brew), and run make again." >&2
    exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "For $purpose, run as root: apt-get install $*" >&2
        exit 1
    fi
    as_root=sudo
fi
echo "Installing packages of the system${as_root:+ by sudo}, for $purpose: $*" >&2
$as_root apt-get update -qq
# `env`, as sudo removes the variables of its caller.
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
