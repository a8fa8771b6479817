"""What the Makefile says of itself: help, the selection of tests, warnings, what is installed.

No server is needed. `make -n` shows the commands that a goal would run.
"""
import os
import re
import subprocess

import pytest

from conftest import BUILD

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
PROGRAMS = ("pgfanout-api", "pgfanout-consumer", "reset-replicas", "pgfanout-migrate")


def make(*args, inherit=False):
    """inherit: with the variables of the make that runs these tests, such as SAN and CC."""
    env = {k: v for k, v in os.environ.items() if inherit or k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(["make", "--no-print-directory", *args], cwd=ROOT, env=env, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


FILE = "tests/integration/test_reset.py"


@pytest.mark.parametrize("given,passed", [
    ("", "tests/integration"),
    ("test_reset.py", FILE),
    (FILE, FILE),
    ("test_reset.py -k 'online or copy'", f"{FILE} -k 'online or copy'"),
    ("test_reset.py::test_x test_verify.py", f"{FILE}::test_x tests/integration/test_verify.py"),
    ("-k online", "tests/integration -k online"),
    ("tests/faults", "tests/faults"),
])
@pytest.mark.parametrize("goal", ["test", "test-integration"])
def test_what_t_selects(goal, given, passed):
    lines = [l for l in make("-n", "V=1", goal, f"T={given}").splitlines() if "-m pytest" in l]
    arguments = [l.partition(" -q ")[2].split() for l in lines]
    assert passed.split() in arguments
    # With T all that `make test` starts servers for is what T names.
    assert goal != "test" or not given or len([a for a in arguments if a == ["tests/faults"]]) <= (
        given == "tests/faults")


def test_help_names_the_goals_there_are():
    text = make("help")
    named = set(re.findall(r"\bmake ([a-z][a-z0-9-]*)", text)) | set(
        re.findall(r"\b((?:test|bench|format)-[a-z0-9-]+)\b", text))
    with open(os.path.join(ROOT, "Makefile")) as f:
        phony = {goal for line in re.findall(r"^\.PHONY: (.*)$", f.read(), re.M) for goal in line.split()}
    assert phony - {"all", "force", "help"} <= named, "goals that help leaves out"
    assert named <= phony | {"bench-reads"}, "help names what is no goal"


@pytest.mark.parametrize("goals,strict", [
    (["all"], False), (["install"], False), (["test-unit"], True), (["lint"], True), (["test"], True),
    (["all", "WERROR=1"], True), (["test-unit", "WERROR=0"], False),
])
def test_warnings_are_errors_only_in_tests_and_checks(tmp_path, goals, strict):
    # B: a folder that was never built, so that nothing is up to date.
    compilations = [l for l in make("-n", "V=1", f"B={tmp_path}/b", *goals).splitlines() if " -MMD " in l]
    assert compilations
    assert {" -Werror " in l for l in compilations} == {strict}


def test_a_folder_that_was_built_strictly_stays_so(tmp_path):
    """Otherwise `make` after `make test` would build all again, or let a new warning pass."""
    (tmp_path / "flags").write_text("gcc -Wall -Werror\n")
    assert " -Werror " in make("-n", "V=1", f"B={tmp_path}", "all")


def test_installed_pages_lead_to_installed_pages(tmp_path):
    make("install", f"DESTDIR={tmp_path}", "PREFIX=/usr", inherit=True)
    docs = tmp_path / "usr/share/doc/pgfanout"
    pages = sorted(docs.rglob("*.md"))
    assert docs / "README.md" in pages and docs / "CHANGELOG.md" in pages and len(pages) >= 9
    broken = []
    for page in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            path, _, anchor = target.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            aim = (page.parent / path) if path else page
            if not aim.is_file():
                broken.append(f"{page.name}: {target}")
            elif anchor and anchor not in anchors(aim.read_text()):
                broken.append(f"{page.name}: {target}: no such heading")
    assert not broken
    for name in PROGRAMS:
        assert os.access(tmp_path / "usr/bin" / name, os.X_OK)
    make("uninstall", f"DESTDIR={tmp_path}", "PREFIX=/usr")
    assert not [p for p in tmp_path.rglob("*") if not p.is_dir()] and not docs.exists()


def anchors(text):
    """As GitHub and Debian's viewers make them from headings."""
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in re.findall(r"^#+ (.+)$", text, re.M)}


def needed(path):
    """The shared libraries that an ELF file names itself."""
    listing = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"\(NEEDED\).*\[(lib\w+)\.so", listing))


def test_every_library_that_the_build_demands_is_used():
    with open(os.path.join(ROOT, "Makefile")) as f:
        packages = re.search(r"^PACKAGES := (.*)$", f.read(), re.M).group(1).split()
    used = set.union(*(needed(os.path.join(BUILD, name)) for name in PROGRAMS))
    demanded = {p if p.startswith("lib") else f"lib{p}" for p in packages}
    assert demanded <= used, "demanded by the build, linked by no program"
    with open(os.path.join(ROOT, "Dockerfile")) as f:
        image = set(re.findall(r"\b(lib[a-z]+?)-?\d+(?:t64)?\b", f.read()))
    assert demanded <= image, "the image lacks a library"
