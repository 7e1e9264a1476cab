// Posts what happens in this assistant to its webhook gateway. Written by `openclaw init --assistant`.

const GATEWAY = process.env.OPENCLAW_WEBHOOKS_GATEWAY || "http://127.0.0.1:8791";
const TOKEN = process.env.OPENCLAW_ADMIN_TOKEN;

// Channels that the gateway receives itself, "channel" or "channel:account" -> its inbound webhook.
const INBOUND = {};

const TRIES = 3;
const TIMEOUT_MS = 2000; // an assistant that shuts down waits 5 s
const SESSIONS = 10000; // sessions that are remembered

function request(path, options = {}) {
  const headers = TOKEN ? { authorization: `Bearer ${TOKEN}` } : {};
  if (options.body) headers["content-type"] = "application/json";
  return fetch(GATEWAY + path, { ...options, headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
}

async function publish(event, last = TRIES) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const answer = await request("/v1/events", { method: "POST", body: JSON.stringify(event) });
      if (answer.ok) return;
      throw new Error(`the gateway answered ${answer.status}: ${await answer.text()}`);
    } catch (error) {
      if (attempt >= last) {
        console.warn(`[webhook-bridge] ${event.event} is not published: ${error.message}`);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 500 * attempt));
    }
  }
}

// A session that a webhook began is named after it, in lower case: the gateway's events tell how it was written.
const sessions = new Map();

async function session(key = "") {
  const at = key.indexOf(":hook:");
  if (at < 0) return key;
  const lower = key.slice(at + ":hook:".length);
  if (!sessions.has(lower)) {
    try {
      const answer = await request("/v1/events?limit=1000");
      const { items } = await answer.json();
      if (sessions.size + items.length > SESSIONS) sessions.clear();
      for (const { data } of items) {
        if (data?.sessionId) sessions.set(data.sessionId.toLowerCase(), data.sessionId);
      }
    } catch (error) {
      console.warn(`[webhook-bridge] the session's name is not known: ${error.message}`);
    }
  }
  return sessions.get(lower) ?? lower;
}

function inbound({ channelId, accountId }) {
  return INBOUND[`${channelId}:${accountId}`] ?? INBOUND[channelId];
}

async function message(event) {
  const { context } = event;
  const { metadata = {} } = context;
  const sent = event.action === "sent";
  const name = !sent ? "message.received" : context.success === false ? "message.error" : "message.sent";
  const at = context.timestamp ?? event.timestamp?.getTime() ?? Date.now();
  const id = [context.channelId, context.accountId, context.conversationId, context.messageId ?? at, event.action];
  await publish({
    event: name,
    id: id.map((part) => part ?? "").join(":"),
    timestamp: new Date(at).toISOString(),
    data: {
      channel: inbound(context) ?? context.channelId,
      user: metadata.senderId ?? context.to ?? context.from,
      message: context.content,
      sessionId: await session(event.sessionKey),
      platform: context.channelId,
      messageId: context.messageId,
      userName: metadata.senderUsername ?? metadata.senderName,
      chatId: context.conversationId,
      error: context.error,
    },
  });
}

export default async function handler(event) {
  if (event.type === "message" && (event.action === "sent" || event.action === "received")) {
    // The gateway has received it already.
    if (event.action === "received" && inbound(event.context)) return;
    await message(event);
  } else if (event.type === "gateway" && (event.action === "startup" || event.action === "shutdown")) {
    const name = event.action === "startup" ? "system.started" : "system.stopped";
    const at = event.timestamp ?? new Date();
    const id = `assistant:${event.action}:${at.getTime()}`;
    const data = { component: "assistant" };
    // One try at the end: the assistant does not wait for more.
    await publish({ event: name, id, timestamp: at.toISOString(), data }, event.action === "shutdown" ? 1 : TRIES);
  }
}
