#!/usr/bin/env python3
"""layers.py: who may include whom. `make layers` fails on an include of a higher or the same floor.

1. Project includes are written from the root of the tree.
2. A room may include rooms of lower floors on its own side, and common/. Rooms of one floor do not
   include each other. migrations/ includes only common/; common/ includes neither side.
3. Files do not include each other in a circle, except a module and its _private.h.
4. A _private.h is included only by the files of its module.
5. Each library's headers are included only by the files named here.
6. A function, an object or a struct has one name in the whole tree.

An exception is a line in this file, so that reviewers see it.
"""
import collections
import pathlib
import re
import sys

# From the lowest floor up. Rooms in one string do not include each other.
FLOORS = {
    "common": ["base", "json pg", "settings amqp http", "wire"],
    "api": ["resources/listed", "settings measures primary", "relay pool", "serve", "batch", "products resources", "routes stores", "main"],
    "consumer": ["settings status reset/reset_settings", "reset", "verify apply", "letters failover", "main reset_main"],
    "migrations": ["migrate", "tables", "promote_server", "promotion", "promote_look promote_replicas", "promote", "main"],
}

LIBRARIES = {
    r"(postgresql/)?libpq-fe\.h": r"common/pg/db|consumer/reset/re(set|build)|migrations/",
    r"rabbitmq-c/.*|amqp\w*\.h": r"common/amqp/amqp_private\.h",
    r"microhttpd\.h": r"common/http/http\w*\.c|common/http/http_private\.h",
    r"uuid/uuid\.h": r"common/base/uuid\.c",
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)
GENERATED = re.compile(r"\.(sql|json|html)\.h$|/migrations\.h$")

root = pathlib.Path(__file__).resolve().parent.parent
files = sorted(
    str(p.relative_to(root))
    for side in FLOORS
    for p in (root / side).rglob("*.[ch]")
)
texts = {f: (root / f).read_text() for f in files}
failures = []


def fail(file, what):
    failures.append(f"layers: {file}: {what}")


def floor_of(file):
    """(side, floor, room) of a file; the longest name that fits counts."""
    side, _, rest = file.partition("/")
    stem = rest.rsplit(".", 1)[0]
    best = None
    for number, line in enumerate(FLOORS[side]):
        for room in line.split():
            if (stem == room or stem.startswith(room + "/")) and (
                best is None or len(room) > len(best[2])
            ):
                best = (side, number, room)
    return best


def module(file):
    return file.rsplit(".", 1)[0]


def private_of(header):
    return header[: -len("_private.h")]


graph = collections.defaultdict(set)
for f in files:
    here = floor_of(f)
    if here is None:
        fail(f, "stands on no floor: name its room in tests/layers.py")
        continue
    for quote, target in INCLUDE.findall(texts[f]):
        if quote == "<":
            for library, may in LIBRARIES.items():
                if re.fullmatch(library, target) and not re.match(may, f):
                    fail(f, f"<{target}> may be included by {may} only")
            continue
        if GENERATED.search(target):
            continue
        if target not in texts:
            fail(f, f'"{target}" is not written from the root, or does not exist')
            continue
        there = floor_of(target)
        if there is None:
            continue
        if there[0] != here[0] and there[0] != "common":
            fail(f, f"{here[0]}/ does not include {target}")
        elif there[0] == here[0] and there[2] != here[2] and there[1] >= here[1]:
            fail(f, f"arrow upward to {target}: {here[2]} may not know {there[2]}")
        if target.endswith("_private.h") and not module(f).startswith(private_of(target)):
            fail(f, f"{target} is for {private_of(target)}*.c only")
        if module(target) != module(f):
            graph[module(f)].add(module(target))


def without_private(name):
    return name[: -len("_private")] if name.endswith("_private") else name


def circles():
    """Strongly connected files, a module and its _private.h taken as one (Tarjan)."""
    merged = collections.defaultdict(set)
    for a, targets in graph.items():
        merged[without_private(a)] |= {without_private(b) for b in targets} - {without_private(a)}
    index, low, stack, on_stack = {}, {}, [], set()

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        on_stack.add(v)
        for w in merged[v]:
            if w not in index:
                yield from visit(w)
                low[v] = min(low[v], low[w])
            elif w in on_stack:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            circle = []
            while True:
                w = stack.pop()
                on_stack.discard(w)
                circle.append(w)
                if w == v:
                    break
            if len(circle) > 1:
                yield sorted(circle)

    for v in sorted(merged):
        if v not in index:
            yield from visit(v)


sys.setrecursionlimit(10000)
for circle in circles():
    fail(circle[0], "includes itself in a circle: " + " ".join(circle))

# Names: a definition at the start of a line, as clang-format leaves it. What is static or a macro
# belongs to its file.
DEFINED = re.compile(r"^(?!static|typedef|extern|return|else)[a-z][\w \t*]*?\b(\w+)\([^;{]*\)\n\{", re.M)
STRUCT = re.compile(r"^(struct|enum|union) (\w+) \{", re.M)
names = collections.defaultdict(set)
for f, text in texts.items():
    for name in DEFINED.findall(text):
        if name != "main":
            names[name].add(f)
    if f.endswith(".h"):
        for kind, name in STRUCT.findall(text):
            names[f"{kind} {name}"].add(f)
for name, where in sorted(names.items()):
    if len(where) > 1:
        fail(" ".join(sorted(where)), f"{name} is defined more than once")

print("\n".join(failures), file=sys.stderr, end="\n" if failures else "")
sys.exit(1 if failures else 0)
