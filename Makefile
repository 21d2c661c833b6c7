# make demo   set up, then the main job on a small scale: simulate, pretrain, finetune, report
# make test   set up, then format, lint, types, imports and tests
# make test-slow   the tests that take minutes: every command of the README and the documentation
# make docs   set up, then build the site into build/site

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow check docs clean

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[models,test]'
	touch $(READY)

demo: $(READY)
	$(BIN)/lenssim generate --model B --train 1500 --test 300 --out demo/B
	$(BIN)/lenssim info demo/B
	$(BIN)/lenssim preview demo/B --overwrite --out demo/preview.png
	$(BIN)/lensmodels train --resume --data demo/B --method byol --encoder test_resnet \
		--batch-size 64 --pretrain-epochs 5 --finetune-epochs 10 --out demo/byol

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# kernels first: a test that waited for the compiler could run out of its time; a test has one
# thread, and the tests of a file share what they set up
test: check
	$(BIN)/python -c "from lenssim.simulation import warm_up; warm_up()"
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf demo build dist
