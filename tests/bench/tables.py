"""The tables of the bench: what they look like, and how the n-th row of one is made.

Each table is made alike in the database that pgfanout replicates and in those it is compared with. A
row that was written last, a mark, has a negative n.
"""


def digest(name, columns):
    """A statement whose result is equal where the rows are."""
    return f"select count(*), sum(hashtextextended(row({', '.join(columns)})::text, 0)) from {name};"


class Table:
    """columns: name -> (type, value), the value as an expression of n; where: the condition that
    the key is that of row {n}; change: what an UPDATE sets."""

    def __init__(self, name, key, where, columns, change):
        self.name, self.columns, self.change = name, columns, change
        self.names, self.mark_where = [name], where
        self.ddl = (f"create table {name} ({', '.join(f'{c} {kind}' for c, (kind, _) in columns.items())}, primary key ({key})); "
                    f"create sequence {name}_n start 1000000000;")
        self.digest = digest(name, columns)

    def make(self, server, rows, db):
        server.psql(self.ddl + self.insert(f"generate_series(1, {rows}) as s (n)") + f"vacuum analyze {self.name};", db)

    def insert(self, source):
        return f"insert into {self.name} select {', '.join(value for _, value in self.columns.values())} from {source};"

    def mark(self, n):
        return self.insert(f"(values ({n})) as v (n)")

    def new_row(self):
        """The script of an INSERT, for pgbench."""
        return self.insert(f"nextval('{self.name}_n') as v (n)")

    def changed_row(self, rows):
        """That of an UPDATE of one of the first rows."""
        return f"\\set n random(1, {rows})\nupdate {self.name} set {self.change} where {self.mark_where.format(n=':n::bigint')};"


PRODUCTS = Table("products", "id", "id = md5(({n})::text)::uuid", {
    "id": ("uuid default gen_random_uuid()", "md5(n::text)::uuid"), "name": ("text not null", "'Product number ' || n"),
    "price": ("numeric not null", "round((abs(n) % 100000) / 100.0, 2)"), "stock": ("integer not null", "abs(n) % 500"),
    "created_at": ("timestamptz not null default now()", "now()"), "updated_at": ("timestamptz not null default now()", "now()")},
    "stock = stock + 1, updated_at = now()")

ORDERS = Table("orders", "id", "id = {n}", {
    "id": ("bigint", "n"), "customer": ("text not null", "'Customer number ' || n"),
    "total": ("numeric(12,2) not null", "round((n % 100000) / 100.0, 2)"), "items": ("integer not null", "n % 500"),
    "paid": ("boolean not null", "n % 2 = 0"), "placed_at": ("timestamptz not null", "now()")},
    "items = items + 1, paid = not paid")

# Every kind of type that a table of an application has, some of them NULL.
WIDE = Table("wide", "id", "id = {n}", {
    "id": ("bigint", "n"),
    **{f"number_{i}": ("integer", f"(n % {100 + i})::integer") for i in range(7)},
    **{f"text_{i}": ("text", f"'Text {i} of row number ' || n") for i in range(7)},
    **{f"amount_{i}": ("numeric(12,2)", f"round((n % 100000) / {10 + i}.0, 2)") for i in range(4)},
    **{f"at_{i}": ("timestamptz", f"now() - interval '{i} days'") for i in range(4)},
    **{f"flag_{i}": ("boolean", f"n % {2 + i} = 0") for i in range(3)},
    "day": ("date", "current_date"), "token": ("uuid", "md5(n::text)::uuid"), "attributes": ("jsonb", "jsonb_build_object('row', n, 'tags', '{}')"),
    "nothing": ("text", "null")},
    "number_0 = number_0 + 1, amount_0 = amount_0 + 1, at_0 = now()")

ARTICLES = Table("articles", "tenant, code", "tenant = 'tenant-' || ({n}) % 1000 and code = 'article-' || ({n})", {
    "tenant": ("text", "'tenant-' || n % 1000"), "code": ("text", "'article-' || n"), "title": ("text not null", "'Article number ' || n"),
    "price": ("numeric(12,2) not null", "round((n % 100000) / 100.0, 2)"), "stock": ("integer not null", "abs(n) % 500"),
    "seen_at": ("timestamptz not null", "now()")},
    "stock = stock + 1, seen_at = now()")
