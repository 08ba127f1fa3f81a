#!/bin/sh
# Sells the lead on standard input (a JSON object) with Debian's amqp-tools, and prints its outcome:
#   sh ops/producers/amqp.sh <lead.json
# 0: there is an outcome, whatever its status. 124: none came in 30 s, and the same lead may be sent again.
set -eu
url=${PINGPOST_BROKER_URL:-$(cat .pingpost/broker-url)}
url=${url%/} url=${url%/} # to these tools the default virtual host has no name

amqp-declare-queue -u "$url" -q leads -d >/dev/null
replies=$(amqp-declare-queue -u "$url" -q '')
trap 'amqp-delete-queue -u "$url" -q "$replies" >/dev/null' EXIT
amqp-publish -u "$url" -r leads -p -C application/json -t "$replies"
outcome=$(timeout 30 amqp-consume -u "$url" -q "$replies" -c 1 cat)
printf '%s\n' "$outcome"
