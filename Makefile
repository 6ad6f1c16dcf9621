# SPDX-License-Identifier: Apache-2.0
# The few commands people type; meson does the work.
#
#   make          build                      make test     every test (installs what tests need)
#   make run      a sandbox shell here       make lint     the checks of tests/lint
#   make install  PREFIX= DESTDIR=           make fuzz     run the fuzzers a while (FUZZ_SECONDS=)
#   make deps     packages that are needed   make bench    time it against others (bench/*)
#   make asan     build and unit tests with sanitizers       make clean

PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build
FUZZ_SECONDS ?= 60
# Where make was started: another directory than this one with `make -C`.
START_DIR := $(if $(PWD),$(PWD),$(CURDIR))
export START_DIR

# On a terminal ninja's one line of progress is welcome.
QUIET := $(if $(MAKE_TERMOUT),,--quiet)

.PHONY: all deps deps-test install run test unit fuzz bench lint asan clean

all: $(BUILD)/build.ninja
	@ninja -C '$(BUILD)' $(QUIET)

$(BUILD)/build.ninja:
	@command -v meson >/dev/null && command -v ninja >/dev/null || \
		{ echo "meson or ninja is missing: make deps" >&2; exit 1; }
	@echo "configuring $(BUILD)" >&2
	@meson setup '$(BUILD)' --prefix='$(PREFIX)' >'$(BUILD).log' 2>&1 || { cat '$(BUILD).log' >&2; exit 1; }
	@mv '$(BUILD).log' '$(BUILD)/setup.log'

deps:
	@packaging/deps.sh install build run

deps-test:
	@packaging/deps.sh install build run test

# Asks nothing of the build when it is complete, so that `make` and then `sudo make install` leaves
# no file of root in the build directory but the install log.
install: $(BUILD)/build.ninja
	@meson introspect '$(BUILD)' --buildoptions | grep -q '"name": "prefix", "value": "$(PREFIX)"' || \
		meson setup --reconfigure '$(BUILD)' --prefix='$(PREFIX)' >/dev/null
	@ninja -C '$(BUILD)' -n | grep -q 'no work to do' || ninja -C '$(BUILD)' --quiet
	@DESTDIR='$(DESTDIR)' meson install -C '$(BUILD)' --no-rebuild --quiet --strip
	@echo "installed in $(DESTDIR)$(PREFIX)"

run: deps
	@$(MAKE) --no-print-directory all
	@cd "$$START_DIR" && exec '$(CURDIR)/$(BUILD)/src/ward' run -t host shell

test: deps-test
	@tests/setup-users.sh --if-possible
	@$(MAKE) --no-print-directory all
	@tests/run.sh

unit: all
	@meson test -C '$(BUILD)' --no-rebuild --suite unit

fuzz:
	@packaging/deps.sh install build test
	@tests/fuzz/run.sh '$(FUZZ_SECONDS)'

bench: all
	@bench/start --ward '$(CURDIR)/$(BUILD)/src/ward'
	@bench/image --ward '$(CURDIR)/$(BUILD)/src/ward'
	@bench/network --ward '$(CURDIR)/$(BUILD)/src/ward'

lint: all
	@tests/lint/run.sh

asan:
	@test -f '$(BUILD)-asan/build.ninja' || \
		meson setup '$(BUILD)-asan' -Db_sanitize=address,undefined -Db_lundef=false --buildtype=debug
	@ninja -C '$(BUILD)-asan' --quiet
	@meson test -C '$(BUILD)-asan' --no-rebuild --suite unit --print-errorlogs

clean:
	@rm -rf '$(BUILD)' '$(BUILD)-asan' '$(BUILD)-clang' '$(BUILD)-fuzz' '$(BUILD).log'
