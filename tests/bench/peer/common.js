// What both programs of the peer share: its settings, its pools, its exchange.
//
// This is the API with fan-out that people write by hand without pgfanout: express, pg and amqplib,
// used as their manuals recommend, with everything that makes such a program fast. What it does not
// promise is in docs/benchmarks.md.
'use strict';

const pg = require('pg');

const EXCHANGE = 'products.fanout';
const POOL_SIZE = Number(process.env.POOL_SIZE || 20);

// numeric arrives as text otherwise, and the API would answer "19.99" in quotes.
pg.types.setTypeParser(pg.types.builtins.NUMERIC, Number.parseFloat);

const replicaUrls = [];
for (let n = 1; process.env[`REPLICA_${n}_URL`]; n++) replicaUrls.push(process.env[`REPLICA_${n}_URL`]);

function openPool(url) {
  const pool = new pg.Pool({ connectionString: url, max: POOL_SIZE, keepAlive: true, connectionTimeoutMillis: 5000 });
  pool.on('error', (e) => console.error(`idle connection: ${e.message}`));
  return pool;
}

// One fanout exchange, a durable queue for each replica: a write is one publish, whatever the
// number of replicas.
async function declare(channel) {
  await channel.assertExchange(EXCHANGE, 'fanout', { durable: true });
  const queues = [];
  for (let n = 1; n <= replicaUrls.length; n++) {
    const { queue } = await channel.assertQueue(`products.replica-${n}`, { durable: true });
    await channel.bindQueue(queue, EXCHANGE, '');
    queues.push(queue);
  }
  return queues;
}

// Calls end on the first signal, and leaves with its outcome.
function stopWith(end) {
  const stop = () => end().then(() => process.exit(0), (e) => {
    console.error(e);
    process.exit(1);
  });
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

module.exports = { EXCHANGE, replicaUrls, openPool, declare, stopWith };
