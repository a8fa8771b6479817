// Posts read with Prisma. Names make pg prepare its statements, and a page is one statement with joins:
// both are faster than what it does unasked.
'use strict';

const { PrismaPg } = require('@prisma/adapter-pg');
const { POOL_SIZE } = require('./common');
const { PrismaClient } = require('./generated');

const names = new Map();
function statementNameGenerator({ sql }) {
  if (!names.has(sql)) names.set(sql, `s${names.size}`);
  return names.get(sql);
}

const pool = { connectionString: process.env.DATABASE_URL, max: POOL_SIZE, keepAlive: true, connectionTimeoutMillis: 5000 };
const prisma = new PrismaClient({ adapter: new PrismaPg(pool, { statementNameGenerator }) });

module.exports = {
  one: (id) => prisma.post.findUnique({ where: { id } }),
  page: (after, limit) => prisma.post.findMany({
    where: { id: { gt: after } },
    orderBy: { id: 'asc' },
    take: limit,
    include: { user: true, comments: true },
    relationLoadStrategy: 'join',
  }),
  end: () => prisma.$disconnect(),
};
