"""Packaging of fullrank: the five source folders become the package `fullrank`."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
FOLDERS = ("data", "layers", "models", "trainers", "analysis")
COMMANDS = {
    "fullrank": "trainers.commands",
    "fullrank-train": "trainers.train",
    "fullrank-cluster": "trainers.cluster",
    "fullrank-evaluate": "trainers.evaluate",
    "fullrank-export": "trainers.export",
    "fullrank-predict": "trainers.predict",
    "fullrank-request": "trainers.request",
    "fullrank-prepare": "data.prepare",
    "fullrank-demo": "trainers.demo",
    "fullrank-conflicts": "trainers.conflicts",
    "fullrank-importance": "trainers.importance",
    "fullrank-groups": "trainers.groups",
    "fullrank-index": "trainers.index",
    "fullrank-inspect-run": "trainers.inspect_run",
    "fullrank-prerank": "trainers.prerank",
    "fullrank-cascade": "trainers.cascade",
    "fullrank-recall": "trainers.recall",
    "fullrank-retrieve": "trainers.retrieve",
    "fullrank-convert": "data.convert",
    "fullrank-infer": "data.infer",
    "fullrank-delays": "data.delays",
    "fullrank-hash-id": "data.hash_id",
    "fullrank-inspect": "data.inspect",
    "fullrank-pretrain-graph": "trainers.pretrain_graph",
    "fullrank-study": "trainers.study",
    "fullrank-control": "trainers.control",
    "fullrank-search": "trainers.search",
    "fullrank-explore": "trainers.explore",
    "fullrank-online": "trainers.online",
    "fullrank-replay-conversions": "trainers.replay_conversions",
    "fullrank-replay-exposures": "trainers.replay_exposures",
    "fullrank-collapse": "analysis.collapse",
    "fullrank-compare": "analysis.compare",
    "fullrank-correlation": "analysis.correlation",
    "fullrank-hamming": "analysis.hamming",
    "fullrank-entanglement": "analysis.entanglement",
    "fullrank-report": "analysis.report",
}
APPROXIMATE = ["faiss-cpu>=1.12,<2"]
CONVERTING = ["onnx>=1.17,<2", "onnxruntime>=1.20,<2", "tf2onnx>=1.17,<2"]
SEARCHING = ["optuna>=4.5,<6"]
BEAM = ["apache-beam>=2.77,<3"]
STREAMING = ["confluent-kafka>=2.6,<3"]
TESTING = [
    *APPROXIMATE,
    *SEARCHING,
    *STREAMING,
    "hypothesis",
    "jsonschema",
    "pytest>=8",
    "pytest-timeout",
    "pytest-xdist",
    "pyyaml>=6",
]
DEVELOPING = ["build", "mkdocstrings-python", "mypy", "pre-commit", "ruff", "setuptools>=65", "wheel", "zensical"]

# The package has no __init__.py of its own: `fullrank` is a namespace whose parts are the top-level folders, and the
# only file of its own is __main__.py. find_packages walks only those folders, so that tests, benchmarks and virtual
# environments stay outside.
PACKAGES = find_packages(where=str(ROOT), include=[pattern for name in FOLDERS for pattern in (name, f"{name}.*")])


class BuildWithoutThisFile(build_py):
    """Leaves setup.py, which is next to __main__.py, out of the package."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """The modules of a package as (package, module, file)."""
        found: list[tuple[str, str, str]] = super().find_package_modules(package, package_dir)
        return [entry for entry in found if entry[:2] != ("fullrank", "setup")]


setup(
    name="fullrank",
    cmdclass={"build_py": BuildWithoutThisFile},
    version="0.1.0",
    description="A TensorFlow model zoo for ad ranking.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    author="The fullrank authors",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    python_requires=">=3.11,<3.14",
    packages=["fullrank", *("fullrank." + package for package in PACKAGES)],
    package_dir={"fullrank": "."},
    package_data={"": ["py.typed"]},
    zip_safe=False,
    install_requires=[
        "absl-py",
        "duckdb>=2,<3",
        "google-crc32c",
        "jinja2",
        "matplotlib",
        "numpy",
        "protobuf",
        "pyarrow",
        "scikit-learn",
        "scipy",
        # TensorBoard is no longer a dependency of TensorFlow, but tf.summary and the Keras callback need it.
        "tensorboard>=2.21,<2.22",
        # tf_keras follows TensorFlow minor by minor, so both are held to the same one.
        "tensorflow>=2.21,<2.22",
        "tensorflow-probability>=0.25,<0.26",
        "tensorflow-recommenders>=0.7.7,<0.8",
        # Protocol buffers only (30 kB): the requests in the warm-up file of an export.
        "tensorflow-serving-api>=2.21,<2.22",
        "tf-keras>=2.21,<2.22",
        # tensorflow-probability imports distutils, which Python 3.12 dropped and setuptools still provides.
        "setuptools; python_version >= '3.12'",
        "tqdm",
    ],
    extras_require={
        "ann": APPROXIMATE,
        "beam": BEAM,
        "kafka": STREAMING,
        "onnx": CONVERTING,
        "search": SEARCHING,
        "test": TESTING,
        "dev": TESTING + DEVELOPING,
    },
    entry_points={"console_scripts": [f"{name} = fullrank.{module}:run" for name, module in COMMANDS.items()]},
)
