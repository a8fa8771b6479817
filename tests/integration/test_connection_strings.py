"""Promise 10: every connection string that libpq takes works, and none shows its password."""
import os

import psycopg2.extensions
import pytest

from conftest import SLOWNESS, wait_until


def quoted(value):
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def escaped(value):
    return "".join("\\" + c if c in " '\\" else c for c in value)


@pytest.mark.parametrize("how", ["service", "quoted", "escaped"])
def test_what_libpq_takes_works(stack, how):
    parts = psycopg2.extensions.parse_dsn(stack.env["DATABASE_URL"])
    user, password = "a 'user", "pass \\word' x"
    stack.sql("primary", 'drop role if exists "a \'user"')
    stack.sql("primary", f"create role \"{user}\" superuser login password %s", password)
    env = {}
    try:
        parts.update(user=user, password=password)
        if how == "service":
            path = os.path.join(stack.folder, "services")
            with open(path, "w", encoding="utf-8") as out:
                out.write("[prod]\n" + "".join(f"{k}={v}\n" for k, v in parts.items()))
            env = {"DATABASE_URL": "service=prod", "PGSERVICEFILE": path}
        else:
            quote = quoted if how == "quoted" else escaped
            env = {"DATABASE_URL": " ".join(f"{k}={quote(v)}" for k, v in parts.items())}
        done = stack.run("pgfanout-api", "--check-config", check=True, **env)
        assert password not in done.stdout and "word" not in done.stdout
        assert ("service=prod" if how == "service" else "user='a \\'user'") in done.stdout
        assert "up to date" in stack.run("pgfanout-migrate", "up", check=True, **env).stdout
        api = stack.start_api(**env)
        stack.create()
        stack.primary.stop("immediate")
        wait_until(lambda: stack.get("/status").json()["data"]["primary"]["state"] == "unreachable",
                   20 * SLOWNESS, "the primary to be missed")
        stack.primary.start()
        assert api.stop() == 0
        assert "word" not in api.log(500)
    finally:
        stack.sql("primary", 'drop role "a \'user"')


@pytest.mark.parametrize("url", [
    "host=127.0.0.1 pasword=hunter2", "host='127.0.0.1 password=hunter2", "postgresql://u:hunter2@h:0/d",
    "postgresql://u:hunter2@h/d?nope=1", "host=h port=abc password=hunter2", "hunter2"])
def test_what_libpq_refuses_is_refused_at_once(stack, url):
    for program in ("pgfanout-api", "pgfanout-consumer", "pgfanout-migrate"):
        for name in ("DATABASE_URL", "REPLICA_1_URL"):
            done = stack.run(program, "--check-config", **{name: url})
            assert done.returncode == 2 and name in done.stderr, done
            assert "hunter2" not in done.stdout + done.stderr
