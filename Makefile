# On a fresh machine: `make test` or `make demo`. Each makes .venv first, once; another `make` reinstalls nothing.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo glue family test slurm-test lowest faults manual docs lint bench clean

# an editable installation holds copies of the plugins: Hydra finds them by their package, not by a path
PLUGINS := $(wildcard launch/plugin/hydra_plugins/*/*.py)
.venv/installed: pyproject.toml constraints.txt $(PLUGINS)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	touch $@

# with what only tests and linters need
.venv/tested: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps --upgrade --target .venv/torchao torchao
	touch $@

demo: .venv/installed
	HF_HUB_OFFLINE=1 $(BIN)/python -m compress -m +experiment=demo
	$(BIN)/python -m analysis table runs/demo
	$(BIN)/python -m analysis report runs/demo --out report

# The README's grid on real GLUE, and what is kept of it; on a GPU: make glue ARGS=hydra.launcher.per_device=16
GLUE := analysis/reference/glue
glue: .venv/installed
	HF_HUB_OFFLINE=1 $(BIN)/python -m compress -m --config-dir $(GLUE)/conf +experiment=glue $(ARGS)
	$(BIN)/python -m analysis collect runs/glue --out $(GLUE)/results.jsonl.gz
	$(BIN)/python -m analysis report runs/glue --out report/glue
	cp report/glue/figures/figure1.png report/glue/figures/tasks.png $(GLUE)/

# The study's shape on the layers of one encoder; all of it, or a slice that adds to what is kept: make family TASK=sst2 SEED=0
FAMILY := analysis/reference/family
FAMILY_RUN = HF_HUB_OFFLINE=1 $(BIN)/python -m compress -m --config-dir $(FAMILY)/conf
family: .venv/installed
	$(FAMILY_RUN) +experiment=family_search $(TASK:%=task=%) $(ARGS)
	$(BIN)/python -m launch tune runs/family_search --out $(FAMILY)/conf
	$(FAMILY_RUN) +experiment=family train=tuned $(TASK:%=task=%) $(SEED:%=seed=%) $(ARGS)
	$(BIN)/python -m analysis collect runs/family_search $(wildcard $(FAMILY)/search.jsonl.gz) --out $(FAMILY)/search.jsonl.gz
	$(BIN)/python -m analysis collect runs/family $(wildcard $(FAMILY)/results.jsonl.gz) --out $(FAMILY)/results.jsonl.gz
	$(BIN)/python -m analysis report $(FAMILY)/results.jsonl.gz --out report/family

WORKERS := 2
test: .venv/tested
	HF_HUB_OFFLINE=1 WANDB_MODE=offline $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

slurm-test: .venv/tested
	HF_HUB_OFFLINE=1 WANDB_MODE=offline $(BIN)/python -m pytest tests/slurm $(ARGS)

# A few tests with the lowest version that pyproject.toml allows of each dependency: experiments, a sweep, exports, figures
LOWEST := tests/test_experiment.py::test_anyone_can_score_the_artifact_again_from_its_folder_alone \
	tests/test_sources.py::test_offline_logs_give_the_table_of_the_run_folders \
	'tests/test_export.py::test_onnx_runtime_predicts_what_the_artifact_does[int8, pruned]' \
	tests/test_export.py::test_openvino_predicts_what_the_artifact_does \
	tests/test_figures.py::test_files_are_what_they_are_called_and_the_same_each_time \
	tests/test_analysis_cli.py::test_report_and_figure_get_the_results_and_print_what_was_written
lowest: .venv/tested
	$(BIN)/python -m tests.lowest .venv/lowest
	PYTHONPATH=$(CURDIR)/.venv/lowest HF_HUB_OFFLINE=1 WANDB_MODE=offline $(BIN)/python -m pytest $(LOWEST) $(ARGS)

# Processes that end and disks that fail at any file operation, a few hundred places chosen by a seed: make faults SEED=1
faults: .venv/tested
	$(BIN)/python -m tests.faults $(SEED:%=--seed %) $(POINTS:%=--points %) $(ARGS)

# conf/README.md, from the configuration's dataclasses and files
manual: .venv/tested
	$(BIN)/python -m tests.configuration_page

# the manual and the API as a site, site/index.html
.venv/documented: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

docs: .venv/documented
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict $(ARGS)

lint: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# All about speed, compared with others (tests/README.md): make bench ARGS='--long --out FILE'
bench: .venv/tested
	$(BIN)/python -m tests.benchmarks $(ARGS)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
