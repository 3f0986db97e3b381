#!/bin/sh
# Install a new configuration if it is good: deploy.sh NEW-FILE
set -eu
new=$1
normal=$(mktemp)
trap 'rm -f "$normal"' EXIT

/opt/ugate/bin/twistd -n ugate --config "$new" --check >"$normal"
# What it changes, with every default filled in.
/opt/ugate/bin/twistd -n ugate --config /etc/ugate/ugate.yaml --check | diff - "$normal" || true

# In one step, so that nobody reads a half of it.  It is watched; a reload tells at once what came of it.
install -m 644 "$new" /etc/ugate/.ugate.new
mv /etc/ugate/.ugate.new /etc/ugate/ugate.yaml
systemctl reload ugate
