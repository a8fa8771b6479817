// A REST API over the tables of a blog, as people write it by hand: it reads posts of one server,
// DATABASE_URL, with what READS names, pg (rest_pg.js) or prisma (rest_prisma.js).
'use strict';

const { openApp, serve, run } = require('./common');

async function main() {
  const posts = require(`./rest_${process.env.READS}`);
  const app = openApp();
  app.param('id', (req, res, next, id) => (/^\d{1,9}$/.test(id) ? next() : res.status(400).json({ success: false, error: 'id is not a number' })));

  app.get('/posts/:id', async (req, res) => {
    const post = await posts.one(Number(req.params.id));
    if (!post) return res.status(404).json({ success: false, error: 'no such post' });
    res.json({ success: true, data: post });
  });

  // A page, each post with its author and its comments.
  app.get('/posts', async (req, res) => {
    const limit = Math.min(Number.parseInt(req.query.limit, 10) || 50, 1000);
    const rows = await posts.page(Number.parseInt(req.query.after, 10) || 0, limit);
    res.json({ success: true, data: rows, next: rows.length === limit ? rows[limit - 1].id : null });
  });

  serve(app, posts.end);
}

run(main);
