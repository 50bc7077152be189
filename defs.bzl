"""Rules for a package whose folders are mapped below a name that has no folder of its own."""

load("@rules_python//python:defs.bzl", "py_binary", "py_library", "py_test")

# Files are linked below this folder, which is an import root: data/schema/schema.py is found as fullrank/data/schema.py.
_ROOT = "_root"

def _layout_impl(ctx):
    links = []
    for file in ctx.files.srcs:
        link = ctx.actions.declare_file("%s/fullrank/%s" % (_ROOT, file.short_path))
        ctx.actions.symlink(output = link, target_file = file)
        links.append(link)
    return [DefaultInfo(files = depset(links))]

_layout = rule(
    implementation = _layout_impl,
    attrs = {"srcs": attr.label_list(allow_files = [".py"], mandatory = True)},
    doc = "Links Python files below an import root, so that they are importable as fullrank.<folder>.<file>.",
)

def _launcher_impl(ctx):
    launcher = ctx.actions.declare_file(ctx.label.name + ".py")
    ctx.actions.write(launcher, "from %s import run\n\nrun()\n" % ctx.attr.module)
    return [DefaultInfo(files = depset([launcher]))]

_launcher = rule(
    implementation = _launcher_impl,
    attrs = {"module": attr.string(mandatory = True)},
    doc = "Writes a script that calls the function `run` of a module.",
)

def fullrank_library(name, srcs, deps = []):
    """One folder of the package.

    Args:
      name: the folder.
      srcs: its Python files.
      deps: what they import.
    """
    _layout(
        name = name + "_layout",
        srcs = srcs,
    )
    py_library(
        name = name,
        srcs = [":" + name + "_layout"],
        imports = [_ROOT],
        deps = deps,
    )

def fullrank_command(name, module, deps):
    """One command line. It starts from a launcher, since a script's own folder would shadow standard modules.

    Args:
      name: the command.
      module: the module whose function `run` is called.
      deps: the library that holds it.
    """
    _launcher(
        name = name + "_launcher",
        module = module,
    )
    py_binary(
        name = name,
        srcs = [":" + name + "_launcher"],
        main = name + "_launcher.py",
        deps = deps,
    )

def fullrank_test(name, src, deps, size = "medium", tags = []):
    """One test file, run by pytest.

    Args:
      name: the file without its ending.
      src: the file.
      deps: what it imports.
      size: see py_test.
      tags: see py_test.
    """
    py_test(
        name = name,
        size = size,
        srcs = [
            src,
            "tests/run_pytest.py",
        ],
        args = ["--config-file=pyproject.toml", src],
        data = ["pyproject.toml"],
        main = "tests/run_pytest.py",
        tags = tags,
        deps = deps,
    )
