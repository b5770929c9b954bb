#!/usr/bin/env bash
# The whole pipeline in miniature, start to end: harvest → tasks → SFT → GRPO → evaluation → report.
# Interrupted? Run it again: finished stages are skipped, the others go on where they stopped.
#   RUN=outputs/mine bash runs/quickstart.sh rl.max_steps=8      # further arguments go to every stage
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
RUN=${RUN:-outputs/quickstart}
export TOKENIZERS_PARALLELISM=false HF_HUB_DISABLE_PROGRESS_BARS=1 TRANSFORMERS_VERBOSITY=error

stage() { # NAME MODULE [ARGUMENTS]: run one stage, print and keep its time (resumed runs add up)
  local name=$1 started=$SECONDS
  shift
  printf '\n\033[1m== %s\033[0m\n' "$name"
  "$PY" -m "$@" experiment=quickstart out="$RUN" "${EXTRA[@]}"
  printf '   %s took %d s\n' "$name" "$((SECONDS - started))"
  "$PY" - "$RUN/stages.json" "$name" "$((SECONDS - started))" <<'PYTHON'
import json, pathlib, sys
path, name, seconds = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
times = json.loads(path.read_text()) if path.exists() else {}
times[name] = times.get(name, 0) + seconds
temporary = path.with_suffix(".tmp")
temporary.write_text(json.dumps(times, indent=2))
temporary.replace(path)
PYTHON
}

EXTRA=("$@")
stage "harvest and tasks" data_pipeline
stage "evaluate base" eval eval.model=base
stage "sft" sft
stage "evaluate sft" eval eval.model=sft
stage "grpo" rl
stage "evaluate grpo" eval eval.model=rl
stage "report" eval.report
printf '\nAll stages: %d s. Open the report: %s\n' "$SECONDS" "$(realpath "$RUN/report.html")"
