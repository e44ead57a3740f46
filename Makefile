PYTHON ?= python3.11
VENV := .venv
OLDEST := .venv-oldest
RIVAL := .venv-circuit-tracer
RUN := $(VENV)/bin/python
CANVAS := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" npm --prefix tests/canvas
# make test-fast leaves out these files of tests/unit, each of which takes ten seconds or more
LONG := ablation another_device cards_from_text chat circuit cli core_shares corpus debugging device faithfulness \
	faithfulness_report interventions known_circuits scoring shared_memory skills
FAST := -n 2 --dist loadfile -m "not slow" tests/test_architecture.py tests/docs tests/properties tests/unit \
	$(LONG:%=--ignore=tests/unit/test_%.py)
# packages whose oldest version the package index lacks, as torch's where it has newer ones for processors only
NOT_OLDEST ?=
EXAMPLE := The National Digital Analytics Group (N

.PHONY: app dev test test-fast oldest test-oldest check format bench circuit-tracer demo reference pictures rooms train-demo clean

app: $(VENV)/app.installed  ## install and start the app on the bundled demo
	$(RUN) -m streamlit run app.py

dev: $(VENV)/app.installed  ## start the app so that a change of its source is seen at once
	$(RUN) -m streamlit run app.py --server.fileWatcherType=auto --server.runOnSave=true

test: $(VENV)/test.installed  ## install and run every check
	$(MAKE) --no-print-directory check

check:  ## every check, with what is installed
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(CANVAS) --silent run check
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 3 --dist loadfile --no-loadscope-reorder tests/cluster tests/browser tests

test-fast: $(VENV)/test.installed  ## the shorter tests, which need no browser, account, cluster or training
	$(CANVAS) --silent run units
	OMP_NUM_THREADS=1 $(RUN) -m pytest $(FAST)

oldest: $(OLDEST)/installed  ## the shorter tests of Python on the oldest versions that requirements.txt allows
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -W ignore $(filter-out %test_corpus.py,$(FAST))  # old packages warn of what is old in them

format: $(VENV)/test.installed  ## format Python and JavaScript
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .
	$(CANVAS) run format

test-oldest: $(OLDEST)/installed  ## the browser tests on the oldest versions, of Streamlit above all
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -W ignore tests/browser \
		--ignore=tests/browser/test_accessibility.py  # an older Streamlit's own buttons fail it

bench: $(VENV)/test.installed  ## measure speed and memory
	$(RUN) bench/run.py

circuit-tracer: $(RIVAL)/installed  ## the environment that bench/against_circuit_tracer.py compares with

demo: $(VENV)/app.installed  ## trace the example: strongest paths as text, the graph as a page
	$(RUN) -m circuitscope_core trace --bundle models/demo --prompt "$(EXAMPLE)" --html out/demo.html

reference: $(VENV)/test.installed  ## write the API reference from the docstrings into out/reference
	$(RUN) docs/make_reference.py

pictures: $(VENV)/test.installed  ## take the README's pictures of the app again
	$(RUN) docs/take_pictures.py
	$(RUN) docs/record_story.py

rooms:  ## draw docs/rooms.svg from the imports again
	$(RUN) docs/make_rooms.py

train-demo: $(VENV)/app.installed  ## train models/demo again; needs Pile Parquet files in data/pile
	CIRCUITSCOPE_REPLACE_SHIPPED=1 $(RUN) -m circuitscope_core train --source data/pile --source builtin --out models/demo \
		--overwrite \
		--set feature_cards.excerpts=open

clean:  ## remove what the commands above made
	rm -rf $(VENV) $(OLDEST) $(RIVAL) tests/canvas/node_modules out .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(RIVAL)/installed: bench/circuit-tracer-requirements.txt
	$(PYTHON) -m venv $(RIVAL)
	$(RIVAL)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(OLDEST)/installed: tests/tools.txt requirements.txt tests/oldest_requirements.py
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check packaging
	$(OLDEST)/bin/python tests/oldest_requirements.py --without $(NOT_OLDEST) > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --prefer-binary -c $(OLDEST)/constraints.txt \
		-r requirements.txt -r tests/tools.txt
	sh tests/install_browser.sh $(OLDEST)/bin/python
	touch $@

$(VENV)/app.installed: requirements.txt | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/test.installed: requirements.txt tests/requirements.txt tests/tools.txt tests/install_browser.sh tests/canvas/package-lock.json | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	$(CANVAS) ci --loglevel=error --no-audit --no-fund
	sh tests/install_browser.sh $(RUN)
	touch $@ $(VENV)/app.installed
