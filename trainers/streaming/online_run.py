"""Trains on a stream of events into a run directory, and resumes after any interruption."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import tensorflow as tf

from fullrank.data.command.command import saying_what_is_kept
from fullrank.data.events.event_columns import CLICKED, Batch
from fullrank.data.files.scratch import clear_leftovers
from fullrank.layers.legacy_keras import keras
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.config.optimizer import OptimizerConfig
from fullrank.trainers.run.checkpoints import Checkpoints, TrainingState, random_generators
from fullrank.trainers.run.metrics_log import MetricsLog, cut_events_after
from fullrank.trainers.run.run_directory import RunDirectory, write_json
from fullrank.trainers.run.weights import BEST_KEPT, remove_debris, save_best
from fullrank.trainers.streaming.config import OnlineConfig
from fullrank.trainers.streaming.dashboard import WINDOWS, read_dashboard, write_dashboard
from fullrank.trainers.streaming.delay_model import build_delay_model
from fullrank.trainers.streaming.late_training import LateTraining
from fullrank.trainers.streaming.online_setup import Setup, build_join, build_online_model, read_columns, set_up
from fullrank.trainers.streaming.online_state import OnlineState, Trace
from fullrank.trainers.streaming.versions import Versions

SETTINGS: Final = "online.json"
TRACE: Final = "trained.bin"


def train_online(
    config: OnlineConfig, *, model: ModelConfig, optimizer: OptimizerConfig, command: Sequence[str] = ()
) -> dict[str, Any]:
    """Trains until the stream ends, or until there are no more events now.

    Returns:
      The content of `result.json`; if the stream has not ended, the same numbers so far.

    Raises:
      ValueError: If flags, source and run directory do not fit together, or training diverges.
    """
    setup = set_up(config, model=model, optimizer=optimizer)
    run = RunDirectory(config.output)
    with run.locked():
        fresh = config.overwrite or not (run.path / SETTINGS).exists()
        if not run.exists:
            run.check_free()
        elif not fresh:
            run.check_resumable(setup.run, setup.schema)
            _check_settings(run, config)
            result = run.result()
            if result is not None:
                clear_leftovers(run.result_file)
                print(f"{run.path} is finished. Give --overwrite to start over.", flush=True)
                return _reported(run, config, result)
        if fresh:
            run.create(setup.run, setup.schema, command=command)
            write_json(dataclasses.asdict(config), run.path / SETTINGS)
        return _reported(run, config, _Online(config, setup, run).run())


def _reported(run: RunDirectory, config: OnlineConfig, result: dict[str, Any]) -> dict[str, Any]:
    """The result, after drawing the dashboard if --report asks for it."""
    if config.report:
        page = write_dashboard(run.path / "report", windows=read_dashboard(run.path), numbers=result)
        print(f"{page}: dashboard of the run.", flush=True)
    return result


def _check_settings(run: RunDirectory, config: OnlineConfig) -> None:
    stored = json.loads((run.path / SETTINGS).read_text(encoding="utf-8"))
    for field in dataclasses.fields(config):
        now = getattr(config, field.name)
        now = list(now) if isinstance(now, tuple) else now
        if not field.metadata["operational"] and stored.get(field.name, now) != now:
            raise ValueError(
                f"{run.path} holds a run with --{field.name}={stored[field.name]}, not {now}. Give the same flags to "
                "resume it, another --output to keep it, or --overwrite to replace it."
            )


class _Online:
    """The parts of one online run."""

    def __init__(self, config: OnlineConfig, setup: Setup, run: RunDirectory) -> None:
        keras.utils.set_random_seed(config.seed)
        self._config, self._run, self._source = config, run, setup.source
        self._model = build_online_model(setup, config)
        delays = build_delay_model(setup.run, self._model.schema, late=config.late)
        columns = read_columns(setup, config, model=self._model)
        self._inputs = [column.name for column in self._model.schema.input_columns]
        self._training = LateTraining(
            self._model, delays, late=config.late, columns=columns, weight=self._model.schema.weight
        )
        self._join = build_join(config, columns=columns, label=self._model.wiring.labels[0])
        self._trace = Trace(run.path / TRACE if config.trace else None)
        self._state = TrainingState()
        parts: dict[str, Any] = {"online": OnlineState(join=self._join, source=self._source, trace=self._trace)}
        if delays is not None:
            delays.optimizer.build(delays.trainable_variables)
            parts |= {"delays": delays, "delays_optimizer": delays.optimizer}
            parts["delays_generators"] = random_generators(delays)
        self._checkpoints = Checkpoints(
            model=self._model, stream=None, state=self._state, directory=run.checkpoints, parts=parts
        )
        self._log = MetricsLog(run.metrics_file)
        self._recent: Batch | None = None
        self._loss = math.nan
        self._versions = self._export_to()

    def _export_to(self) -> Versions | None:
        config = self._config
        if config.export is None:
            return None
        return Versions(
            Path(config.export),
            file=self._run.path / "exports.json",
            minutes=config.export_minutes,
            steps=config.export_steps,
            keep=config.keep,
        )

    def run(self) -> dict[str, Any]:
        """Reads and trains, and writes the result."""
        remove_debris(self._run.best, keep=BEST_KEPT)
        if self._checkpoints.restore(say=self._say):
            self._say(
                f"{self._run.path}: resumes after {self._step:,} steps, {self._join.counters['clicks']:,} clicks."
            )
        self._trace.cut()
        self._log.cut_after(self._step)
        cut_events_after(self._run.events, self._step)
        self._writer = tf.summary.create_file_writer(str(self._run.events)) if self._config.tensorboard else None
        self._saved_at = self._told_at = time.monotonic()
        with saying_what_is_kept(self._what_is_kept):
            ended = self._read_all()
        if ended:
            self._join.flush()
            self._train(all_rows=True)
        result = {"ended": ended, **self._numbers()}
        save_best(self._model, self._run.best)
        self._save()
        if ended:
            write_json(result, self._run.result_file)
            self._say(f"{self._run.path} is finished: {self._summary()}.")
        else:
            self._say(f"{self._run.path}: no more events now; the same command resumes. {self._summary()}.")
        return result

    @property
    def _step(self) -> int:
        return self._state.progress.global_step

    def _read_all(self) -> bool:
        """Trains until there are no more events; returns whether the stream has ended."""
        # A checkpoint may have been written between two steps for which there were rows: these are trained on first.
        self._train()
        while True:
            events = self._source.read()
            if events is not None:
                clicks = events.take(events.kinds == CLICKED)
                if len(clicks.ids):
                    self._recent = {name: clicks.columns[name][:500] for name in self._inputs}
                self._join.take(events, self._training.score)
                self._train()
            elif self._source.ended:
                return True
            elif self._config.follow:
                self._save_if_due()
                time.sleep(self._config.poll_seconds)
            else:
                return False

    def _train(self, *, all_rows: bool = False) -> None:
        """Takes the steps for which there are rows."""
        size = self._config.batch_size
        complete, rows = self._join.complete, self._join.rows
        while complete.rows >= size or (all_rows and complete.rows):
            self._training.delay_step(complete.take(min(size, complete.rows)))
        while rows.rows >= size or (all_rows and rows.rows):
            batch = rows.take(min(size, rows.rows))
            self._loss, weights = self._training.step(batch)
            if not math.isfinite(self._loss):
                raise ValueError(
                    self._run.note_divergence(f"The loss of step {self._step + 1} is {self._loss}: training diverged.")
                )
            self._state.progress.global_step += 1
            self._trace.append(step=self._step, ids=batch["row/id"], roles=batch["row/role"], weights=weights)
            self._after_step()

    def _after_step(self) -> None:
        config = self._config
        if self._step % config.log_steps == 0:
            self._tell()
        self._save_if_due()
        if self._versions is not None and self._versions.due(self._step):
            path = self._versions.export(self._model, rows=self._recent)
            save_best(self._model, self._run.best)
            self._say(f"{path}: version after step {self._step:,}.")

    def _save_if_due(self) -> None:
        every = self._config.checkpoint_steps
        if every is not None:
            due = self._step != self._checkpoints.step and self._step % every == 0 and self._step > 0
        else:
            due = time.monotonic() - self._saved_at >= 60.0 * self._config.checkpoint_minutes
        if due:
            self._save()

    def _save(self) -> None:
        self._checkpoints.save()
        windows = [dataclasses.asdict(window) for window in self._join.progressive.closed]
        write_json(windows, self._run.path / WINDOWS)
        self._saved_at = time.monotonic()

    def _numbers(self) -> dict[str, Any]:
        clock, release = self._join.clock, self._join.release
        stopped = {"too_late": clock.too_late, "clock_jumps": clock.jumps, "gaps": clock.gaps}
        return {
            "steps": self._step,
            "metrics": self._join.progressive.total(),
            "counters": {**self._join.counters, **stopped},
            "problems": dict(self._source.problems),
            "decisions": dict(release.decisions),
            "evicted_keys": release.counts.evicted,
            "waits": self._join.waits.tolist(),
        }

    def _tell(self) -> None:
        """Writes a line of metrics, scalars for TensorBoard, and a line of progress."""
        totals = self._join.progressive.total()
        counters = self._join.counters
        values: dict[str, Any] = {
            "loss": self._loss,
            **{f"{name}": totals["all"][name] for name in ("auc", "ne", "bias")},
            "bias_young": totals["young"]["bias"],
            "held": self._join.held,
            **{name: counters[name] for name in ("clicks", "conversions", "late")},
            **{f"decisions/{name}": number for name, number in self._join.release.decisions.items()},
            **{f"problems/{name}": number for name, number in self._source.problems.items() if number},
        }
        defined = {name: math.nan if value is None else float(value) for name, value in values.items()}
        self._log.append(kind="train", epoch=1, step=self._step, values=defined)
        if self._writer is not None:
            with self._writer.as_default(step=self._step):
                for name, value in defined.items():
                    if math.isfinite(value):
                        tf.summary.scalar(name, value)
            self._writer.flush()
        if self._config.progress:
            self._say(self._summary())

    def _summary(self) -> str:
        totals, counters = self._join.progressive.total()["all"], self._join.counters
        shown = [f"{name} {totals[name]:.4f}" for name in ("ne", "auc", "bias") if totals[name] is not None]
        wrong = {name: number for name, number in self._source.problems.items() if number}
        dropped = {n: counters[n] for n in ("duplicates", "without_click", "evicted", "without_label") if counters[n]}
        clock = self._join.clock
        dropped |= {n: v for n, v in (("too_late", clock.too_late), ("clock_jumps", clock.jumps)) if v}
        return ", ".join(
            [
                f"step {self._step:,}",
                f"{counters['clicks']:,} clicks",
                f"{counters['conversions']:,} conversions ({counters['late']:,} late)",
                f"{self._join.held:,} held",
                *shown,
                *(f"{number:,} {name}" for name, number in (wrong | dropped).items()),
            ]
        )

    def _what_is_kept(self) -> str:
        step = self._checkpoints.step
        if step is None:
            return f"{self._run.path}: nothing had been saved: the same command starts over."
        return f"{self._run.path}: the checkpoint of step {step:,} is kept: the same command resumes from there."

    def _say(self, text: str) -> None:
        print(text, flush=True)
