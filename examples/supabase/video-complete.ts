// A Supabase edge function that receives a callback, keeps the video in Supabase's storage, and deletes it on the server.
//
//     supabase secrets set CALLBACK_TOKEN=... FRAMEPACK_API_URL=https://video.example.com FRAMEPACK_API_KEY=...
//     supabase functions deploy video-complete --no-verify-jwt
//
// Jobs name it and the same token:
//
//     {"video_url": "...", "callback_url": "https://PROJECT.supabase.co/functions/v1/video-complete",
//      "callback_token": "..."}
//
// With the service role key as the token, --no-verify-jwt is not needed. The server tries again for three days until the
// answer is 2xx, so the function may fail at any line: everything it does can be done twice.

interface Callback {
  operation: string;
  job_id: string;
  success: boolean;
  timestamp: string;
  output_url?: string;
  output_filename?: string;
  error?: string | null;
  code?: string;
  metadata: Record<string, unknown> | null;
}

const env = (name: string): string => Deno.env.get(name) ?? "";

const supabase = (path: string, method: string, body: BodyInit, headers: Record<string, string>): Promise<Response> =>
  fetch(`${env("SUPABASE_URL")}${path}`, {
    method,
    body,
    headers: { Authorization: `Bearer ${env("SUPABASE_SERVICE_ROLE_KEY")}`, apikey: env("SUPABASE_SERVICE_ROLE_KEY"), ...headers },
  });

/** Throw if a response is an error, so that the callback comes again. */
async function checked(response: Response, what: string): Promise<Response> {
  if (!response.ok) {
    throw new Error(`${what}: ${response.status} ${await response.text()}`);
  }
  return response;
}

/** Write the job's row. */
async function update(callback: Callback, fields: Record<string, unknown>): Promise<void> {
  const row = JSON.stringify({ ...fields, completed_at: `${callback.timestamp}Z`, metadata: callback.metadata });
  const path = `/rest/v1/videos?job_id=eq.${encodeURIComponent(callback.job_id)}`;
  await checked(await supabase(path, "PATCH", row, { "Content-Type": "application/json" }), "row");
}

/** Copy the result into the bucket `videos`, and return its path there. It is missing if an earlier attempt deleted it. */
async function keep(callback: Callback): Promise<string> {
  const path = `${callback.job_id}/${callback.output_filename}`;
  const answer = await fetch(callback.output_url ?? "");
  if (answer.status === 404) {
    return path;
  }
  const source = await checked(answer, "download");
  const headers = { "Content-Type": source.headers.get("Content-Type") ?? "video/mp4", "x-upsert": "true" };
  await checked(await supabase(`/storage/v1/object/videos/${path}`, "POST", await source.blob(), headers), "storage");
  return path;
}

Deno.serve(async (request: Request): Promise<Response> => {
  if (request.headers.get("Authorization") !== `Bearer ${env("CALLBACK_TOKEN")}`) {
    return new Response("Unauthorized", { status: 401 });
  }
  const callback = (await request.json()) as Callback;
  try {
    if (!callback.success || !callback.output_filename) {
      await update(callback, { status: callback.success ? "completed" : "failed", error: callback.error ?? null });
      return Response.json({ success: true });
    }
    const path = await keep(callback);
    await update(callback, { status: "completed", path });
    // It would also expire by itself, or with POST /system/clear-temp.
    const cleanup = await fetch(`${env("FRAMEPACK_API_URL")}/outputs/${encodeURIComponent(callback.output_filename)}`, {
      method: "DELETE",
      headers: { "X-API-Key": env("FRAMEPACK_API_KEY") },
    });
    return Response.json({ success: true, path, deleted: cleanup.ok });
  } catch (error) {
    console.error(callback.job_id, error);
    return Response.json({ error: String(error) }, { status: 500 });
  }
});
