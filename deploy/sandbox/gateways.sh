#!/usr/bin/env bash
# Adds an account at each of the sandbox's five gateways for a merchant, and sets the gateways' webhooks. An existing account
# keeps what an operator changed: a second run sets its address only. The local stack runs this script on the machine, deploy/compose.yaml in khata-api's
# image: it needs bash, sed, and the services' settings in the environment.
set -euo pipefail

usage() {
    echo "usage: gateways.sh MERCHANT SANDBOX-URL API-URL KHATA-API" >&2
    exit 2
}

# In the order of their priority. Every sandbox merchant has the dummy gateway too, which serves calls with gateway_id=100 only.
# Poll intervals and the settling time are short and no limit of calls holds, so that no test waits. The credentials are the sandbox's own, and no
# secrets.
main() {
    add CASHFREE 1 /cashfree/verification '"poll_ms":[0,500,1000,2000,5000],"settle_s":2' \
        '{"client_id":"sandbox_client","client_secret":"sandbox_secret"}'
    add DECENTRO 2 /decentro '"poll_ms":[0,500,1000,2000,5000]' \
        '{"client_id":"decentro_sandbox_client","client_secret":"decentro_sandbox_secret"}'
    add RAZORPAY 3 /razorpay '"poll_ms":[5000],"source_account_number":"7878780080316316"' \
        '{"key_id":"rzp_test_sandbox","key_secret":"sandbox_secret","webhook_secrets":["sandbox_webhook_secret"]}'
    add SETU 4 /setu '"poll_ms":[500,1000,2000,5000]' \
        '{"client_id":"setu-sandbox-client","client_secret":"setu-sandbox-secret","product_instance_id":"setu-sandbox-product-instance",
          "umap":{"merchant_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","token":"setu-sandbox-umap-token"},"webhook_secrets":["SetuSandboxWebhookSecret01"]}'
    add PAYU 5 /payu '"poll_ms":[0,500,1000,2000,5000]' \
        '{"client_id":"payu_sandbox_client","client_secret":"payu_sandbox_secret","payout_merchant_id":"1111126",
          "key":"payu_sandbox_key","salt":"payu_sandbox_salt"}'
    # The poll intervals of Cashfree are so short here that its webhooks would always be late.
    set_webhook_of RAZORPAY
    set_webhook_of SETU
}

declare -A ids

# add NAME PRIORITY PATH SETTINGS CREDENTIALS
add() {
    local name=$1 reply which credentials=(--credentials-file -)
    which=(--merchant "$merchant" --gateway "$name" --reference-id "${name,,}_$merchant" --base-url "$sandbox$3" --json)
    # An account of an earlier run may have another address of the sandbox, or credentials that a new keyring cannot decrypt.
    reply=$("$khata_api" gateway set "${which[@]}" 2>/dev/null) ||
        reply=$("$khata_api" gateway set "${which[@]}" "${credentials[@]}" <<<"$5" 2>/dev/null) ||
        reply=$("$khata_api" gateway add "${which[@]}" "${credentials[@]}" --priority "$2" \
            --settings "{$4,\"call_timeout_ms\":3000,\"calls_per_minute\":0}" <<<"$5")
    ids[$name]=$(sed -n 's/.*"id" *: *"\([^"]*\)".*/\1/p' <<<"$reply")
    [[ -n ${ids[$name]} ]] || fail "khata-api gateway add printed no id"
}

# Sets the webhook of a gateway: the sandbox calls the API when a pending outcome appears.
set_webhook_of() {
    put "$sandbox/_sandbox/webhooks" "{\"gateway\":\"$1\",\"url\":\"$api/gateways/${1,,}/webhooks/${ids[$1]}\"}" ||
        fail "the sandbox did not accept the webhook of $1"
}

# put URL JSON : tries for ten seconds, as a sandbox that starts at the same time may not listen yet.
put() {
    local tries
    for tries in {1..20}; do
        ! put_once "$1" "$2" || return 0
        ((tries == 20)) || sleep 0.5
    done
    return 1
}

# With bash's own connection: the image has no other client.
put_once() (
    [[ $1 =~ ^http://([^:/]+):([0-9]+)(/.*)$ ]] || fail "$1 is not http://HOST:PORT/PATH"
    host=${BASH_REMATCH[1]} port=${BASH_REMATCH[2]} path=${BASH_REMATCH[3]}
    { exec 3<>"/dev/tcp/$host/$port"; } 2>/dev/null || exit 1
    printf 'PUT %s HTTP/1.0\r\nHost: %s:%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' \
        "$path" "$host" "$port" "${#2}" "$2" >&3
    IFS= read -r -t 5 status <&3 || exit 1
    # Reads to the end: a close with unread bytes is a reset, which the sandbox may log as a fault.
    while read -r -t 5 <&3; do :; done
    [[ $status == "HTTP/1."?" 2"* ]]
)

fail() {
    printf 'khata: %s\n' "$*" >&2
    exit 1
}

(($# == 4)) || usage
merchant=$1 sandbox=$2 api=$3 khata_api=$4
export KHATA_ACTOR=${KHATA_ACTOR:-gateways.sh}
main
