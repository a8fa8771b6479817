"""Sessions are as the programs need them, whatever the server, the database's settings, the role or a
pooler in between prefer; and a database whose rows they could not see or read whole is refused.
"""
import re
import subprocess
from urllib.parse import quote

import pytest

from harness.servers import PgBouncer, pgbouncer_program, wait_until

DATABASES = ("primary", "replica-1", "replica-2")
UNREACHABLE, SCHEMA, RUNTIME = 3, 4, 6

# Each of them once broke a statement, a comparison or the way a time is written.
STRANGE = {
    "timezone": "'Asia/Tokyo'", "datestyle": "'SQL, DMY'", "intervalstyle": "'iso_8601'",
    "extra_float_digits": "0", "bytea_output": "escape", "standard_conforming_strings": "off",
    "quote_all_identifiers": "on", "default_transaction_isolation": "'repeatable read'",
    "default_transaction_deferrable": "on", "row_security": "on", "lock_timeout": "'300ms'",
    "synchronous_commit": "off", "plan_cache_mode": "force_custom_plan",
    "log_parameter_max_length_on_error": "100",
}
# 3 April, or 4 March?
OLD = ("insert into products (id, name, price, stock, created_at, updated_at) values "
       "(gen_random_uuid(), 'old', 12.3400, 3, '2024-03-04 05:06:07.000008Z', "
       "'2024-04-03 05:06:07Z')")


@pytest.fixture
def pooler(stack_servers, tmp_path_factory):
    """Starts a PgBouncer in front of each database; returns their settings for a stack."""
    started = []

    def start(stack, **settings):
        urls = {}
        for name in DATABASES:
            server = stack_servers.by_name[name]
            bouncer = PgBouncer(f"bouncer-{stack.database}-{name}", stack_servers.folder, server,
                                settings)
            started.append(bouncer.start())
            key = "DATABASE_URL" if name == "primary" else f"REPLICA_{name[-1]}_URL"
            urls[key] = bouncer.url(stack.database)
        return urls

    yield start
    for bouncer in started:
        bouncer.discard()


def make_strange(stack):
    for name in DATABASES:
        for setting, value in STRANGE.items():
            stack.psql(name, f'alter database "{stack.database}" set {setting} = {value}')


@pytest.mark.parametrize("way", ["direct", "pooler-drops-options", "pooler-refuses-options"])
def test_a_whole_life(bare_stack, pooler, way):
    stack = bare_stack
    make_strange(stack)
    if way == "pooler-drops-options":
        stack.env.update(pooler(stack))
    elif way == "pooler-refuses-options":
        stack.env.update(pooler(stack, ignore_startup_parameters=""))
    stack.migrate()
    stack.psql("primary", OLD)
    done = stack.reset("--yes")
    assert done.returncode == 0, done.stderr
    stack.start_api()
    stack.start_consumer()
    made = stack.create("through the API", "19.99")
    stack.psql("primary", "update products set price = price / 3 where name = 'old'")
    stack.wait_converged()
    assert stack.get(f"/api/products/{made['id']}").json()["data"] == made
    done = stack.reset("--verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stack.reset("--yes").returncode == 0
    assert stack.reset("--verify").returncode == 0
    assert stack.delete(f"/api/products/{made['id']}").status_code == 200
    stack.wait_converged()


@pytest.mark.parametrize("options", [
    "-c search_path=shop", "-e -csearch_path=shop -c log_connections=off", "--search-path=shop",
    "  -c  search_path=shop,\\ public"])
def test_settings_of_the_connection_string_hold_behind_a_pooler(bare_stack, pooler, options):
    """`options` is dropped on the way, so the schema would be another one."""
    stack = bare_stack
    if options.startswith("-e"):
        version = subprocess.run([pgbouncer_program(), "--version"], check=True, text=True,
                                 stdout=subprocess.PIPE).stdout
        if tuple(int(n) for n in re.findall(r"\d+", version)[:2]) >= (1, 20):
            pytest.skip("this PgBouncer takes `options` apart, and refuses -e")
    urls = {key: url + "?options=" + quote(options) for key, url in pooler(stack).items()}
    for name in DATABASES:
        stack.psql(name, "create schema shop")
    assert stack.run("pgfanout-migrate", "up", **urls).returncode == 0
    for name in DATABASES:
        assert stack.sql(name, "select to_regclass('shop.products') is not null, "
                         "to_regclass('public.products') is null") == [(True, True)]


def make_database(stack, name, encoding):
    """The stack's database of that server made anew with another encoding."""
    server = stack.servers.by_name[name]
    server.drop_database(stack.database)
    server.psql(f'create database "{stack.database}" encoding \'{encoding}\' locale \'C\' '
                'template template0', "postgres")


@pytest.mark.parametrize("name, encoding", [("replica-1", "LATIN1"), ("primary", "SQL_ASCII")])
def test_another_encoding_is_refused_by_every_program(bare_stack, name, encoding):
    stack = bare_stack
    stack.migrate()
    make_database(stack, name, encoding)
    complaint = f"its encoding is {encoding}, and must be UTF8"
    for done in (stack.run("pgfanout-migrate", "up"), stack.reset("--yes"),
                 stack.reset("--verify")):
        assert done.returncode == SCHEMA and complaint in done.stderr, done.stderr
    assert stack.sql(name, "select to_regclass('products')") == [(None,)]
    if name == "primary":
        done = stack.run("pgfanout-api")
        assert done.returncode == SCHEMA and complaint in done.stderr
        return
    stack.start_api()
    stack.start_consumer()

    def said(base, where):
        return [r for r in stack.get("/status", base=base).json()["data"]["replicas"]
                if r["name"] == name and complaint in str(r.get(where))]

    wait_until(lambda: said(stack.apis[0].base, "reason"), 20, "the API's words")
    wait_until(lambda: said(stack.programs[-1].base, "lastError"), 20, "the consumer's words")


# ---- row security ----

OWNER = "sessions_owner"


@pytest.fixture
def owned(stack):
    """The primary's tables belong to a role that row security applies to; its URL is the stack's."""
    stack.psql("primary", f"""
        create role {OWNER} login password 'password';
        grant {OWNER} to current_user;
        grant all on schema public to {OWNER};
        do $$ declare r record; begin
            for r in select c.oid::regclass as name, relkind from pg_class c
                where relnamespace in ('public'::regnamespace, 'pgfanout'::regnamespace)
                    and relkind in ('r', 'S') and not exists (select from pg_depend d
                        where d.objid = c.oid and d.deptype = 'i')
            loop execute format('alter %s %s owner to {OWNER}',
                case r.relkind when 'r' then 'table' else 'sequence' end, r.name); end loop;
            for r in select oid::regprocedure as name from pg_proc
                where pronamespace in ('public'::regnamespace, 'pgfanout'::regnamespace)
            loop execute format('alter function %s owner to {OWNER}', r.name); end loop;
        end $$;
        grant execute on function pg_control_system() to {OWNER};
        alter schema pgfanout owner to {OWNER};
        insert into products (id, name, price, stock) values
            (gen_random_uuid(), 'shown', 1, 1), (gen_random_uuid(), 'hidden', 1, 500);""")
    stack.env["DATABASE_URL"] = stack.env["DATABASE_URL"].replace("//user:", f"//{OWNER}:")
    yield stack
    stack.psql("primary", f"reassign owned by {OWNER} to current_user; drop owned by {OWNER}; "
               f"drop role {OWNER};")


HIDE = ("create policy shown on products using (stock < 100); "
        "alter table products enable row level security, force row level security;")


def test_row_security_hides_nothing_silently(owned):
    stack = owned
    assert stack.reset("--yes").returncode == 0
    stack.psql("primary", HIDE)
    before = stack.rows("replica-1")
    assert len(before) == 2
    for arguments in (("--yes",), ("--verify",)):
        done = stack.reset(*arguments)
        assert done.returncode not in (0, 1)
        assert re.search("row.level security", done.stderr), done.stderr
    assert stack.rows("replica-1") == before
    done = stack.run("pgfanout-migrate", "up")
    assert done.returncode == RUNTIME and f"hides rows of it from {OWNER}" in done.stderr, done.stderr
    stack.start_api(wait=False)
    wait_until(lambda: "row level security" in stack.get("/status").json()["data"]["primary"]
               .get("reason", ""), 20, "the API's words")
    stack.psql("primary", "alter table products no force row level security")
    wait_until(lambda: stack.get("/status").json()["data"]["primary"]["state"] == "serving", 20,
               "the API to serve")
    assert stack.reset("--yes").returncode == 0
    assert stack.rows("replica-1") == before
