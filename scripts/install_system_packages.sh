#!/bin/sh
# Installs the Debian packages behind the tests with a microphone, where that is allowed. Where it isn't it says so,
# and the tests that need them are skipped, each with its reason.
set -eu
packages="libportaudio2 pulseaudio pulseaudio-utils libasound2-plugins alsa-utils strace libfaketime debootstrap"

if ! command -v apt-get >/dev/null; then
    echo "set-up: no apt-get here; tests that need one of these Debian packages are skipped: $packages"
    exit 0
fi
missing=""
for package in $packages; do
    if [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
        missing="$missing $package"
    fi
done
if [ -z "$missing" ]; then
    exit 0
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n env DEBIAN_FRONTEND=noninteractive"
else
    echo "set-up: not allowed to install packages; tests that need one of these are skipped:$missing"
    exit 0
fi
echo "set-up: installing$missing"
export DEBIAN_FRONTEND=noninteractive
if ! { $as_root apt-get update -qq && $as_root apt-get install -qq --no-install-recommends $missing; } >/dev/null </dev/null; then
    echo "set-up: apt-get failed (see above); tests that need one of these are skipped:$missing"
fi
