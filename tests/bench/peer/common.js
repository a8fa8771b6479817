// What the programs of the peer share: its settings, its pools, its exchange, and how an API is served.
//
// api.js and consumer.js are the API with fan-out that people write by hand without pgfanout: express,
// pg and amqplib, used as their manuals recommend, with everything that makes such a program fast. What
// it does not promise is in docs/benchmarks.md. rest.js only reads.
'use strict';

const cluster = require('node:cluster');
const express = require('express');
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

function openApp() {
  const app = express();
  // Neither is of use to an API, and an ETag costs a hash of every answer.
  app.disable('x-powered-by');
  app.set('etag', false);
  app.get('/health', (req, res) => res.json({ success: true }));
  return app;
}

// Serves an app that has all its routes until the first signal, then calls end.
function serve(app, end) {
  // express knows an error handler by its four parameters.
  app.use((error, req, res, next) => {
    const status = error.status || 503;
    if (status === 503) console.error(error);
    res.status(status).json({ success: false, error: status === 503 ? 'not possible now' : error.message });
  });
  const server = app.listen(Number(process.env.PORT), process.env.HOST);
  server.keepAliveTimeout = 60000;
  stopWith(async () => {
    server.close();
    server.closeAllConnections();
    await end();
  });
}

function supervise(workers) {
  for (let n = 0; n < workers; n++) cluster.fork();
  let stopping = false;
  cluster.on('exit', (worker, code) => {
    if (!stopping) process.exit(code || 1);
  });
  stopWith(async () => {
    stopping = true;
    const ended = Object.values(cluster.workers).map((worker) => new Promise((resolve) => worker.once('exit', resolve)));
    for (const worker of Object.values(cluster.workers)) worker.kill('SIGTERM');
    await Promise.all(ended);
  });
}

// Calls main in this process, or in each of WORKERS processes that share the port.
function run(main) {
  const workers = Number(process.env.WORKERS || 1);
  if (cluster.isPrimary && workers > 1) {
    supervise(workers);
  } else {
    main().catch((error) => {
      console.error(error);
      process.exit(1);
    });
  }
}

module.exports = { EXCHANGE, POOL_SIZE, replicaUrls, openPool, declare, stopWith, openApp, serve, run };
