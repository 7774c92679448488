# 'make' builds, 'make install DESTDIR=…' installs; the rest is for developers, see README.md.
DESTDIR ?=
PREFIX ?= /usr
BINARY = .build/release/perdure
SWIFT_FLAGS = -c release --static-swift-stdlib -Xlinker -z -Xlinker now -Xlinker -z -Xlinker relro
# Failed preconditions say what failed instead of dying silently.
SWIFT_FLAGS += -Xswiftc -assert-config -Xswiftc Debug

.PHONY: all build install

all: build

build:
	swift build --product perdure $(SWIFT_FLAGS)
	strip -o .build/perdure $(BINARY)

install:
	install -D -m 0755 .build/perdure $(DESTDIR)$(PREFIX)/bin/perdure
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system units/perdure@.service units/perdure.slice
	install -d -m 0755 $(DESTDIR)/etc/perdure
