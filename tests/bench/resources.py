"""Parts 20 to 23: any table over HTTP, compared with the same statements by pgbench and psql.

A blog: 10,000 users, 100,000 posts, three comments to each. Reads come from both replicas, pgbench reads
from one: all servers share the machine, so that makes no difference.
"""
import base64

from lab import (DATABASE, REPETITIONS, SCALE, SECONDS, PSQL, best_clients, interleave, pgbench, shell, timed, wrk)

POSTS = int(100_000 * SCALE)
MILLION = int(1_000_000 * SCALE)
RESOURCES = 'users=User, posts=Post, comments=Comment'
BLOG = f"""
    create table "User" (id serial primary key, name text not null, email text not null unique);
    create table "Post" (id serial primary key, title text not null, content text, published boolean not null default false,
        "createdAt" timestamptz not null default now(), "userId" integer not null references "User");
    create table "Comment" (id serial primary key, content text not null, "userId" integer not null references "User",
        "postId" integer not null references "Post");
    create index on "Comment" ("postId");
    insert into "User" (name, email) select 'User number ' || n, 'user' || n || '@example.org' from generate_series(1, {POSTS // 10}) n;
    insert into "Post" (title, content, published, "userId") select 'Post number ' || n, repeat('word ', 20), n % 2 = 0, n % {POSTS // 10} + 1
        from generate_series(1, {POSTS}) n;
    insert into "Comment" (content, "userId", "postId") select 'Comment number ' || n, n % {POSTS // 10} + 1, n % {POSTS} + 1
        from generate_series(1, {3 * POSTS}) n;
    vacuum analyze "User", "Post", "Comment";
"""
POST = 'id, title, content, published, "createdAt", "userId"'
READ_ONE = f"""\\set n random(1, {POSTS})
select row_to_json(r) from (select {POST} from "Post" where id = :n) r;"""
READ_PAGE = f"""\\set n random(1, {POSTS - 100})
select json_agg(row_to_json(r)) from (select {POST},
    (select row_to_json(u) from (select id, name, email from "User" u where u.id = p."userId") u) as users,
    (select coalesce(json_agg(row_to_json(c)), '[]') from (select id, content, "userId", "postId" from "Comment" c
        where c."postId" = p.id order by id limit 100) c) as comments
    from "Post" p where id > :n order by id limit 50) r;"""


class Blog:
    names = ['"User"', '"Post"', '"Comment"']


def blog(l):
    l.primary.psql(BLOG)
    l.register(Blog)
    for replica in l.replicas:
        replica.psql('vacuum analyze "User", "Post", "Comment"')


def cursor_of(n):
    return base64.urlsafe_b64encode(f'["{n}"]'.encode()).decode().rstrip("=")


def reads(l, results):
    blog(l)
    one, page = l.script("read_row", READ_ONE), l.script("read_rows", READ_PAGE)
    with l.running("pgfanout-api", "pgfanout-consumer", RESOURCES=RESOURCES):
        env = l.paths("/api/posts/", range(1, POSTS + 1))
        clients = best_clients(l.replicas[0], one, 2)
        pair = interleave(REPETITIONS, lambda: wrk(l.base, "read.lua", 64, SECONDS, env=env),
                          lambda: pgbench(l.replicas[0], one, clients, SECONDS))
        results.compare(20, f"GET /posts/:id of {POSTS:,} / pgbench SELECT of row_to_json", "1/s", pair, "≥ 1.0", f"pgbench -c {clients}")
        env = l.paths("/api/posts?embed=users,comments&limit=50&cursor=", map(cursor_of, range(1, POSTS - 100, 7)))
        clients = best_clients(l.replicas[0], page, 2)
        pair = interleave(REPETITIONS, lambda: wrk(l.base, "read.lua", 64, SECONDS, env=env),
                          lambda: pgbench(l.replicas[0], page, clients, SECONDS))
        results.compare(21, "page of 50 posts with author and comments / pgbench, one statement", "1/s", pair, "≥ 0.9", f"pgbench -c {clients}")


def writes(l, results):
    """The bare table has no capture, and nothing replicates it."""
    blog(l)
    l.primary.psql("create database bare")
    l.primary.psql(BLOG, "bare")
    insert = l.script("insert_row", f"""\\set n random(1, {POSTS // 10})
insert into "Post" (title, content, "userId") values ('A title', 'Some content', :n) returning {POST};""")
    with l.running("pgfanout-api", "pgfanout-consumer", RESOURCES=RESOURCES):
        clients = best_clients(l.primary, insert, 2, db="bare")
        pair = interleave(REPETITIONS, lambda: wrk(l.base, "write_row.lua", 64, SECONDS),
                          lambda: pgbench(l.primary, insert, clients, SECONDS, db="bare"))
    results.compare(22, "POST /posts / pgbench INSERT into the bare table", "1/s", pair, "≥ 0.9", f"pgbench -c {clients}")


def full_list(l, results):
    l.primary.psql(f"""create table events (id bigint primary key, kind text not null, amount numeric(12,2), at timestamptz not null);
        insert into events select n, 'Kind number ' || n % 100, round(n / 7.0, 2), now() from generate_series(1, {MILLION}) n;
        vacuum analyze events;""")

    class Events:
        names = ["events"]
    l.register(Events)
    for replica in l.replicas:
        replica.psql("vacuum analyze events")
    with l.running("pgfanout-api", "pgfanout-consumer", RESOURCES="events"):
        def ours():
            return MILLION / timed(shell, f"curl -sf {l.base}/api/events | tail -c 100 | grep -q success")

        def theirs():
            query = "copy (select row_to_json(e) from (select id, kind, amount, at from events order by id) e) to stdout"
            return MILLION / timed(shell, f"{PSQL} -d {l.replicas[0].url(DATABASE)} -c '{query}' > /dev/null")
        for f in (ours, ours, theirs):  # the first list of each replica fills its caches
            f()
        pair = interleave(REPETITIONS, ours, theirs)
        rss = l.rss_kb("pgfanout-api")
    results.compare(23, f"list of {MILLION:,} rows streamed / psql copy of json", "rows/s", pair, "≥ 0.8", f"API {rss / 1024:.0f} MB")
