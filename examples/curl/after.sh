#!/bin/sh
# Runs a workflow on ComfyUI, waits until it is done, and saves the pictures. Needs curl and jq.
set -eu

SERVER="http://127.0.0.1:8187"

# Core nodes without a model, so that any ComfyUI can run it.
WORKFLOW='{
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 3829413}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "example"}}
}'

submitted=$(curl -fsS -H "Content-Type: application/json" -d "{\"prompt\": $WORKFLOW}" "$SERVER/prompt")
id=$(printf '%s' "$submitted" | jq -r .prompt_id)

history='{}'
while [ "$history" = '{}' ]; do
    sleep 1
    history=$(curl -fsS "$SERVER/history/$id")
done

printf '%s' "$history" | jq -r --arg id "$id" '.[$id].status.status_str'
printf '%s' "$history" | jq -r --arg id "$id" '.[$id].outputs[].images[]? | .filename, .subfolder, .type' |
    while read -r filename && read -r subfolder && read -r type; do
        curl -fsS -G -o "$filename" -d "type=$type" --data-urlencode "subfolder=$subfolder" \
            --data-urlencode "filename=$filename" "$SERVER/view"
        echo "$filename: $(($(wc -c <"$filename"))) bytes"
    done
