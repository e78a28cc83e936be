#!/bin/sh
# A file and fields from a form, in two requests: the file as a form, then the operation with the upload's address.
#
#   FRAMEPACK_URL=http://localhost:8000 FRAMEPACK_KEY=my-key sh form_upload.sh video.mp4 preset=cinematic
#
# In n8n and Make these are two HTTP request nodes with the header X-API-Key:
#   1. POST /uploads, body "Form-Data", one parameter of the type "n8n Binary File" with the name `file`
#   2. POST /postprocess/filters, query parameters (or a JSON body): video_url = {{ $json.video_url }}, and one for each
#      field. Empty fields count as not given. With `callback_url` = {{ $execution.resumeUrl }}, a Wait node gets the
#      result; otherwise the answer of this node is the result.
set -eu

file=$1
shift
# If the server refuses a request, its answer is shown, which says why.
answer=$(curl -sS --fail-with-body "$FRAMEPACK_URL/uploads" -H "X-API-Key: $FRAMEPACK_KEY" -F "file=@$file") || {
  status=$?
  printf '%s\n' "$answer"
  exit "$status"
}
video_url=$(printf '%s' "$answer" | sed 's/.*"video_url": *"\([^"]*\)".*/\1/')

set -- "video_url=$video_url" "$@"
for field; do
  set -- "$@" --data-urlencode "$field"
  shift
done
# With -G, the fields go into the query.
exec curl -sS --fail-with-body -G -X POST "$FRAMEPACK_URL/postprocess/filters" -H "X-API-Key: $FRAMEPACK_KEY" "$@"
