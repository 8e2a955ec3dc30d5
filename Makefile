# `make help` lists the targets. None needs anything done before it but Debian,
# Go, git and make: host packages are looked for and installed on the way.

BOARD    ?= qemu-x86_64
FUZZTIME ?= 30s
# How many power cuts, and from which seed on, `make soak` makes.
SEEDS    ?= 50
SEED     ?= 1
# A folder with *.tar.xz of real messages, for the benchmarks. Made-up text takes
# its place where it is empty, and what only real mail can tell is left out.
CORPORA  ?=

export CGO_ENABLED = 0

# Packages whose tests also run under the race detector: those where goroutines
# share data. The detector needs cgo, and makes tests several times slower.
RACE = ./appliance/api/... ./appliance/box/... ./appliance/certs/... ./appliance/config/... ./appliance/console/... ./appliance/mail/... ./appliance/store/... ./cmd/qemu/...

# Those of them whose tests, under the detector, leave out (-short) what is run
# without it.
LONG = ./appliance/mail/queue

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Boards (BOARD=$(BOARD)): $$(ls board/*/board.toml | cut -d/ -f2 | tr '\n' ' ')"

.PHONY: host
host: ## install the host packages that are missing
	@scripts/host-packages.sh

.PHONY: run
run: host ## build, make the image, boot it in QEMU with the console on this terminal
	go run ./cmd/mkimage -board $(BOARD) -no-zst
	go run ./cmd/qemu -board $(BOARD)

.PHONY: dev
dev: ## maild on this machine, without a VM, data under build/dev
	@mkdir -p build/dev
	go run ./cmd/maild --dev --data build/dev --port-offset 20000

.PHONY: image
image: host ## the flashable image: build/BOARD/pillarbox-VERSION.img, .img.zst, SHA256SUMS
	go run ./cmd/mkimage -board $(BOARD)

.PHONY: test
test: host check test-unit test-vm ## everything CI runs

.PHONY: test-unit
test-unit: host ## the tests that need no VM, with the race detector where goroutines share data
	go test -timeout 60m $$(go list ./... | grep -vxF "$$(go list $(RACE))") $(LONG)
	CGO_ENABLED=1 go test -race -short -timeout 60m $(RACE)

.PHONY: test-vm
test-vm: host ## the tests that boot images in QEMU, and that builds are reproducible
	go test -tags vm -p 1 -timeout 2h -v ./image ./cmd/qemu/...

.PHONY: soak
soak: host ## what is too long for CI: SEEDS power cuts from SEED on, a probe that stops
	PILLARBOX_SEED=$(SEED) PILLARBOX_SEEDS=$(SEEDS) go test -tags vm,soak -timeout 0 -v -run 'PowerCut|ProbeStops' ./cmd/qemu/vmtest

.PHONY: bench
bench: bench-store ## measure the store, and maild beside Postfix and Dovecot on this machine
	@mkdir -p build/bin
	go build -o build/bin/ ./cmd/maild ./cmd/maild/bench
	PILLARBOX_CORPUS=$(firstword $(wildcard $(CORPORA)/*.tar.xz)) build/bin/bench

.PHONY: bench-store
bench-store: host ## measure the store alone
	go test -run '^$$' -bench 'Deliver|Encrypted' -benchtime 3000x -timeout 0 ./appliance/store/store
	PILLARBOX_CORPORA=$(abspath $(CORPORA)) go test -run '^$$' -bench 'Corpus|Huge|Mailbox|Search' -benchtime 1x -timeout 0 ./appliance/store/store
	go test -run '^$$' -bench Large -benchtime 10x -timeout 0 -v ./appliance/store/store
	go test -run '^$$' -bench 'Full|Increment|Restore|Verify' -benchtime 3x -timeout 0 ./appliance/store/backup
	go test -run '^$$' -bench Deliver -benchtime 20000x -timeout 0 ./appliance/mail/indexer

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME
	scripts/fuzz.sh $(FUZZTIME)

.PHONY: fmt
fmt: ## format the sources
	gofmt -w $$(git ls-files '*.go')

STATICCHECK = go run honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: check lint
check: ## format, vet, and what the linters say
	@bad=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$bad" ] || { echo "not formatted:"; echo "$$bad"; exit 1; }
	go vet ./...
	go vet -tags vm,soak ./image ./cmd/qemu/...
	$(STATICCHECK) ./...
	$(STATICCHECK) -tags vm,soak ./image ./cmd/qemu/...
lint: check

.PHONY: clean
clean: ## remove what was built
	rm -rf build
