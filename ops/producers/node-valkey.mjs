// Sells the lead on standard input (a JSON object) on Valkey or Redis, and prints its outcome:
//   npm ci --prefix ops/producers
//   node ops/producers/node-valkey.mjs <lead.json
// 0: there is an outcome, whatever its status. Else none came in 30 s, and the same lead may be sent again.
import { readFileSync } from 'node:fs';
import { createClient } from '@redis/client';

const url = process.env.PINGPOST_BROKER_URL ?? readFileSync('.pingpost/broker-url', 'utf8').trim();
const broker = await createClient({ url }).connect();

async function sell(lead) {
  const replyTo = `outcome-of:${lead.lead_id}`;
  await broker.lPush('leads', JSON.stringify({ ...lead, reply_to: replyTo }));
  const reply = await broker.brPop(replyTo, 30); // blocks its connection: each sale at a time wants its own
  if (reply === null) throw new Error(`${lead.lead_id}: no outcome in 30 s`);
  return JSON.parse(reply.element);
}

console.log(JSON.stringify(await sell(JSON.parse(readFileSync(0, 'utf8')))));
await broker.close();
