"""Writes what the documentation tells about source files, from the files themselves, or checks it.

    code_pages.py --write
    code_pages.py --check

docs/papers.md is the index of the papers: every mark such as `[Tencent] Eq. 4, §4.3` in a docstring, with the
definition that implements it. docs/architecture.md has two regions, the files to read first and the rooms of the
package; docs/api/layers.md has one, the table of public layers by room with the names that the papers give them.
Line numbers may lag behind the code as long as they lead into the definition that is meant; all else is stale.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import papers_index
import sources
from sources import ROOT

# Public names whose files a newcomer reads first, and why.
FIRST = {
    "fullrank.data.Schema": "what a data set is: features, labels, keys, splits",
    "fullrank.models.Wiring": "sets, experts and readers as plain data",
    "fullrank.models.stem": "a paradigm of the papers as a function that returns a wiring",
    "fullrank.models.Ranker": "the one model class, which builds any wiring",
    "fullrank.layers.GroupWeightedFM": "a layer with its equation: shapes, defaults, departures",
    "fullrank.trainers.train.run": "a command: flags, configuration, and what it calls",
}
# Public layers that the two papers, or those they cite, know by another name.
NAMES_IN_PAPERS = {
    "BitCode": "binary system of MNS",
    "BucketEmbedding": "bucketing",
    "CompressedInteraction": "CIN of xDeepFM",
    "ConversionChain": "ESMM",
    "CrossNetV2": "DCN V2",
    "EmbeddingSet": "one set of the multi-embedding paradigm (ME)",
    "FactorizationMachine": "FM",
    "FieldAttention": "AutoInt",
    "FieldAwareFM": "FFM",
    "FieldPairProjection": "projected interaction of DCN V2, FmFM",
    "FieldWeightedFM": "FwFM",
    "Gate": "gate of MMoE",
    "GaussianProcessHead": "GP",
    "GroupStructureLearning": "GSL",
    "GroupWeightedFM": "GwPFM",
    "InnerProduct": "IPNN",
    "InteractionStack": "DHEN",
    "MeanAggregator": "GraphSAGE",
    "MultipleNumeralSystem": "MNS",
    "OuterProduct": "OPNN",
    "PeriodicFeatures": "PLR",
    "PiecewiseEmbedding": "piecewise linear encoding (PLE)",
    "RandomFeatureGP": "SNGP",
    "ResidualQuantizer": "RQ, RQ-VAE",
    "SelfAttention": "BST, SASRec",
    "TargetAttention": "DIN",
    "TemporalInterest": "TIM",
    "TrainingHeads": "heads of the parts of ResL",
    "TwoStream": "FinalMLP",
}
_REGION = re.compile(r"(<!-- made by \.ci/code_pages\.py: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_LINE = re.compile(r"\]\(([^)#]+)#L(\d+)\)")


def pages(root: Path) -> dict[str, str]:
    """File below docs -> what it must hold."""
    regions = {"files": _files(root), "rooms": _rooms(root)}
    architecture = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    layers = (root / "docs" / "api" / "layers.md").read_text(encoding="utf-8")
    return {
        "papers.md": papers_index.page(root),
        "architecture.md": _with_regions(architecture, regions),
        "api/layers.md": _with_regions(layers, {"layers": _layers(root)}),
    }


def _with_regions(page: str, regions: Mapping[str, str]) -> str:
    return _REGION.sub(lambda m: f"{m[1]}\n{regions[m[2]]}\n{m[3]}", page)


def is_stale(root: Path, present: str, wanted: str, *, page: str = "papers.md") -> bool:
    """Whether a page below docs differs by more than line numbers that still lead into the definition that is meant."""
    if _LINE.sub(r"](\1)", present) != _LINE.sub(r"](\1)", wanted):
        return True
    pairs = zip(_LINE.finditer(present), _LINE.finditer(wanted), strict=True)
    return any(not _same_definition(root, page, old[1], int(old[2]), int(new[2])) for old, new in pairs)


def _same_definition(root: Path, page: str, link: str, old: int, new: int) -> bool:
    text = (root / "docs" / page).parent.joinpath(link).resolve().read_text(encoding="utf-8")
    spans = [
        (min([node.lineno, *(d.lineno for d in node.decorator_list)]), node.end_lineno or 0)
        for node in ast.parse(text).body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
    ]
    first = min((start for start, _ in spans), default=len(text))
    if new < first:  # the module's docstring
        return old < first
    return any(start <= old <= stop and start <= new <= stop for start, stop in spans)


def defined_in(root: Path, name: str) -> tuple[str, int]:
    """The file and line of a public name's definition, found through the imports of its folder.

    Raises:
      ValueError: If nothing defines it.
    """
    module, _, last = name.rpartition(".")
    path = root / Path(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == last:
            return file.relative_to(root).as_posix(), node.lineno
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == last:
                    return defined_in(root, f"{node.module}.{alias.name}")
    raise ValueError(f"{module} has no {last}")


def _files(root: Path) -> str:
    rows = ["| file | what it shows |", "|---|---|"]
    for name, reason in FIRST.items():
        file, line = defined_in(root, name)
        rows.append(f"| [`{file}`](../{file}#L{line}) | `{name.removeprefix('fullrank.')}`: {reason} |")
    return "\n".join([*rows, ""])


def _layers(root: Path) -> str:
    """One row per public layer, by room: its name, the names in the papers, and the first sentence about it."""
    faces = ast.parse((root / "layers" / "__init__.py").read_text(encoding="utf-8")).body
    names = [alias.name for node in faces if isinstance(node, ast.ImportFrom) for alias in node.names]
    unknown = set(NAMES_IN_PAPERS) - set(names)
    if unknown:
        raise ValueError(f"NAMES_IN_PAPERS has {sorted(unknown)}, which fullrank.layers does not export.")
    found = sorted((*defined_in(root, f"fullrank.layers.{name}"), name) for name in names)
    rows = ["| room | layer | in the papers | what it computes or holds |", "|---|---|---|---|"]
    for file, line, name in found:
        tree = ast.parse((root / file).read_text(encoding="utf-8"))
        (node,) = (each for each in tree.body if getattr(each, "name", None) == name)
        assert isinstance(node, (ast.ClassDef, ast.FunctionDef))  # noqa: S101
        summary = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split()).replace("|", "\\|")
        room = file.rpartition("/")[0]
        link = f"[`{name}`](../../{file}#L{line})"
        rows.append(f"| `{room}` | {link} | {NAMES_IN_PAPERS.get(name, '')} | {summary} |")
    return "\n".join([*rows, ""])


def _rooms(root: Path) -> str:
    rules = sources.room_rules(root)
    rows = ["| room | what is in it | may import |", "|---|---|---|"]
    for folder in sources.FOLDERS:
        for init in sorted((root / folder).rglob("__init__.py")):
            room = init.parent.relative_to(root).as_posix()
            allowed = rules.get(room, _imported_folders(root, folder)) - {folder}
            rows.append(f"| `{room}` | {_sentence(init)} | {', '.join(f'`{name}`' for name in sorted(allowed))} |")
    return "\n".join([*rows, ""])


def _sentence(init: Path) -> str:
    text = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def _imported_folders(root: Path, folder: str) -> frozenset[str]:
    """The folders of the package that the files on top of a folder import."""
    paths = [path.relative_to(root).as_posix() for path in (root / folder).glob("*.py")]
    files = sources.modules(root)
    return frozenset(file.split("/")[0] for path in paths for file in sources.imported_files(root, path, files=files))


def main(root: Path, arguments: list[str]) -> int:
    """Writes or checks the pages; returns the exit code."""
    if arguments not in (["--write"], ["--check"]):
        print("usage: code_pages.py --write | --check", file=sys.stderr)
        return 2
    stale = []
    for name, text in pages(root).items():
        file = root / "docs" / name
        if arguments == ["--write"]:
            file.write_text(text, encoding="utf-8")
        elif not file.is_file() or is_stale(root, file.read_text(encoding="utf-8"), text, page=name):
            stale.append(f"docs/{name}")
    if stale:
        print(f"stale: {', '.join(stale)}; run `make pages`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(ROOT, sys.argv[1:]))
