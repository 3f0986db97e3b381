#!/bin/sh
# Install a new configuration if it is good: deploy.sh NEW-FILE
set -eu
new=$1
normal=$(mktemp)
trap 'rm -f "$normal"' EXIT

/opt/ugate/bin/twistd -n ugate --config "$new" --check >"$normal"
# What it changes, with every default filled in.
/opt/ugate/bin/twistd -n ugate --config /etc/ugate/ugate.yaml --check | diff - "$normal" || true

install -m 644 "$new" /etc/ugate/ugate.yaml
systemctl restart ugate
