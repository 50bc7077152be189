"""Runs everything in one command: prepare, train, evaluate, export, score a request without fullrank, and report.

    fullrank demo --output=runs/demo

Each step is a command of its own, printed before it runs, so that it can be run again with other flags. It takes about
four minutes on two cores, and leaves in the run directory: eval.json, figures/, export/1/ (the SavedModel),
request.json, the request that was scored, importance/, correlation/ and report.html, the page about all of it, whose
path is the last line.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from fullrank.data.command import command
from fullrank.data.command.quiet_tensorflow import import_tensorflow_quietly
from fullrank.data.files.write_aside import write_text

EPOCHS, BATCH = 3, 1024
CANDIDATES = 5


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    flag_values = command.new_flags()
    flags.DEFINE_string(
        "output", "runs/demo", "Run directory to write; a run in it is replaced.", flag_values=flag_values
    )
    flags.DEFINE_string(
        "records", None, "Directory of the records; next to --output if not given.", flag_values=flag_values
    )
    flags.DEFINE_string("raw_dir", None, "Folder that holds MovieLens 100K already.", flag_values=flag_values)
    flags.DEFINE_enum(
        "dataset",
        "movielens",
        ["movielens", "synthetic"],
        "Data set; synthetic needs no download.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer("seed", 1, "Seed of the run.", lower_bound=0, flag_values=flag_values)
    command.run_command(lambda: main(flag_values), flag_values=flag_values, argv=argv)


def main(flag_values: Any) -> int:
    """Runs the steps in order, and stops at the first one that fails."""
    output = Path(flag_values.output)
    records = Path(flag_values.records or output.with_name(f"{output.name}-records"))
    steps = _steps(flag_values, output=output, records=records)
    scoring = next(step for step in steps if step is not None and step[1:2] != ["-m"])
    for step in steps:
        if step is None:
            _write_request(records, output / "request.json")
            continue
        shown = step[2:] if step[1:2] == ["-m"] else [Path(step[0]).name, *step[1:]]
        print(f"\n\N{BLACK RIGHT-POINTING TRIANGLE} {shlex.join(shown)}", flush=True)
        failed = _run_quietly(step) if step is scoring else subprocess.run(step, check=False).returncode  # noqa: S603
        if failed:
            return failed
    print(f"\nEverything is in {output}: eval.json, figures/, export/1/, request.json, and events/ for TensorBoard.")
    print("The report, to open in a browser:")
    print(output / "report.html")
    return 0


def _run_quietly(step: list[str]) -> int:
    """Runs a program that cannot suppress TensorFlow's start-up messages itself; shows them only if it fails."""
    finished = subprocess.run(step, check=False, stderr=subprocess.PIPE, text=True)  # noqa: S603
    if finished.returncode:
        sys.stderr.write(finished.stderr)
    return finished.returncode


def _steps(flag_values: Any, *, output: Path, records: Path) -> list[list[str] | None]:
    """The command lines; `None` is the step that writes the request."""
    fullrank = [sys.executable, "-m", "fullrank"]
    raw_dir = [f"--raw_dir={flag_values.raw_dir}"] if flag_values.raw_dir else []
    prepare = [*fullrank, "prepare", f"--dataset={flag_values.dataset}", f"--output={records}", *raw_dir]
    train = [
        *fullrank,
        "train",
        f"--data={records}",
        f"--output={output}",
        "--model=me",
        f"--batch_size={BATCH}",
        f"--epochs={EPOCHS}",
        f"--seed={flag_values.seed}",
        "--overwrite",
    ]
    evaluate = [
        *fullrank,
        "evaluate",
        f"--run={output}",
        f"--json={output / 'eval.json'}",
        f"--output={output / 'figures'}",
    ]
    export = [*fullrank, "export", f"--run={output}", f"--output={output / 'export'}", "--version=1"]
    score = [
        sys.executable,
        str(Path(__file__).parent / "evaluation" / "score_request.py"),
        str(output / "export" / "1"),
        str(output / "request.json"),
    ]
    prepared: list[list[str] | None] = [] if (records / "schema.json").exists() else [prepare]
    return [*prepared, train, evaluate, export, None, score, *_insight(output, records)]


def _insight(output: Path, records: Path) -> list[list[str]]:
    """The commands for the report's contents other than metrics, and for the report."""
    fullrank = [sys.executable, "-m", "fullrank"]
    return [
        [
            *fullrank,
            "importance",
            f"--run={output}",
            f"--output={output / 'importance'}",
            "--examples=5000",
        ],
        [
            *fullrank,
            "correlation",
            f"--data={records}",
            "--split=test",
            f"--runs={output.name}:{output}",
            f"--output={output / 'correlation'}",
            "--figures=1",
        ],
        [*fullrank, "inspect-run", f"--run={output}", f"--json={output / 'inspect' / 'parts.json'}"],
        [*fullrank, "report", f"--run={output}", f"--output={output / 'report.html'}"],
    ]


def _write_request(records: Path, file: Path) -> None:
    """Writes the first examples of the test split as a request that TensorFlow Serving's REST interface takes."""
    import_tensorflow_quietly()
    from fullrank.data import read_records, read_schema
    from fullrank.models.serving.request_inputs import input_name

    schema = read_schema(records)
    batch = next(iter(read_records(schema, split="test", batch_size=CANDIDATES)))
    inputs = {input_name(column.name): _plain(batch[column.name].numpy().tolist()) for column in schema.input_columns}
    write_text(file, json.dumps({"inputs": inputs}, indent=1))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


if __name__ == "__main__":
    run()
