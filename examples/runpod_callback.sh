#!/bin/sh
# A job on a RunPod endpoint whose result goes to a callback. No REST server is needed.
#
#   RUNPOD_API_KEY=... RUNPOD_ENDPOINT_ID=... CALLBACK_TOKEN=... sh runpod_callback.sh VIDEO_URL CALLBACK_URL
#
# RunPod answers with the job's id, which the callback has as `job_id`. The callback is signed with
# FRAMEPACK_WEBHOOK_SECRET of the endpoint, has the token as `Authorization: Bearer`, and is tried for three days, unlike
# RunPod's own `webhook`. Only jobs whose worker could not answer at all, such as those over the endpoint's execution
# timeout, have none: ask for those once in a while, for 30 minutes after their end.
set -eu

api=${RUNPOD_ENDPOINT_BASE_URL:-https://api.runpod.ai/v2}

curl -sS --fail-with-body "$api/$RUNPOD_ENDPOINT_ID/run" \
  -H "Authorization: Bearer $RUNPOD_API_KEY" -H 'Content-Type: application/json' --data-binary @- <<JOB
{
  "input": {
    "endpoint": "filters",
    "preset": "cinematic",
    "video_url": "$1",
    "callback_url": "$2",
    "callback_token": "$CALLBACK_TOKEN"
  }
}
JOB
echo

# How the job is, without a callback:
#   curl -sS "$api/$RUNPOD_ENDPOINT_ID/status/JOB_ID" -H "Authorization: Bearer $RUNPOD_API_KEY"
