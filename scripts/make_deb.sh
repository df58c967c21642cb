#!/bin/sh
# Makes dist/streamd_VERSION_ARCHITECTURE.deb of this checkout, for the Debian whose python3 has the version of the
# Python that is named (default: .venv/bin/python): its environment lies in /usr/lib/streamd and uses that python3.
#
#   scripts/make_deb.sh [PYTHON]
#
# An environment is three things: a link to the interpreter, pyvenv.cfg, and the packages. They are put in place here,
# because `python -m venv` would write the paths of the machine that builds into it.
set -eu
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}

minor=$("$python" -c 'import sys; print(sys.version_info.minor)')
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' streamd/__init__.py)
architecture=$(dpkg --print-architecture)
deb=dist/streamd_${version}_$architecture.deb
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
home=$tree/usr/lib/streamd
packages=$home/lib/python3.$minor/site-packages

mkdir -p "$packages" "$home/bin" "$tree/usr/bin" "$tree/DEBIAN" dist
"$python" -m pip --disable-pip-version-check --quiet install --no-compile --target "$packages" \
    --constraint constraints.txt ".[cpu,metrics]"
rm -rf "$packages/bin"
# Against the hash of the source, not its time: the folder can't be written where it is used.
"$python" -m compileall -q -s "$tree" -p / --invalidation-mode unchecked-hash "$packages"

ln -s "/usr/bin/python3.$minor" "$home/bin/python"
cat >"$home/pyvenv.cfg" <<END
home = /usr/bin
include-system-site-packages = false
END
cat >"$home/bin/streamd" <<END
#!/usr/lib/streamd/bin/python -I
import sys

from streamd.cli import main

sys.exit(main())
END
chmod 755 "$home/bin/streamd"
ln -s ../lib/streamd/bin/streamd "$tree/usr/bin/streamd"

install -D -m 644 -t "$tree/usr/lib/systemd/system" systemd/*.service
install -D -m 644 -t "$tree/usr/lib/systemd/user" systemd/user/*.service
install -D -m 644 systemd/streamd.sysusers "$tree/usr/lib/sysusers.d/streamd.conf"
install -D -m 644 systemd/streamd.tmpfiles "$tree/usr/lib/tmpfiles.d/streamd.conf"
install -D -m 644 -t "$tree/usr/share/streamd/drop-ins" systemd/drop-ins/*.conf
ln -s "../../lib/streamd/lib/python3.$minor/site-packages/streamd/demo/demo.flac" "$tree/usr/share/streamd/demo.flac"
install -D -m 644 -t "$tree/usr/share/doc/streamd" docs/*.md docs/*.json docs/*.yaml SECURITY.md PRIVACY.md
sed -i -e 's#\.\./streamd/demo/demo\.flac#/usr/share/streamd/demo.flac#' -e 's#(\.\./\(SECURITY\|PRIVACY\)\.md#(\1.md#g' \
    "$tree"/usr/share/doc/streamd/*.md "$tree/usr/share/doc/streamd/streamd.example.yaml"
cat LICENSE NOTICE >"$tree/usr/share/doc/streamd/copyright"

for script in postinst prerm postrm; do
    install -m 755 "systemd/debian/$script" "$tree/DEBIAN/$script"
done
cat >"$tree/DEBIAN/control" <<END
Package: streamd
Version: $version
Architecture: $architecture
Maintainer: The streamd maintainers <streamd@localhost>
Section: sound
Priority: optional
Depends: python3 (>= 3.$minor), python3 (<< 3.$((minor + 1))), libportaudio2, systemd
Installed-Size: $(du -sk "$tree/usr" | cut -f 1)
Description: hears sounds in live audio with a neural network and tells any program
 A daemon that listens to microphones around the clock, and says over ZeroMQ what it hears, and when. Units for systemd
 come with it.
END
# zstd: a tenth of the time that xz takes, for a tenth more bytes.
dpkg-deb --root-owner-group -Zzstd -z3 --build "$tree" "$deb" >/dev/null
echo "$deb"
