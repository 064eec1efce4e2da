#!/usr/bin/env bash
# Make sure that Debian's (or Ubuntu's) packages of the named sets are there: window, screen, browser, or a package's
# own name. Installs the missing ones as root or with a sudo that asks nothing; else says what to install, and fails.
set -euo pipefail

# What Qt and OpenGL load at run time, and the wheels of PyQt6 do not bring.
window="libgl1 libgl1-mesa-dri libegl1 libglib2.0-0 libfontconfig1 libdbus-1-3 libxkbcommon-x11-0 libx11-xcb1
    libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0
    libxcb-sync1 libxcb-xfixes0 libxcb-xkb1"
# A screen where there is none.
screen="xvfb xauth"
# Neuroglancer's client runs in it.
browser="chromium"

command -v dpkg-query >/dev/null || exit 0 # another system: its user knows better than we do

installed() {
    [ "$1" = chromium ] && { command -v chromium || command -v google-chrome; } >/dev/null && return 0
    # Later releases call some libraries …t64. A name that dpkg never heard of makes it fail, whatever it says of others.
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
    echo "These Debian packages are missing, and installing them takes root: ask for" \
        "'apt-get install ${missing[*]}', then run this again." >&2
    exit 1
fi
echo "Installing Debian packages: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" \
    </dev/null >/dev/null
