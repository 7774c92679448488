# 'make' builds and 'make install DESTDIR=…' installs. 'make demo', 'make test' and 'make bench' do all their set-up by
# themselves, as root on Debian 12 with a Swift toolchain.
DESTDIR ?=
PREFIX ?= /usr
PROGRAM ?= .build/perdure
# What tests need besides the repository: the test guest. Outside of it, so that a clean clone finds it again.
CACHE ?= /var/cache/perdure-tests
STAGE = .build/stage
SWIFT_FLAGS = -c release --static-swift-stdlib -Xlinker -z -Xlinker now -Xlinker -z -Xlinker relro -Xlinker --build-id
# Failed preconditions say what failed instead of dying silently.
SWIFT_FLAGS += -Xswiftc -assert-config -Xswiftc Debug
# The same source in the same place gives the same program: no place of this machine, no hash and no time stamp in it.
SWIFT_FLAGS += -Xswiftc -file-prefix-map -Xswiftc $(CURDIR)=/usr/src/perdure
SWIFT_FLAGS += -Xswiftc -Xfrontend -Xswiftc -disable-incremental-llvm-codegen
SWIFT_FLAGS += -Xswiftc -Xcc -Xswiftc -Xclang -Xswiftc -Xcc -Xswiftc -fno-pch-timestamp
SWIFT_FLAGS += -Xcc -ffile-prefix-map=$(CURDIR)=/usr/src/perdure -Xcc -fstack-protector-strong

# How long 'make fuzz' looks at each target, and which targets there are.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= definition qmp varlink ledger process

.PHONY: all build install deb check-format staged trees host-tree promtool older-package check-reproducible stage demo demo-dist-upgrade test test-sanitize soak fuzz bench clean

all: build

build:
	swift build --product perdure $(SWIFT_FLAGS)
	strip -o .build/perdure .build/release/perdure

# What the package does afterwards, systemd-sysusers, systemd-tmpfiles --create and systemctl daemon-reload, is left.
install:
	install -D -m 0755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/perdure
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system units/perdure@.service units/perdure.slice \
		units/perdure-metrics.socket units/perdure-metrics@.service units/perdure-metrics.service units/perdure-metrics.timer \
		units/perdure-helper.socket units/perdure-helper@.service \
		units/perdure-machine@.service units/perdure-upgrade.service units/perdure-upgrade@.service
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/lib/systemd/user units/user/perdure@.service units/user/perdure.slice \
		units/user/perdure-upgrade.service units/user/perdure-upgrade@.service
	install -D -m 0755 -t $(DESTDIR)$(PREFIX)/lib/perdure units/upgrade-outdated units/each-user
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/perdure/monitoring packaging/monitoring/*
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/polkit-1/actions packaging/polkit/io.perdure.policy
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/perdure/examples packaging/polkit/50-perdure-operators.rules
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/lib/systemd/catalog units/perdure.catalog
	install -D -m 0644 units/perdure.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/perdure.conf
	install -D -m 0644 units/perdure.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/perdure.conf
	install -D -m 0644 units/perdure.needrestart $(DESTDIR)/etc/needrestart/conf.d/perdure.conf
	install -d -m 0755 $(DESTDIR)/etc/perdure
	for page in $(wildcard docs/man/*.[1578]); do \
		install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man$${page##*.} $$page || exit 1; \
	done
	for shell in bash/bash-completion/completions/perdure zsh/zsh/vendor-completions/_perdure \
		fish/fish/vendor_completions.d/perdure.fish; do \
		file=$(DESTDIR)$(PREFIX)/share/$${shell#*/}; \
		install -D -m 0644 /dev/null $$file && \
			$(PROGRAM) --generate-completion-script $${shell%%/*} | sed '1{/^#!/d}' >$$file || exit 1; \
	done

# The Debian package, in .build/deb.
deb:
	packaging/build-deb

# A tree as the package installs it, and a guest to run.
staged:
	packaging/install-dependencies test
	$(MAKE) build
	rm -rf $(STAGE)
	$(MAKE) install DESTDIR=$(STAGE)
	Tests/Guest/build-initramfs $(CACHE)

# Other Debian releases, with their systemd and QEMU, a signed boot loader, and a disk with an installed Debian. Where the archive can't be reached (75), the tests that need them
# are skipped, and say so.
trees:
	packaging/install-dependencies test
	Tests/System/make-tree trixie $(CACHE)/trees/trixie sid || [ $$? -eq 75 ]
	Tests/System/make-tree sid $(CACHE)/trees/sid || [ $$? -eq 75 ]
	Tests/System/make-tree bookworm $(CACHE)/trees/bookworm trixie || [ $$? -eq 75 ]
	Tests/System/fetch-boot-loader $(CACHE)/boot-loader || [ $$? -eq 75 ]
	Tests/System/make-debian-image $(CACHE)/debian-12 || [ $$? -eq 75 ]

# A whole Debian 12 with what keeps it up to date, and with the packages that make it a Debian 13. As above.
host-tree:
	packaging/install-dependencies test
	Tests/System/make-tree --host bookworm $(CACHE)/trees/bookworm-host trixie || [ $$? -eq 75 ]

# Without it (75), the tests that need it are skipped.
promtool:
	packaging/fetch-promtool $(CACHE) || [ $$? -eq 75 ]

# Everything that the tests need.
stage: staged trees host-tree deb promtool

# The first version that had a package. Where the history is missing (75), the tests that need it are skipped.
older-package:
	packaging/install-dependencies package
	Tests/System/build-older-package $(CACHE)/older-version || [ $$? -eq 75 ]

check-reproducible:
	packaging/check-reproducible $(CACHE)/reproducible

demo: staged
	Tests/System/demo $(STAGE) $(CACHE)

# From Debian 12 to 13, beneath a guest that runs all the way. Needs Debian's archive the first time.
demo-dist-upgrade: host-tree deb
	Tests/Guest/build-initramfs $(CACHE)
	Tests/System/demo-dist-upgrade .build/deb/perdure_*.deb $(CACHE)

check-format:
	swift format lint --strict --recursive Package.swift Sources Tests

# Unit tests one at a time: several have deadlines, and some keep every processor busy.
test: check-format stage
	PERDURE_TEST_CACHE=$(CACHE) swift test --disable-xctest --no-parallel --skip SystemTests
	PERDURE_TEST_STAGE=$(CURDIR)/$(STAGE) PERDURE_TEST_CACHE=$(CACHE) Tests/System/run-tests

# For hours: every fault at every point of every operation, and then as many handovers with faults at random.
PERDURE_TEST_SOAK ?= 1000
soak: stage older-package check-reproducible
	PERDURE_TEST_STAGE=$(CURDIR)/$(STAGE) PERDURE_TEST_CACHE=$(CACHE) PERDURE_TEST_SOAK=$(PERDURE_TEST_SOAK) \
		swift test --disable-xctest --no-parallel --filter 'SystemTests.(SoakTests|HostUpgradeTests|OlderVersionTests)'

# What reads memory or has a part of the processor's time for a bound is not for a sanitizer, which takes more of both.
test-sanitize:
	packaging/install-dependencies build
	export TSAN_OPTIONS=suppressions=$(CURDIR)/Tests/Sanitizers/thread.supp; \
	for sanitizer in thread address; do \
		swift test --sanitize=$$sanitizer --scratch-path .build/$$sanitizer --disable-xctest --no-parallel \
			--skip SystemTests --skip HostileResourceTests || exit 1; \
	done

# What is found becomes a part of the corpus, which 'make test' replays.
fuzz:
	packaging/install-dependencies build
	Tests/Fuzz/fuzz $(FUZZ_SECONDS) $(FUZZ_TARGETS)

bench: staged
	swift build --product perdure-bench $(SWIFT_FLAGS)
	PERDURE_TEST_STAGE=$(CURDIR)/$(STAGE) PERDURE_TEST_CACHE=$(CACHE) .build/release/perdure-bench $(BENCH_FLAGS)

clean:
	rm -rf .build
