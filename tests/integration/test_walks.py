"""The walks of docs/from-prisma.md and docs/from-triggers.md: applications as people have them, tables and all."""
from conftest import SLOWNESS, wait_until
from test_tables import REPLICAS, wait_equal

BLOG = """
    CREATE TABLE "User" (id serial PRIMARY KEY, name text, email text NOT NULL);
    CREATE UNIQUE INDEX "User_email_key" ON "User" (email);
    CREATE TABLE "Category" (id serial PRIMARY KEY, name text NOT NULL UNIQUE);
    CREATE TABLE "Post" (id serial PRIMARY KEY, title text NOT NULL, content text, published boolean NOT NULL DEFAULT false,
        "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
        "userId" integer NOT NULL REFERENCES "User" ON UPDATE CASCADE ON DELETE RESTRICT,
        "categoryId" integer REFERENCES "Category" ON UPDATE CASCADE ON DELETE SET NULL);
    CREATE INDEX "Post_userId_idx" ON "Post" ("userId");
    CREATE TABLE "Comment" (id serial PRIMARY KEY, content text NOT NULL,
        "userId" integer NOT NULL REFERENCES "User" ON UPDATE CASCADE ON DELETE CASCADE,
        "postId" integer NOT NULL REFERENCES "Post" ON UPDATE CASCADE ON DELETE CASCADE);
    INSERT INTO "User" (name, email) VALUES ('Ada', 'ada@example.org'), ('Grace', 'grace@example.org');
    INSERT INTO "Category" (name) VALUES ('News'), ('Notes');
    INSERT INTO "Post" (title, "userId", "categoryId") VALUES ('Hello', 1, 1), ('World', 2, 2);
    INSERT INTO "Comment" (content, "userId", "postId") VALUES ('First!', 2, 1), ('Thanks', 1, 1), ('Nice', 1, 2);
"""
BLOG_COLUMNS = {
    '"User"': ("id", "name", "email"), '"Category"': ("id", "name"),
    '"Post"': ("id", "title", "content", "published", '"createdAt"', '"userId"', '"categoryId"'),
    '"Comment"': ("id", "content", '"userId"', '"postId"'),
}


def test_the_tables_of_a_prisma_application(stack):
    """Names with capitals, references, a table that is added later."""
    stack.start_api()
    stack.start_consumer()
    stack.psql("primary", BLOG + "".join(f"SELECT pgfanout.add_table('{t}');" for t in BLOG_COLUMNS))

    def equal(tables):
        for table, columns in tables.items():
            wait_equal(stack, table, columns, 30)
    equal(BLOG_COLUMNS)
    for db in REPLICAS:
        assert {name for name, in stack.sql(db, "select indexname from pg_indexes where indexname ~ '_key|_idx'")} >= {
            "User_email_key", "Category_name_key", "Post_userId_idx"}
        assert stack.sql(db, "select count(*) from pg_index where indisunique and not indisprimary and indrelid = '\"User\"'::regclass") == [(0,)]
    stack.psql("primary", """
        INSERT INTO "User" (name, email) VALUES ('Alan', 'alan@example.org');
        UPDATE "User" SET email = 'ada@example.com' WHERE id = 1;
        UPDATE "Post" SET published = true, title = 'Hello again' WHERE id = 1;
        DELETE FROM "Category" WHERE name = 'News'; -- SET NULL
        DELETE FROM "Post" WHERE id = 2;            -- CASCADE
        UPDATE "User" SET id = 30 WHERE id = 2;     -- CASCADE
        BEGIN; INSERT INTO "Post" (title, "userId") VALUES ('Never', 1); ROLLBACK;
    """)
    equal(BLOG_COLUMNS)
    later = {'"Tag"': ("id", "name"), '"_PostToTag"': ('"A"', '"B"')}
    stack.psql("primary", """
        BEGIN;
        CREATE TABLE "Tag" (id serial PRIMARY KEY, name text NOT NULL UNIQUE);
        CREATE TABLE "_PostToTag" ("A" integer NOT NULL REFERENCES "Post" ON DELETE CASCADE,
            "B" integer NOT NULL REFERENCES "Tag" ON DELETE CASCADE);
        CREATE UNIQUE INDEX "_PostToTag_AB_unique" ON "_PostToTag" ("A", "B");
        INSERT INTO "Tag" (name) VALUES ('sql'), ('c');
        INSERT INTO "_PostToTag" VALUES (1, 1), (1, 2);
        SELECT pgfanout.add_table('"Tag"');
        SELECT pgfanout.add_table('"_PostToTag"', key => '_PostToTag_AB_unique');
        COMMIT;
        DELETE FROM "Tag" WHERE name = 'c';
    """)
    equal({**BLOG_COLUMNS, **later})
    assert stack.sql("replica-2", 'select "A", "B" from "_PostToTag"') == [(1, 1)]
    for db in REPLICAS:
        assert stack.sql(db, "select count(*) from pgfanout.dead_letters") == [(0,)]


USERS = """
    CREATE TABLE users (
        user_id    serial PRIMARY KEY,
        name       varchar(100) NOT NULL,
        email      varchar(255) UNIQUE,
        created_at timestamp DEFAULT CURRENT_TIMESTAMP,
        updated_at timestamp DEFAULT CURRENT_TIMESTAMP);
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.updated_at := clock_timestamp();
        RETURN NEW;
    END $$;
    CREATE TRIGGER users_touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();
    INSERT INTO users (name, email) SELECT 'User ' || i, i || '@example.org' FROM generate_series(1, 5) i;
    SELECT pgfanout.add_table('users');
"""
USERS_COLUMNS = ("user_id", "name", "email", "created_at", "updated_at")


def test_the_table_of_a_trigger_and_poll_sync(stack):
    """The table keeps its own trigger; /status of the consumer says what such a sync's does."""
    stack.start_api()
    consumer = stack.start_consumer()
    stack.psql("primary", USERS)
    wait_equal(stack, "users", USERS_COLUMNS, 30)

    def status():
        replicas = stack.get("/status", base=consumer.base).json()["data"]["replicas"]
        return {r["name"]: next(s for s in r["streams"] if s["stream"] == "tables") for r in replicas}
    before = status()
    stack.psql("primary", """
        INSERT INTO users (name, email) VALUES ('Ada', 'ada@example.org'), ('Grace', 'grace@example.org');
        UPDATE users SET name = 'Ada Lovelace' WHERE email = 'ada@example.org';
        DELETE FROM users WHERE user_id <= 2;""")
    wait_equal(stack, "users", USERS_COLUMNS)
    assert stack.sql("replica-1", "select updated_at > created_at from users where name = 'Ada Lovelace'") == [(True,)]

    def counted():
        for name, now in status().items():
            # One of Ada's two changes may have been merged into the other.
            assert now["records_replicated"] - before[name]["records_replicated"] in (4, 5), now
            assert now["last_lsn"] > (before[name]["last_lsn"] or 0) and now["last_sync_time"] is not None
            assert now["error_count"] == 0 and now["last_error"] is None and now["is_running"] is True
        return True
    wait_until(counted, 20 * SLOWNESS, "the counters")
    # What goes wrong is said where it does, and only there.
    stack.replicas[0].stop("immediate")
    wait_until(lambda: status()["replica-1"]["is_running"] is False and status()["replica-1"]["last_error"], 30 * SLOWNESS, "the error")
    stack.psql("primary", "INSERT INTO users (name) VALUES ('Meanwhile')")
    wait_until(lambda: stack.sql("replica-2", "select count(*) from users where name = 'Meanwhile'") == [(1,)], 20 * SLOWNESS, "the other one")
    assert status()["replica-2"]["error_count"] == 0
    stack.replicas[0].start()
    wait_equal(stack, "users", USERS_COLUMNS, 60)
    wait_until(lambda: status()["replica-1"]["is_running"] is True, 20 * SLOWNESS, "it runs again")
