#!/usr/bin/env bash
# Make the secrets of docker-compose.yml: random passwords, and the URLs that hold them. Run once; what is there stays.
#   bash ops/docker/make-secrets.sh [FOLDER]
set -euo pipefail

folder=${1:-$(dirname -- "${BASH_SOURCE[0]}")/secrets}
mkdir -p "$folder"
# The folder keeps everyone out; the files in it are readable, since a container's user is not the owner of the files.
chmod 0700 "$folder"
cd "$folder"

made=()
put() { # NAME TEXT
    printf '%s\n' "$2" >"$1"
    chmod 0644 "$1"
    made+=("$1")
}
password() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# Each pair holds one password: both are made, or neither.
pair() { # FILE FILE
    if [[ -e $1 && -e $2 ]]; then
        return 1
    fi
    if [[ -e $1 || -e $2 ]]; then
        echo "make-secrets: of $1 and $2 only one is there: they hold the same password; remove it and start again" >&2
        exit 1
    fi
}

if pair rabbitmq_definitions.json broker_url; then
    word=$(password)
    theirs=$(password)
    # Neither is an administrator. A producer sends to `leads` and `calls`, and reads `outcomes` by queues of its name.
    put rabbitmq_definitions.json "{
  \"vhosts\": [{\"name\": \"/\"}],
  \"users\": [
    {\"name\": \"pingpost\", \"password\": \"$word\", \"tags\": \"\"},
    {\"name\": \"producer\", \"password\": \"$theirs\", \"tags\": \"\"}
  ],
  \"permissions\": [
    {\"user\": \"pingpost\", \"vhost\": \"/\", \"configure\": \".*\", \"write\": \".*\", \"read\": \".*\"},
    {\"user\": \"producer\", \"vhost\": \"/\", \"configure\": \"^(leads|calls|producer\\\\..*)\$\",
     \"write\": \"^(amq\\\\.default|producer\\\\..*)\$\", \"read\": \"^(outcomes|producer\\\\..*)\$\"}
  ]
}"
    put broker_url "amqp://pingpost:$word@rabbitmq:5672//"
    put producer_url "amqp://producer:$theirs@rabbitmq:5672//"
fi
if pair valkey.conf state_url; then
    word=$(password)
    put valkey.conf "requirepass $word"
    put state_url "redis://:$word@valkey:6379/0"
fi
if pair postgres_password ledger_owner_url; then
    word=$(password)
    put postgres_password "$word"
    put ledger_owner_url "postgresql+psycopg://pingpost:$word@postgres:5432/pingpost"
fi
if pair postgres_run_password ledger_url; then
    word=$(password)
    put postgres_run_password "$word"
    put ledger_url "postgresql+psycopg://pingpost_run:$word@postgres:5432/pingpost"
fi
if [[ ! -e flower_basic_auth ]]; then
    put flower_basic_auth "operator:$(password)"
fi
if [[ ! -e buyer_key ]]; then
    put buyer_key test_mode
    echo "make-secrets: buyer_key is test_mode, the buyer's public word for its test mode; put the live key there when you go live"
fi
echo "make-secrets: made ${#made[@]} files${made[*]:+: ${made[*]}}"
