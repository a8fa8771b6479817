# pgfanout: builds, tests, checks, benchmarks and the demo; `make help` lists the targets.
#
# One Makefile for the whole tree. All output goes to build/ (SAN=asan: build-asan/, tsan and fuzz
# likewise), so `rm -r build*` is always safe. V=1 shows the commands.

.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all

SHELL  := /bin/sh
CC     := $(if $(filter default,$(origin CC)),gcc,$(CC))
AR     ?= ar
SAN    ?=
T      ?=
WERROR ?=
PREFIX ?= /usr/local
DESTDIR ?=
PYTHON ?= /usr/bin/python3
PKG_CONFIG ?= pkg-config
CLANG_FORMAT ?= clang-format-14
CLANG_TIDY ?= clang-tidy-14
CPPCHECK ?= cppcheck
MAKEFLAGS += --no-builtin-rules

ifeq ($(filter-out asan tsan fuzz,$(SAN)),)
B := build$(if $(SAN),-$(SAN))
else
$(error SAN is asan, tsan or fuzz, not $(SAN))
endif

VERSION  := $(shell cat VERSION)
PACKAGES := libpq librabbitmq libmicrohttpd jansson uuid

# ---- flags -------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wformat=2 -Wshadow -Wpointer-arith -Wcast-qual -Wwrite-strings \
	-Wundef -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition

# Warnings are errors where the goal is a test or a check, so in CI; not for those who build and
# install with a compiler or library that we have not seen. A folder that was built strictly stays
# so: no rebuild between `make test` and `make`. WERROR=0 or 1 on the command line decides.
strict_goals := test% lint layers check-docs soak fuzz bench%
ifneq ($(filter $(strict_goals),$(MAKECMDGOALS))$(shell grep -l -e -Werror $(B)/flags 2>/dev/null),)
WERROR := 1
endif

harden_  := -O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2
harden_asan := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
harden_tsan := -O1 -fno-omit-frame-pointer -fsanitize=thread
harden_fuzz := $(harden_asan) -fsanitize=fuzzer-no-link
HARDEN   := $(harden_$(SAN))

# No warnings about the libraries' headers.
PKG_CFLAGS := $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(PACKAGES) 2>/dev/null))
PKG_LIBS   := $(shell $(PKG_CONFIG) --libs $(PACKAGES) 2>/dev/null)

CPPFLAGS_ALL := -D_GNU_SOURCE -DPGFANOUT_VERSION='"$(VERSION)"' -I. -I$(B)/gen $(PKG_CFLAGS) $(CPPFLAGS)
CFLAGS_ALL   := -std=c11 -g $(HARDEN) $(WARNINGS) $(if $(filter 1,$(WERROR)),-Werror) -fPIE -pthread $(CFLAGS)
LDFLAGS_ALL  := $(filter -fsanitize=%,$(HARDEN)) -pie -Wl,-z,relro,-z,now,--as-needed -pthread $(LDFLAGS)
LIBS         := $(PKG_LIBS) -lm

ifeq ($(V),1)
say := @:
Q   :=
else
say := @printf '  %-8s %s\n'
Q   := @
endif

# ---- sources -----------------------------------------------------------------------------------

common_src     := $(wildcard common/*/*.c)
api_src        := $(filter-out api/main.c,$(wildcard api/*.c api/*/*.c))
consumer_src   := $(filter-out consumer/main.c consumer/reset_main.c,$(wildcard consumer/*.c consumer/*/*.c))
migrations_src := $(wildcard migrations/*.c)
unit_src       := $(wildcard tests/unit/test_*.c)
fuzz_src       := $(wildcard tests/fuzz/fuzz_*.c)
product_files  := $(wildcard $(foreach side,common api consumer,$(side)/*.[ch] $(side)/*/*.[ch]) migrations/*.[ch])
positions_src  := $(wildcard tests/positions/*.c)
c_files        := $(product_files) $(wildcard tests/unit/*.[ch]) $(fuzz_src) $(wildcard tests/positions/*.[ch])

objects = $(patsubst %.c,$(B)/%.o,$(1))

PROGRAMS := pgfanout-api pgfanout-consumer reset-replicas pgfanout-migrate
programs := $(addprefix $(B)/,$(PROGRAMS))
unit     := $(patsubst tests/unit/%.c,$(B)/unit/%,$(unit_src))
fuzzers  := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(fuzz_src))
archives := $(B)/libapi.a $(B)/libconsumer.a $(B)/libcommon.a

# Files that are embedded in the programs: statements, pages, migrations.
sql_src       := $(wildcard api/*/sql/*.sql consumer/*/sql/*.sql migrations/sql/*.sql)
static_src    := $(wildcard api/*/static/*)
migration_src := $(sort $(wildcard migrations/primary/*.up.sql migrations/primary/*.down.sql \
	migrations/replica/*.up.sql migrations/replica/*.down.sql))
generated     := $(patsubst %,$(B)/gen/%.h,$(sql_src) $(static_src)) $(B)/gen/migrations/migrations.h

# ---- build -------------------------------------------------------------------------------------

.PHONY: all
all: $(programs)

$(B)/pgfanout-api: $(B)/api/main.o $(B)/libapi.a $(B)/libcommon.a
$(B)/pgfanout-consumer: $(B)/consumer/main.o $(B)/libconsumer.a $(B)/libcommon.a
$(B)/reset-replicas: $(B)/consumer/reset_main.o $(B)/libconsumer.a $(B)/libcommon.a
$(B)/pgfanout-migrate: $(call objects,$(migrations_src)) $(B)/libcommon.a

$(programs):
	$(say) LINK $@
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(B)/libcommon.a: $(call objects,$(common_src))
$(B)/libapi.a: $(call objects,$(api_src))
$(B)/libconsumer.a: $(call objects,$(consumer_src))

$(archives):
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# A test is linked with the archives in this order, so that the sides can use only common.
$(unit): $(B)/unit/%: $(B)/tests/unit/%.o $(archives)
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(LIBS)

# Not with libcommon.a, whose recv() is the servers'.
$(B)/positions-client: $(call objects,$(positions_src) $(wildcard common/base/*.c))
	$(say) LINK $@
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(B)/unit/test_positions_rows: $(B)/tests/positions/rows.o

# libFuzzer, which brings main(): made by `make fuzz`.
$(fuzzers): $(B)/fuzz/%: $(B)/tests/fuzz/%.o $(B)/libcommon.a
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)

$(B)/fuzz/fuzz_query: $(call objects,$(wildcard api/resources/query*.c))

# Generated headers must exist before the first compilation; afterwards the .d files say which
# object needs which header.
$(B)/%.o: %.c $(B)/flags | $(generated)
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# Holds the compiler and its flags; objects are rebuilt when they change.
compiling := $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL)
.PHONY: force
$(B)/flags: force
	@mkdir -p $(@D)
	$(if $(PKG_LIBS),,@$(PKG_CONFIG) --print-errors --exists $(PACKAGES) || { \
		echo "Libraries are missing: run 'make deps' (Debian), or see README.md." >&2; exit 1; })
	@printf '%s\n' '$(subst ','\'',$(compiling))' | cmp -s - $@ || \
		printf '%s\n' '$(subst ','\'',$(compiling))' >$@

EMBED := LC_ALL=C awk
embed = $(EMBED) -v name=$(1) -f common/embed.awk $< >$@

$(patsubst %,$(B)/gen/%.h,$(sql_src)): $(B)/gen/%.sql.h: %.sql common/embed.awk
	$(say) EMBED $<
	$(Q)mkdir -p $(@D)
	$(Q)$(call embed,sql_$(notdir $*))

# index.html becomes static_index_html.
$(patsubst %,$(B)/gen/%.h,$(static_src)): $(B)/gen/%.h: % common/embed.awk
	$(say) EMBED $<
	$(Q)mkdir -p $(@D)
	$(Q)$(call embed,static_$$(printf %s '$(notdir $*)' | tr -c 'A-Za-z0-9' _))

# The folders are prerequisites too, so that a removed migration leaves the table.
$(B)/gen/migrations/migrations.h: $(migration_src) common/embed.awk \
		$(wildcard migrations/primary migrations/replica)
	$(say) EMBED migrations
	$(Q)mkdir -p $(@D)
	$(Q)$(EMBED) -v table=migration_table -f common/embed.awk $(migration_src) >$@ </dev/null

-include $(wildcard $(B)/*/*.d $(B)/*/*/*.d)

# ---- packages, demo, tests -----------------------------------------------------------------------

.PHONY: deps demo test test-unit test-integration test-asan test-faults test-faults-short
.PHONY: test-positions test-positions-short test-failovers test-failovers-short test-long test-debian13
.PHONY: soak fuzz bench bench-docs
deps:
	$(Q)tests/deps.sh build run test

# exec: Ctrl-C reaches the demo itself, which stops all it started.
demo:
	$(Q)tests/deps.sh build run
	$(Q)+$(MAKE) --no-print-directory all
	@exec $(PYTHON) -B tests/demo/demo.py $(B)

# One recipe, not prerequisites: later steps need what earlier ones install or build.
test:
	$(Q)tests/deps.sh build run test
	$(Q)+$(MAKE) --no-print-directory all test-unit
	$(Q)+$(if $(SAN),,$(MAKE) --no-print-directory SAN=asan test-unit)
	$(Q)+$(MAKE) --no-print-directory layers check-docs
	$(Q)+if command -v $(CLANG_FORMAT) >/dev/null; then $(MAKE) --no-print-directory format-check; fi
	$(Q)+$(MAKE) --no-print-directory test-integration
	$(Q)+$(if $(SAN)$(T),,$(MAKE) --no-print-directory test-asan)
	$(Q)+$(MAKE) --no-print-directory test-faults-short SEED=$(or $(SEED),1)
	$(Q)+$(MAKE) --no-print-directory test-positions-short
	$(Q)+$(MAKE) --no-print-directory test-failovers-short

SANITIZER_OPTIONS := \
	ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:exitcode=99 \
	UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	TSAN_OPTIONS=halt_on_error=1:exitcode=99

test-unit: $(unit)
	@failed=; for t in $(sort $(unit)); do \
		if $(SANITIZER_OPTIONS) $$t >$$t.log 2>&1; then \
			printf '  %-8s %s (%s)\n' PASS $$t "$$(grep -c '\[       OK \]' $$t.log)"; \
		else \
			printf '  %-8s %s\n' FAIL $$t; cat $$t.log; failed=1; \
		fi; \
	done; test -z "$$failed"

# T selects: make test-integration T='test_reset.py -k online'. A file without a folder is one of
# tests/integration, and so are all where T names none.
selected = $(foreach word,$(T),$(if $(wildcard \
	tests/integration/$(firstword $(subst ::, ,$(word)))),tests/integration/)$(word))
selected_in = $(if $(findstring .py,$(T))$(findstring tests/,$(T)),,tests/integration)

# Tests wait as much as they work: TEST_JOBS of them at a time, each on servers of its own. The tests
# of a file stay together.
TEST_JOBS ?= $(shell expr $$(nproc) + 1)
parallel = $(if $(filter-out 1,$(TEST_JOBS)),-n $(TEST_JOBS) --dist loadfile)

test-integration: all
	$(Q)PGFANOUT_BUILD=$(B) PYTHONDONTWRITEBYTECODE=1 \
		$(PYTHON) -m pytest -p no:cacheprovider $(parallel) -q $(selected_in) $(selected)

# Also the cases that `make test` has no time for: the same with other seeds, numbers and moments.
test-long: export LONG := 1
test-long: test-integration

# The core of the integration suite with the address and undefined-behaviour sanitizers: imports,
# locks, bad requests, dead letters, resets, and starts that fail.
asan_core := $(addprefix tests/integration/test_,products.py bad_requests.py dead_letters.py \
	reset.py locks.py programs.py::test_unmigrated programs.py::test_a_taken_port) \
	-k 'not others_do_not_notice'

test-asan:
	$(Q)+$(MAKE) --no-print-directory SAN=asan T="$(or $(T),$(asan_core))" test-integration

# Faults at random moments. SEED repeats a run, FAULTS selects (patterns, or a pair "one+two"),
# ROUNDS is how often; in the short form each takes seconds. Every round's line shows its seed: a
# random one, but 1 in `make test`, unless SEED is set.
faults = PGFANOUT_BUILD=$(B) PYTHONDONTWRITEBYTECODE=1 FAULTS_FORM=$(1) SEED='$(SEED)' \
	FAULTS='$(FAULTS)' ROUNDS='$(ROUNDS)'

test-faults: all
	$(Q)$(call faults,long) $(PYTHON) -m pytest -p no:cacheprovider -q tests/faults

# These wait half of the time, so two of them go on at a time, each on servers of its own.
test-faults-short: all
	$(Q)$(if $(T),:,$(call faults,short) $(PYTHON) -m pytest -p no:cacheprovider -n 2 --dist load -q tests/faults)

# Reading one's own writes: a load whose every answer is checked, under faults (tests/positions/).
positions := PGFANOUT_BUILD=$(B) PYTHONDONTWRITEBYTECODE=1 $(PYTHON)

test-positions: all $(B)/positions-client
	$(Q)SEED='$(SEED)' POSITIONS_MINUTES='$(POSITIONS_MINUTES)' $(positions) tests/positions/positions.py

test-positions-short: all $(B)/positions-client
	$(Q)$(if $(T),:,$(positions) -m pytest -p no:cacheprovider -q tests/positions)

# The primary is killed and its synchronous standby promoted, under load, FAILOVERS times (tests/failovers/).
failovers := PGFANOUT_BUILD=$(B) PYTHONDONTWRITEBYTECODE=1 $(PYTHON)

test-failovers: all
	$(Q)SEED='$(SEED)' FAILOVERS='$(FAILOVERS)' $(failovers) tests/failovers/failovers.py

test-failovers-short: all
	$(Q)$(if $(T),:,$(failovers) -m pytest -p no:cacheprovider -q tests/failovers)

# In build-debian13/, nothing is built here. It reads T and SEED, as make exports them.
test-debian13: export T := $(T)
test-debian13: export SEED := $(SEED)
test-debian13:
	$(Q)tests/debian13.sh

soak: all
	$(Q)$(call faults,short) SOAK_MINUTES='$(SOAK_MINUTES)' $(PYTHON) tests/faults/soak.py

# Any bytes for what reads bytes of strangers, FUZZ_SECONDS each (tests/fuzz/, with clang). What was
# found interesting stays in build-fuzz/fuzz/*.corpus for the next run, what failed beside it.
FUZZ_SECONDS ?= 60

ifneq ($(SAN),fuzz)
fuzz:
	$(Q)tests/deps.sh build fuzz
	$(Q)+$(MAKE) --no-print-directory SAN=fuzz CC=clang fuzz
else
fuzz: $(fuzzers)
	@for f in $^; do \
		mkdir -p $$f.corpus; \
		if $(SANITIZER_OPTIONS) $$f -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
			-artifact_prefix=$$f. $$f.corpus >$$f.log 2>&1; then \
			printf '  %-8s %s (%s inputs)\n' PASS $$f \
				"$$(sed -n 's/^stat::number_of_executed_units: *//p' $$f.log)"; \
		else \
			printf '  %-8s %s\n' FAIL $$f; tail -n 60 $$f.log; exit 1; \
		fi; \
	done
endif

# Compared with what people would use instead; PARTS selects, see tests/bench/bench.py; bench-reads
# is one part alone. Results are in build/bench.json; bench-docs puts those of all parts into
# docs/benchmarks.md and README.md.
bench_run = PGFANOUT_BUILD=$(B) PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/bench/$(1)

bench: all
	$(Q)tests/deps.sh build run test bench
	$(Q)$(call bench_run,bench.py $(PARTS))

bench-%: all
	$(Q)tests/deps.sh build run test bench
	$(Q)$(call bench_run,bench.py $*)

bench-docs:
	$(Q)$(call bench_run,report.py)

# ---- checks ------------------------------------------------------------------------------------

.PHONY: format format-check lint layers check-docs
format:
	$(Q)$(CLANG_FORMAT) -i $(c_files)

format-check:
	$(say) FORMAT check
	$(Q)$(if $(c_files),$(CLANG_FORMAT) --dry-run --Werror $(c_files),:)

lint_src := $(filter %.c,$(product_files))

lint: all
	$(say) TIDY '$(words $(lint_src)) files'
	$(Q)printf '%s\n' $(lint_src) | xargs -P "$$(nproc)" -n 1 sh -c '$(CLANG_TIDY) --quiet "$$@" -- \
		-std=c11 $(subst ','\'',$(CPPFLAGS_ALL)) >$(B)/lint.$$$$ 2>&1 || { \
		cat $(B)/lint.$$$$; rm $(B)/lint.$$$$; exit 1; }; rm $(B)/lint.$$$$' tidy
	$(say) CPPCHECK '$(words $(lint_src)) files'
	$(Q)$(CPPCHECK) --quiet --error-exitcode=1 --std=c11 --inline-suppr \
		--enable=warning,performance,portability --suppress=missingIncludeSystem \
		--suppress='*:/usr/include/*' -j "$$(nproc)" -D_GNU_SOURCE -DPGFANOUT_VERSION='"$(VERSION)"' \
		-I. -I$(B)/gen $(lint_src)

# Who may include whom: the table stands in tests/layers.py.
layers:
	$(say) LAYERS check
	$(Q)$(PYTHON) -B tests/layers.py

check-docs: all
	$(say) DOCS check
	$(Q)docs/check-docs.sh $(B)

# ---- install -----------------------------------------------------------------------------------

.PHONY: install uninstall clean help
bindir := $(DESTDIR)$(PREFIX)/bin
docdir := $(DESTDIR)$(PREFIX)/share/doc/pgfanout
# As in the tree, so that the pages' links to each other hold.
pages  := README.md CHANGELOG.md LICENSE
docs   := $(wildcard docs/*.md)

install: all
	install -d '$(bindir)' '$(docdir)/docs'
	install -m 755 $(programs) '$(bindir)'
	install -m 644 $(pages) '$(docdir)'
	install -m 644 $(docs) '$(docdir)/docs'

uninstall:
	rm -f $(PROGRAMS:%='$(bindir)/%') $(patsubst %,'$(docdir)/%',$(pages) $(docs))
	-rmdir '$(docdir)/docs' '$(docdir)'

clean:
	rm -rf build build-asan build-tsan build-fuzz build-debian13

help:
	@echo 'make                   build the four programs into build/'
	@echo 'make deps              install the Debian packages that building and testing need'
	@echo 'make demo              private servers and a sample catalogue, until Ctrl-C'
	@echo '                       (DEMO=once: exit when primary and replicas were compared)'
	@echo 'make test              test-unit, also with sanitizers, layers, check-docs, format-check,'
	@echo '                       test-integration, test-asan, test-faults-short, test-positions-short,'
	@echo '                       test-failovers-short; installs what is missing'
	@echo 'make test-unit         unit tests'
	@echo 'make test-integration  pytest on private servers; T selects, in make test too:'
	@echo '                       T="test_reset.py -k online"; TEST_JOBS=1: one after the other'
	@echo 'make test-asan         the core of it with the address sanitizer'
	@echo 'make test-long         the integration tests, with cases that make test leaves out: T='
	@echo 'make test-faults       all faults, single and in pairs, two hours: SEED= FAULTS= ROUNDS='
	@echo '                       (test-faults-short: seconds for each)'
	@echo 'make test-positions    reading one'\''s own writes: POSITIONS_MINUTES of load, 10 by default, with'
	@echo '                       all answers checked, under faults: SEED= (test-positions-short: seconds)'
	@echo 'make test-failovers    the primary dies FAILOVERS times, 100 by default, its synchronous standby is'
	@echo '                       promoted: SEED= (test-failovers-short: three times)'
	@echo 'make test-debian13     builds and tests in a Debian 13, with mixed versions of PostgreSQL too;'
	@echo '                       an hour, as root, with debootstrap; T and SEED as above'
	@echo 'make fuzz              any bytes for the readers of bytes, with clang, FUZZ_SECONDS each'
	@echo 'make soak              random faults for SOAK_MINUTES, 10 by default'
	@echo 'make bench             against pgbench, psql, logical replication, Node, PostgREST; PARTS="reads drain"'
	@echo '                       (bench-reads: one part; bench-docs: writes the tables in docs)'
	@echo 'make layers            who includes whom'
	@echo 'make check-docs        compares settings, metrics, routes, exit codes with docs/'
	@echo 'make format            clang-format 14; format-check only looks'
	@echo 'make lint              all warnings as errors, clang-tidy 14 and cppcheck'
	@echo 'make install           PREFIX=/usr/local DESTDIR=; make uninstall likewise'
	@echo 'make clean             remove build*/'
	@echo
	@echo 'V=1 shows commands, SAN=asan|tsan builds with sanitizers, CC=clang works too. Warnings are'
	@echo 'errors in tests and checks: WERROR=0 or 1 decides.'
