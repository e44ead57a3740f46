#!/bin/sh
# Make a Chromium available to the browser tests: the system's where there is one, Debian's where
# this user may install packages, else the build that playwright downloads.
# Usage: install_browser.sh PYTHON
set -eu

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then
        echo "Browser tests use $(command -v "$name")."
        exit 0
    fi
done

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    if apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; then
        echo "Browser tests use Debian's chromium, installed just now."
        exit 0
    fi
fi

"$1" -m playwright install chromium || echo "No Chromium could be installed: the browser tests will say so."
