"""Runs the missing runs of a study, and writes its report."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from fullrank.data.files.printable import closest
from fullrank.data.schema.json import read_schema
from fullrank.trainers.run.run_directory import write_json
from fullrank.trainers.studies.catalogue import STUDIES
from fullrank.trainers.studies.job import ABUNDANCE, Job, config_of, run_job
from fullrank.trainers.studies.plan import BASELINE_RUN, Study, StudyConfig, read_study
from fullrank.trainers.studies.pool import appended_to, read_results, run_jobs
from fullrank.trainers.studies.report import write_report


def run_study(config: StudyConfig) -> int:
    """Runs a study to its end, or resumes it.

    Returns:
      The number of failed runs.

    Raises:
      ValueError: If the study is unknown, a flag of a variant or the records are wrong, or the directory holds another
        study.
    """
    study = chosen(find_study(config.study), config)
    output = Path(config.output)
    read_schema(config.data)
    for job in jobs_of(study, config)[: len(study.variants)]:
        for number in range(len(job.flags)):
            config_of(job, number=number)
    _claim(output, study, config)
    file = output / "results.jsonl"
    done = {(line["variant"], line["seed"]) for line in read_results(file) if "error" not in line}
    jobs = [job for job in jobs_of(study, config) if (job.variant, job.seed) not in done]
    print(f"{study.name}: {study.question}")
    print(
        f"{len(jobs)} of {len(study.variants) * len(config.seeds)} runs to do, {config.workers} at a time.", flush=True
    )
    first = [job for job in jobs if study.reads_baseline and job.variant == study.baseline]
    with appended_to(file) as append:
        for portion in (first, [job for job in jobs if job not in first]):
            run_jobs(portion, run_job, done=append, workers=config.workers, title="study")
    results = [
        line for line in read_results(file) if line["seed"] in config.seeds and line["variant"] in study.variants
    ]
    print(write_report(study, results, directory=output, records=config.data))
    print(f"\nEverything is in {output}: report.md, results.jsonl and figures.")
    succeeded = {(line["variant"], line["seed"]) for line in results if "error" not in line}
    return len(study.variants) * len(config.seeds) - len(succeeded)


def find_study(name: str) -> Study:
    """A study by name, or from a JSON file.

    Raises:
      ValueError: If there is none.
    """
    if name in STUDIES:
        return STUDIES[name]
    if Path(name).is_file():
        return read_study(Path(name))
    meant = closest(name, list(STUDIES))
    hint = f" Did you mean {meant!r}?" if meant else ""
    raise ValueError(f"--study={name}: neither a file nor a study. Studies: {', '.join(STUDIES)}.{hint}")


def chosen(study: Study, config: StudyConfig) -> Study:
    """The study with the requested variants and the baseline."""
    unknown = [name for name in config.variants if name not in study.variants]
    if unknown:
        raise ValueError(f"--variants: study {study.name} has no {unknown[0]!r}, but {', '.join(study.variants)}.")
    names = [name for name in study.variants if not config.variants or name in (*config.variants, study.baseline)]
    return dataclasses.replace(
        study,
        flags=(*study.flags, *config.flags),
        variants={name: study.variants[name] for name in names},
        expected={name: side for name, side in study.expected.items() if name in names},
    )


def jobs_of(study: Study, config: StudyConfig) -> list[Job]:
    """All runs of a study; all variants of a seed before the next seed, so that a stopped study is paired."""

    def directory(variant: str, seed: int) -> str:
        return str(Path(config.output) / "runs" / f"{variant}-{seed}")

    def flags_of(variant: str, seed: int) -> tuple[tuple[str, ...], ...]:
        baseline = directory(study.baseline, seed)
        return tuple(tuple(flag.replace(BASELINE_RUN, baseline) for flag in run) for run in study.runs_of(variant))

    return [
        Job(
            variant=variant,
            seed=seed,
            data=config.data,
            flags=flags_of(variant, seed),
            run=directory(variant, seed),
            split=config.split,
            segments=study.segments,
            duplicates=study.duplicates,
            abundance=bool(set(ABUNDANCE) & set(study.metrics)),
            keep=config.keep_runs or (study.reads_baseline and variant == study.baseline),
        )
        for seed in config.seeds
        for variant in study.variants
    ]


def _claim(output: Path, study: Study, config: StudyConfig) -> None:
    """Records the study that the directory belongs to, or checks that it is the same."""
    plan = {**dataclasses.asdict(study), "data": str(Path(config.data).resolve()), "split": config.split}
    known = {"variants", "expected"}
    file = output / "study.json"
    if file.exists():
        stored = json.loads(file.read_text(encoding="utf-8"))
        plain = json.loads(json.dumps(plan))
        different = [name for name in plain if name not in known and stored.get(name, plain[name]) != plain[name]]
        different += [name for name, flags in plain["variants"].items() if stored["variants"].get(name, flags) != flags]
        if different:
            raise ValueError(f"{output} holds another study ({', '.join(different)} differ): choose another --output.")
        plan["variants"] = {**stored["variants"], **plain["variants"]}
    write_json(plan, file)
