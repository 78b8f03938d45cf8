#!/bin/sh
# Runs a workflow on ComfyUI, waits until it is done, and saves the pictures. Needs curl and jq.
set -eu

SERVER="http://127.0.0.1:8188"

# Core nodes without a model, so that any ComfyUI can run it.
WORKFLOW='{
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 3829413}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "example"}}
}'

submitted=$(curl -fsS -H "Content-Type: application/json" -d "{\"prompt\": $WORKFLOW}" "$SERVER/prompt")
id=$(printf '%s' "$submitted" | jq -r .prompt_id)

status=pending
until [ "$status" = completed ] || [ "$status" = failed ] || [ "$status" = cancelled ]; do
    sleep 1
    job=$(curl -fsS "$SERVER/api/jobs/$id")
    status=$(printf '%s' "$job" | jq -r .status)
done

[ "$status" = completed ] && echo success || echo error
printf '%s' "$job" | jq -r '.outputs // {} | .[].images[]? | .filename, .subfolder, .type' |
    while read -r filename && read -r subfolder && read -r type; do
        curl -fsS -G -o "$filename" -d "type=$type" --data-urlencode "subfolder=$subfolder" \
            --data-urlencode "filename=$filename" "$SERVER/view"
        echo "$filename: $(($(wc -c <"$filename"))) bytes"
    done
