#!/bin/bash
# Health of a container that runs `ledger serve`: ready, by HTTP, without a client program in the image.
set -euo pipefail
exec 3<>"/dev/tcp/127.0.0.1/${LEDGER_LISTEN##*:}"
printf 'GET /health/ready HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
IFS=' ' read -r -t 4 _ status _ <&3
[[ $status == 200 ]]
