#!/usr/bin/env bash
# system.sh SET...: install the missing Debian or Ubuntu packages of each set (window, screen, browser, or the name of a
# package), as root or with a sudo that needs no password. Otherwise, print what to install, and fail.
set -euo pipefail

# Libraries that Qt and OpenGL load at run time, and that the wheels of PyQt6 do not contain.
window="libgl1 libgl1-mesa-dri libegl1 libglib2.0-0 libfontconfig1 libdbus-1-3 libxkbcommon-x11-0 libx11-xcb1
    libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0
    libxcb-sync1 libxcb-xfixes0 libxcb-xkb1"
# A virtual display.
screen="xvfb xauth"
# For the tests of Neuroglancer's client.
browser="chromium"

command -v dpkg-query >/dev/null || exit 0 # not Debian: the user installs the packages

installed() {
    [ "$1" = chromium ] && { command -v chromium || command -v google-chrome; } >/dev/null && return 0
    # Later releases add t64 to the names of some libraries. dpkg-query fails when it does not know one of the names.
    { dpkg-query -W -f '${db:Status-Status}\n' "$1" "$1t64" 2>/dev/null || true; } | grep -qx installed
}

missing=()
for set in "$@"; do
    case $set in
        window) packages=$window ;;
        screen) packages=$screen ;;
        browser) packages=$browser ;;
        *) packages=$set ;;
    esac
    for package in $packages; do
        installed "$package" || missing+=("$package")
    done
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=(env)
elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n env)
else
    echo "Some Debian packages are missing, and only root can install them. Ask your administrator to run" \
        "'apt-get install ${missing[*]}', then run this command again." >&2
    exit 1
fi
echo "Installing Debian packages: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" \
    </dev/null >/dev/null
