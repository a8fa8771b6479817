// The peer's consumer: applies each message of a replica's queue to that replica, up to 100 at the
// same time.
//
// One statement for each message, acknowledged after it is committed. Messages of one product may
// overtake each other in the pool; the state with the older time is ignored. If an update overtakes
// a delete, the product comes back: this program does not prevent that.
'use strict';

const http = require('node:http');
const amqp = require('amqplib');
const { replicaUrls, openPool, declare, stopWith } = require('./common');

const PREFETCH = Number(process.env.PREFETCH || 100);
const SYNC = {
  name: 'sync',
  text: `INSERT INTO products (id, name, price, stock, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, price = excluded.price, stock = excluded.stock,
           created_at = excluded.created_at, updated_at = excluded.updated_at
         WHERE products.updated_at <= excluded.updated_at`,
};
const REMOVE = { name: 'remove', text: 'DELETE FROM products WHERE id = $1' };

function apply(pool, message) {
  const p = JSON.parse(message.content);
  if (message.properties.type === 'delete') return pool.query(REMOVE, [p.id]);
  return pool.query(SYNC, [p.id, p.name, p.price, p.stock, p.created_at, p.updated_at]);
}

// applied[n] counts replica n's messages, for whoever asks /health.
async function consume(connection, queue, pool, applied, n) {
  const channel = await connection.createChannel();
  await channel.prefetch(PREFETCH);
  const { consumerTag } = await channel.consume(queue, async (message) => {
    if (!message) return process.exit(1); // the queue was deleted
    try {
      await apply(pool, message);
      channel.ack(message);
      applied[n]++;
    } catch (error) {
      console.error(error);
      setTimeout(() => channel.nack(message), 1000);
    }
  });
  return () => channel.cancel(consumerTag);
}

async function main() {
  const pools = replicaUrls.map(openPool);
  const applied = pools.map(() => 0);
  const connection = await amqp.connect(process.env.RABBITMQ_URL);
  const channel = await connection.createChannel();
  const queues = await declare(channel);
  await channel.close();
  const cancels = await Promise.all(queues.map((queue, n) => consume(connection, queue, pools[n], applied, n)));

  const server = http.createServer((req, res) => {
    res.setHeader('Content-Type', 'application/json');
    res.end(JSON.stringify({ success: true, applied }));
  });
  server.listen(Number(process.env.CONSUMER_PORT), process.env.HOST);

  stopWith(async () => {
    server.close();
    server.closeAllConnections();
    await Promise.all(cancels.map((cancel) => cancel()));
    await connection.close(); // what is under way comes again
    await Promise.all(pools.map((pool) => pool.end()));
  });
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
