"""The collapse analysis of runs and exported models, and what training logs of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras as keras

from fullrank import models
from fullrank.analysis import analyse_collapse, open_input, pair_projections
from fullrank.analysis.collapse import run
from fullrank.data import read_records
from fullrank.data.schema.saved_tables import layout_json, read_layout
from fullrank.models.serving import export_model
from fullrank.models.serving.sample_rows import drawn_rows
from fullrank.models.table_layout import table_layout
from fullrank.trainers.config import json as config_json
from fullrank.trainers.training.load_run import load_run
from fullrank.trainers.training.train_model import train_model


@pytest.fixture(scope="module")
def crossed_run(toy_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two sets and a cross network that logs information abundance."""
    output = tmp_path_factory.mktemp("crossed") / "run"
    parts: dict[str, dict[str, Any]] = {
        "data": {"data": str(toy_records), "batch_size": 64},
        "model": {"model": "me", "widths": (4, 4), "experts": ("flat:0", "crossnet:1"), "hidden": (8,), "tower": ()},
        "optimizer": {"table_learning_rate": 0.2},
        "train": {"output": str(output), "epochs": 2, "progress": "none", "log_collapse": True},
    }
    train_model(config_json.from_json(parts, source="test"))
    return output


def collapse(*arguments: str) -> None:
    run(["collapse", *arguments])


def test_a_run_is_analysed_table_by_table(
    crossed_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, numbers = tmp_path / "collapse", tmp_path / "numbers" / "all.json"
    collapse(f"--input={crossed_run}", f"--output={output}", f"--json={numbers}")
    assert {path.name for path in output.iterdir()} == {
        "collapse.json",
        "abundance_set0.png",
        "abundance_set1.png",
        "spectra_set0.png",
        "spectra_set1.png",
        "diversity.png",
        "partners_crossnet_1.png",
    }
    content = json.loads((output / "collapse.json").read_text())
    assert content == json.loads(numbers.read_text())
    assert content["kind"] == "run"
    model = load_run(crossed_run).model
    for table in content["tables"]:
        values = model.sets[table["set"]].table(table["table"]).numpy()
        assert table["rows"] == len(values)
        assert table["trained_rows_known_by"] == "optimizer slots"
        if table["trained_rows"] == len(values):
            exact = np.linalg.svd(values, compute_uv=False)
            np.testing.assert_allclose(table["singular_values"], exact, rtol=1e-5)
            assert table["information_abundance"] == pytest.approx(exact.sum() / exact[0])
    assert {(table["set"], table["table"]) for table in content["tables"]} == {
        (name, table) for name in ("set0", "set1") for table in ("user", "item", "tags", "age")
    }
    printed = capsys.readouterr().out
    assert "set1/item" in printed
    assert "Trained rows are identified by optimizer slots." in printed
    assert printed.endswith(f"Wrote {output}.\n")


def test_rows_that_no_example_names_are_left_out(crossed_run: Path, toy_records: Path) -> None:
    # 30 users, of whom all are seen, and the rows for a missing and an unknown id, which no example reads.
    seen = {
        int(u) for batch in read_records(toy_records, split="train", batch_size=400, seed=None) for u in batch["user"]
    }
    found = {table.name: table for table in analyse_collapse(open_input(crossed_run)).tables}
    user = found["set0/user"]
    assert user.all_rows == 32
    assert user.trained is not None
    assert set(np.flatnonzero(user.trained) - 2) == seen
    assert user.spectrum.rows == len(seen)


def test_diversity_is_that_of_the_tables(crossed_run: Path) -> None:
    found = analyse_collapse(open_input(crossed_run))
    (user,) = (each for each in found.diversities if each.table == "user")
    assert user.sets == ("set0", "set1")
    model = load_run(crossed_run).model
    bases = [np.linalg.qr(model.sets[name].table("user").numpy()[2:])[0] for name in ("set0", "set1")]
    cosines = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    assert user.found.index == pytest.approx(1 - cosines.mean(), abs=1e-5)


@pytest.mark.parametrize("rank", [None, 3])
def test_projections_are_those_that_the_cross_network_applies(
    every_kind: tuple[Any, Any], make_batch: Callable[..., Any], rank: int | None
) -> None:
    schema, vocabularies = every_kind
    wiring = models.single(width=4, experts=("crossnet",), tasks=("click",))
    options = models.RankerOptions(interactions=models.InteractionOptions(cross_depth=1, cross_rank=rank))
    model = models.Ranker(schema, wiring, options, vocabularies=vocabularies)
    (cross,) = table_layout(model).crosses
    (expert,) = model.trunk.experts
    first = expert.interaction.first_kernels
    assert [weight.name.startswith(f"{cross.scope}/") for weight in first] == [True] * (1 if rank is None else 2)
    kernels = [weight.numpy() for weight in first]
    kernel = kernels[0] if rank is None else kernels[0] @ kernels[1]
    fields = np.random.default_rng(0).normal(size=(5, len(cross.fields), 4)).astype(np.float32)
    # With zero biases x_1 - x_0 = x_0 * (x_0 W): field j becomes e_j * sum_i e_i W_{i->j}.
    projections = pair_projections(kernel, fields=len(cross.fields))
    expected = fields * np.einsum("bid,ijde->bje", fields, projections)
    found = expert.interaction(fields).numpy().reshape(fields.shape) - fields
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert cross.fields == model.trunk.inputs_of_sets["set0"].field_names
    assert cross.tables[cross.fields.index("user")] == "user"


def test_abundance_by_partner_is_that_of_table_times_projection(crossed_run: Path) -> None:
    (found,) = analyse_collapse(open_input(crossed_run)).partners
    model = load_run(crossed_run).model
    assert (found.expert, found.set) == ("crossnet_1", "set1")
    (kernel,) = model.trunk.experts[1].interaction.first_kernels
    i, j = found.partners.index("user"), found.partners.index("age")
    block = kernel.numpy()[4 * i : 4 * i + 4, 4 * j : 4 * j + 4]
    exact = np.linalg.svd(model.sets["set1"].table("user").numpy()[2:] @ block, compute_uv=False)
    assert found.abundance[found.fields.index("user"), j] == pytest.approx(exact.sum() / exact[0], rel=1e-4)


def test_an_exported_model_is_analysed_like_its_run(crossed_run: Path, tmp_path: Path) -> None:
    loaded = load_run(crossed_run)
    export_model(loaded.model, output=tmp_path / "served", rows=drawn_rows(loaded.schema, number=500))
    assert json.loads((tmp_path / "served" / "1" / "assets" / "tables.json").read_text())["format"] == 1
    exported = analyse_collapse(open_input(tmp_path / "served"))
    best = analyse_collapse(open_input(crossed_run / "best"))
    assert (exported.given.kind, best.given.kind) == ("SavedModel", "checkpoint")
    assert {table.known_by for table in (*exported.tables, *best.tables)} == {"nothing"}
    of_best = {table.name: table.spectrum for table in best.tables}
    assert len(exported.tables) == len(of_best) == 8
    for table in exported.tables:
        np.testing.assert_allclose(table.spectrum.singular_values, of_best[table.name].singular_values, rtol=1e-6)
    np.testing.assert_allclose(exported.partners[0].abundance, best.partners[0].abundance, rtol=1e-4)


@pytest.mark.parametrize("weights", ["int8", "bfloat16"])
def test_an_export_in_fewer_bytes_is_analysed_too(crossed_run: Path, tmp_path: Path, weights: Any) -> None:
    loaded = load_run(crossed_run)
    rows = drawn_rows(loaded.schema, number=500)
    export_model(loaded.model, output=tmp_path / "served", rows=rows, weights=weights)
    exported = analyse_collapse(open_input(tmp_path / "served"))
    best = {table.name: table.spectrum for table in analyse_collapse(open_input(crossed_run / "best")).tables}
    assert len(exported.tables) == len(best) == 8
    for table in exported.tables:
        expected = best[table.name].singular_values
        np.testing.assert_allclose(table.spectrum.singular_values, expected, atol=0.01 * expected.max())


def test_tables_json_says_what_the_model_holds(crossed_run: Path) -> None:
    layout = read_layout(crossed_run / "tables.json")
    model = load_run(crossed_run).model
    assert layout == table_layout(model)
    variables = {variable.name.removesuffix(":0"): variable for variable in model.table_variables.values()}
    for entry in layout.variables:
        for table in entry.tables:
            values = variables[entry.variable][table.start : table.start + table.rows]
            np.testing.assert_array_equal(values, model.sets[entry.set].table(table.name))


def test_information_abundance_is_logged_each_epoch(crossed_run: Path) -> None:
    lines = [json.loads(line) for line in (crossed_run / "metrics.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if line["kind"] == "epoch"]
    names = {f"ia/{name}/{table}" for name in ("set0", "set1") for table in ("user", "item", "tags", "age")}
    assert len(epochs) == 2
    for line in epochs:
        assert {name for name in line if name.startswith("ia/")} == names
        assert all(1 <= line[name] <= 4 for name in names)
    if json.loads((crossed_run / "result.json").read_text())["best_epoch"] == 2:
        found = {table.name: table.spectrum.measures() for table in analyse_collapse(open_input(crossed_run)).tables}
        for name, measures in found.items():
            assert epochs[1][f"ia/{name}"] == pytest.approx(measures["information_abundance"], rel=1e-5)


def test_a_table_is_a_set_and_a_name(crossed_run: Path, tmp_path: Path) -> None:
    counts: dict[str, Any] = {"set1/user": np.arange(32)}
    np.savez(tmp_path / "counts.npz", **counts)
    collapse(
        f"--input={crossed_run}",
        f"--output={tmp_path / 'out'}",
        "--tables=^set1/(user|age)$",
        f"--frequencies={tmp_path / 'counts.npz'}",
    )
    content = json.loads((tmp_path / "out" / "collapse.json").read_text())
    by_name = {table["table"]: table for table in content["tables"]}
    assert set(by_name) == {"user", "age"}
    assert by_name["user"]["trained_rows"] == 31
    assert by_name["user"]["weighted_by_frequency"]["effective_rank"] > 1
    assert by_name["age"]["weighted_by_frequency"] is None
    assert content["diversity"] == []
    assert not (tmp_path / "out" / "diversity.png").exists()


def test_weights_of_strangers_are_analysed_and_unknown_rows_are_owned_up_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = keras.Sequential([keras.layers.Embedding(50, 4, name="items"), keras.layers.Dense(3)])
    model.build((None, 1))
    model.save_weights(tmp_path / "weights")
    output = tmp_path / "out"
    collapse(f"--input={tmp_path / 'weights'}", "--min_rows=20", f"--output={output}")
    printed = capsys.readouterr().out
    assert "items/embeddings" in printed
    assert "The trained rows of 1 tables are unknown, so all rows count" in printed
    assert "Not used as tables: dense" in printed
    assert {path.name for path in output.iterdir()} == {"collapse.json", "abundance.png", "spectra.png"}


def test_nothing_is_replaced_or_left_half_written(
    crossed_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    np.savez(tmp_path / "counts.npz", user=np.ones(3))

    def fails(*more: str, code: int = 1) -> str:
        with pytest.raises(SystemExit) as exit_:
            collapse(f"--input={crossed_run}", f"--output={output}", *more)
        assert exit_.value.code == code
        return capsys.readouterr().err

    assert "The frequencies of user must be 32 numbers" in fails(f"--frequencies={tmp_path / 'counts.npz'}")
    assert "finds. Its largest matrices: " in fails("--tables=nothing_like_it")
    assert [path.name for path in tmp_path.iterdir()] == ["counts.npz"]
    collapse(f"--input={crossed_run}", f"--output={output}", "--tables=user")
    assert "exists already" in fails("--tables=user")
    collapse(f"--input={crossed_run}", f"--output={output}", "--tables=item", "--overwrite")
    (table, _) = json.loads((output / "collapse.json").read_text())["tables"]
    assert table["table"] == "item"
    assert "--output is required" in _usage(capsys)


def _usage(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as exit_:
        collapse("--input=x")
    assert exit_.value.code == 2
    return capsys.readouterr().err


def test_a_run_without_tables_json_gets_a_hint(crossed_run: Path, tmp_path: Path) -> None:
    for name in ("config.json", "schema.json"):
        (tmp_path / name).write_bytes((crossed_run / name).read_bytes())
    with pytest.raises(ValueError, match=r"holds no tables\.json.*--input=.*best"):
        open_input(tmp_path)
    (tmp_path / "tables.json").write_bytes((crossed_run / "tables.json").read_bytes())
    with pytest.raises(ValueError, match="holds no weights yet"):
        open_input(tmp_path)


def test_a_layout_of_another_model_is_refused(crossed_run: Path, tmp_path: Path) -> None:
    for name in ("config.json", "schema.json"):
        (tmp_path / name).write_bytes((crossed_run / name).read_bytes())
    (tmp_path / "best").symlink_to(crossed_run / "best")
    layout = read_layout(crossed_run / "tables.json")
    first = layout.variables[0]
    renamed = dataclasses.replace(first, variable="ranker/other")
    longer = dataclasses.replace(first, tables=(dataclasses.replace(first.tables[0], rows=10**6),))
    for changed, message in ((renamed, "has no variable 'ranker/other'"), (longer, r"which tables\.json does not fit")):
        content = layout_json(dataclasses.replace(layout, variables=(changed, *layout.variables[1:])))
        (tmp_path / "tables.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match=message):
            open_input(tmp_path)
