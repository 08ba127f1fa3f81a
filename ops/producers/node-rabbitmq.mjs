// Sells the lead on standard input (a JSON object) on RabbitMQ, and prints its outcome:
//   npm ci --prefix ops/producers
//   node ops/producers/node-rabbitmq.mjs <lead.json
// 0: there is an outcome, whatever its status. Else none came in 30 s, and the same lead may be sent again.
import { readFileSync } from 'node:fs';
import amqp from 'amqplib';

const url = process.env.PINGPOST_BROKER_URL ?? readFileSync('.pingpost/broker-url', 'utf8').trim();
const connection = await amqp.connect(url);
const channel = await connection.createConfirmChannel();
await channel.assertQueue('leads'); // durable is amqplib's default

// RabbitMQ's direct reply-to: outcomes come to this channel, and no queue is left behind.
const replyTo = 'amq.rabbitmq.reply-to';
const waiting = new Map();
const hear = ({ content, properties }) => waiting.get(properties.correlationId)?.(JSON.parse(content));
await channel.consume(replyTo, hear, { noAck: true });

async function sell(lead) {
  const correlationId = lead.lead_id;
  const outcome = new Promise((resolve, reject) => {
    waiting.set(correlationId, resolve);
    AbortSignal.timeout(30_000).onabort = () => reject(new Error(`${correlationId}: no outcome in 30 s`));
  });
  const properties = { persistent: true, contentType: 'application/json', replyTo, correlationId };
  channel.sendToQueue('leads', Buffer.from(JSON.stringify(lead)), properties);
  await channel.waitForConfirms();
  return outcome.finally(() => waiting.delete(correlationId));
}

console.log(JSON.stringify(await sell(JSON.parse(readFileSync(0, 'utf8')))));
await connection.close();
