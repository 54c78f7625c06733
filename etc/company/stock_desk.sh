#!/bin/sh
# An agent in POSIX shell, with nothing but the shell: how many units of a product are in stock.
# Each task is one line of JSON. A line back calls a tool, whose value comes as the next line; a last line is the answer.

number_after() { # the digits that follow $2 in $1, or nothing
    case $1 in *"$2"*) ;; *) return ;; esac
    rest=${1#*"$2"}
    rest=${rest# }
    printf '%s' "${rest%%[!0-9]*}"
}

answer() { # one task
    product=$(number_after "$1" '"product":')
    [ -n "$product" ] || product=$(number_after "$1" 'product ')
    if [ -z "$product" ]; then
        printf '%s\n' '{"refused": "tell me the number of the product, for example “product 17”"}'
        return
    fi
    printf '{"call": "tool", "name": "stock_of", "input": {"product": %s}}\n' "$product"
    IFS= read -r reply
    units=$(number_after "$reply" '"units":')
    places=$(number_after "$reply" '"warehouses":')
    if [ -z "$units" ]; then
        printf '{"refused": "there is no product %s"}\n' "$product"
        return
    fi
    printf '{"text": "%s units of product %s are in stock, in %s warehouses.", ' "$units" "$product" "$places"
    printf '"value": {"product": %s, "units": %s, "warehouses": %s}}\n' "$product" "$units" "$places"
}

while IFS= read -r task; do
    answer "$task"
done
