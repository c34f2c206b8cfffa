#!/bin/sh
# Publishes an event by curl:
#
#     PUBLISH_KEY=... sh publish.sh http://127.0.0.1:8000/publish orders '{"id": 7}'
#
# The key is passed by a file of headers, as arguments of a command are visible to other users.
set -eu
printf 'authorization: Bearer %s\n' "$PUBLISH_KEY" |
    curl --silent --show-error --fail-with-body --header @- \
        --json "{\"channel\": \"$2\", \"data\": $3}" "$1"
