// The peer's API: writes to the primary and publishes each change, reads from the replicas in turn.
//
// A write is answered when the row is committed and the broker has confirmed its message. If the
// process dies between the two, the replicas never get the change: such programs have this gap, and
// pgfanout closes it. WORKERS=n runs n processes on one port.
'use strict';

const { randomUUID } = require('node:crypto');
const amqp = require('amqplib');
const express = require('express');
const { EXCHANGE, replicaUrls, openPool, declare, openApp, serve, run } = require('./common');

// A name makes pg prepare the statement once for each connection.
const COLUMNS = 'id, name, price, stock, created_at, updated_at';
const GET = { name: 'get', text: `SELECT ${COLUMNS} FROM products WHERE id = $1` };
const PAGE = { name: 'page', text: `SELECT ${COLUMNS} FROM products WHERE id > $1 ORDER BY id LIMIT $2` };
const CREATE = { name: 'create', text: `INSERT INTO products (id, name, price, stock) VALUES ($1, $2, $3, $4) RETURNING ${COLUMNS}` };
const REMOVE = { name: 'remove', text: 'DELETE FROM products WHERE id = $1' };

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const FIRST = '00000000-0000-0000-0000-000000000000';

function problem(product) {
  if (typeof product?.name !== 'string' || product.name.length < 1 || product.name.length > 200) return 'name';
  if (typeof product.price !== 'number' || product.price < 0) return 'price';
  if (!Number.isInteger(product.stock) || product.stock < 0 || product.stock > 2147483647) return 'stock';
  return null;
}

function routes(primary, replicas, publish) {
  let turn = 0;
  const replica = () => replicas[turn++ % replicas.length];
  const app = openApp();
  app.param('id', (req, res, next, id) => (UUID.test(id) ? next() : res.status(400).json({ success: false, error: 'id is not a UUID' })));

  app.get('/api/products/:id', async (req, res) => {
    const { rows } = await replica().query(GET, [req.params.id]);
    if (!rows.length) return res.status(404).json({ success: false, error: 'no such product' });
    res.json({ success: true, data: rows[0] });
  });

  app.get('/api/products', async (req, res) => {
    const limit = Math.min(Number.parseInt(req.query.limit, 10) || 50, 1000);
    const { rows } = await replica().query(PAGE, [UUID.test(req.query.cursor) ? req.query.cursor : FIRST, limit]);
    res.json({ success: true, data: rows, next: rows.length === limit ? rows[limit - 1].id : null });
  });

  app.post('/api/products', express.json(), async (req, res) => {
    const field = problem(req.body);
    if (field) return res.status(422).json({ success: false, error: `${field} is missing or wrong`, field });
    const { name, price, stock } = req.body;
    const { rows } = await primary.query(CREATE, [randomUUID(), name, price, stock]);
    await publish('sync', rows[0]);
    res.status(201).json({ success: true, data: rows[0] });
  });

  app.delete('/api/products/:id', async (req, res) => {
    const { rowCount } = await primary.query(REMOVE, [req.params.id]);
    if (!rowCount) return res.status(404).json({ success: false, error: 'no such product' });
    await publish('delete', { id: req.params.id });
    res.json({ success: true, data: null });
  });

  return app;
}

async function main() {
  const primary = openPool(process.env.DATABASE_URL);
  const replicas = replicaUrls.map(openPool);
  const connection = await amqp.connect(process.env.RABBITMQ_URL);
  const channel = await connection.createConfirmChannel();
  await declare(channel);

  // Resolves with the broker's confirm.
  const publish = (type, body) => new Promise((resolve, reject) => {
    channel.publish(EXCHANGE, '', Buffer.from(JSON.stringify(body)), { type, persistent: true, contentType: 'application/json' },
      (error) => (error ? reject(error) : resolve()));
  });

  serve(routes(primary, replicas, publish), async () => {
    await connection.close();
    await Promise.all([primary, ...replicas].map((pool) => pool.end()));
  });
}

run(main);
