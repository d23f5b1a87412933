"""`backtracking VERB`: what keeps a study alive on a machine that will go away.

Exit codes: 0 proven, 1 not, 2 wrong use, 75 interrupted and resumable.
"""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import lifeboat.cli  # noqa: F401  (first: what fails to load is told as every error is)

# isort: split

import typer

from backtracking import PROJECT_ROOT
from backtracking.belief import command as belief
from backtracking.extraction import command as extraction
from backtracking.labels import command as labels
from backtracking.real_traces import command as real_traces
from backtracking.report import command as report_command
from backtracking.view import command as view
from lifeboat.cli import commands
from lifeboat.cli.app import add_verbs, run, start
from lifeboat.cli.verbs import AsJson, readable, report, state
from lifeboat.items import Item
from lifeboat.stage.errors import UserError

Overlay = Annotated[str, typer.Argument(help="Name of a file in configs/, without .yaml.")]
Price = Annotated[float, typer.Option(help="Of an hour of a GPU, in any currency.")]

app = typer.Typer(
    help="How reasoning models change their mind: run the study, check it, save it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
profile_app = typer.Typer(help="Another study by an overlay of configs/.", no_args_is_help=True)
app.add_typer(profile_app, name="profile")
app.command()(readable(extraction.extract))
app.command()(readable(belief.bench_directions))
app.command()(readable(labels.label))
app.command()(readable(labels.learn_labels))
app.command()(readable(labels.bench_labels))
app.command()(readable(real_traces.real_traces))
app.command()(readable(view.view))
app.command()(readable(report_command.track))
groups = add_verbs(app)
groups["store"].command("check")(readable(extraction.check))
groups["store"].command("import")(readable(extraction.import_states))


@app.callback()
@readable
def _everywhere(
    root: Annotated[Path, typer.Option(help="The project's folder.")] = PROJECT_ROOT,
) -> None:
    start(root, "backtracking")


@app.command(context_settings={"ignore_unknown_options": True})
@readable
def reproduce(
    arguments: Annotated[list[str] | None, typer.Argument(help="Passed to `dvc repro`.")] = None,
    ray: Annotated[
        str, typer.Option(help="Make units on a Ray cluster: HOST:PORT of its head, or `local`.")
    ] = "",
) -> None:
    """Run the pipeline (`dvc --wait-for-lock repro`) and print the time of each stage."""
    if ray:
        from backtracking.runtime import cluster

        cluster.ask_for(ray)
    commands.reproduce(arguments)


@app.command()
@readable
def smoke() -> None:
    """Load a tiny model, hook it, and compare the GPU, if there is one, with the CPU."""
    from lifeboat import processes

    environment = {**processes.environment(state.root), "PYTHONPATH": str(state.root / "src")}
    command = [sys.executable, "-m", "backtracking.stages.smoke", "--root", str(state.root)]
    finished = subprocess.run(command, check=False, cwd=state.root, env=environment)
    raise typer.Exit(finished.returncode)


@app.command()
@readable
def audit(
    file: Annotated[
        Path, typer.Argument(help="JSON Lines of points; `right` is filled in by who reads them.")
    ],
    n: Annotated[int, typer.Option(help="Points to draw where the file is not there yet.")] = 200,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind; may be repeated.")] = None,
    floor: Annotated[float, typer.Option(help="Precision that each kind has to have.")] = 0.95,
    as_json: AsJson = False,
) -> None:
    """Draw decisions for a person to read, or say how often their kinds were right."""

    def read() -> list[Item]:
        from random import Random

        from backtracking.labels.audit import precision_of, read_points, write_points
        from backtracking.runtime.workspace import Workspace

        if not file.exists():
            here = Workspace(state.root)
            problems = here.problems / "problems.jsonl"
            drawn = write_points(here.labels, problems, file, n, Random(0), tuple(kind or ()))
            fact = f"{drawn} points are in {file}: fill in `right`, and ask again."
            return [Item(fact, "warning")]
        found = precision_of(read_points(file))
        return [
            Item(
                f"{one.kind}: {one.value:.3f} of {one.n} are right "
                f"({one.low:.3f} to {one.high:.3f}).",
                "ok" if one.value >= floor else "wrong",
                "" if one.value >= floor else "What rests on this kind is not to be trusted.",
            )
            for one in found
        ] or [Item(f"Nobody has filled in `right` in {file}.", "wrong")]

    report("audit", as_json, read)


@app.command()
@readable
def show(
    trace_id: Annotated[str, typer.Argument(help="Of the trace, or how it begins.")],
    traces: Annotated[
        Path | None, typer.Option(help="A file of traces, as `view` takes it. [the study's]")
    ] = None,
    labels: Annotated[
        list[Path] | None, typer.Option(help="JSON Lines of labels; may be repeated.")
    ] = None,
    layer: Annotated[
        int | None, typer.Option(help="Project on the study's directions at this layer.")
    ] = None,
) -> None:
    """Print one trace: a sentence a line, coloured by its state, with the true kind beside it.

    NO_COLOR leaves colours out. What a terminal would obey is written out, as \\x1b.
    """
    from backtracking.view.terminal import print_trace

    if traces is None:
        if labels:
            raise UserError("Labels belong to a file of traces.", "Name it: --traces FILE.")
        from backtracking.stages.looking import open_trace

        print_trace(open_trace(state.root, trace_id, layer))
        return
    from backtracking.view.imported import open_traces
    from backtracking.view.shown import pick

    print_trace(pick(open_traces(traces, labels or ()), trace_id, str(traces)))


@app.command()
@readable
def preregister(
    check: Annotated[bool, typer.Option("--check", help="Compare it with what ran.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Replace the one that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write PREREG.md from params.yaml and the code, or say how what ran differs from it."""

    def register() -> list[Item]:
        from backtracking.domains.registry import is_exact
        from backtracking.report import preregistration
        from backtracking.runtime import pins

        if check:
            return preregistration.check(state.root, is_exact)
        pins.require(state.root / "params.yaml")
        return preregistration.write(state.root, is_exact, again=again)

    report("preregister", as_json, register)


@profile_app.command("use")
@readable
def profile_use(
    name: Overlay,
    as_json: AsJson = False,
) -> None:
    """Merge configs/NAME.yaml into params.yaml, keeping its comments and order."""

    def use() -> list[Item]:
        from backtracking.models import rented
        from backtracking.runtime import profile

        return [*profile.use(state.root, name), *rented.unpinned(state.root)]

    report("profile use", as_json, use)


@profile_app.command("list")
@readable
def profile_list(price: Price = 2.5, as_json: AsJson = False) -> None:
    """Every overlay, what it is, and what it needs of a machine."""

    def listed() -> list[Item]:
        from backtracking.models import rented

        return rented.listed(state.root, price)

    report("profile list", as_json, listed, plain=True)


@profile_app.command("show")
@readable
def profile_show(
    name: Overlay,
    gpu: Annotated[str | None, typer.Option(help="H100, A100, ... [the smallest]")] = None,
    gpus: Annotated[int, typer.Option(min=1, help="How many of them.")] = 1,
    price: Price = 2.5,
    as_json: AsJson = False,
) -> None:
    """One overlay: its models and revisions, memory, disk, hours and price."""

    def shown() -> list[Item]:
        from backtracking.models import rented

        return rented.shown(state.root, name, gpu, price, gpus)

    report("profile show", as_json, shown, plain=True)


@profile_app.command("diff")
@readable
def profile_diff(name: Overlay, as_json: AsJson = False) -> None:
    """What configs/NAME.yaml would change in params.yaml; nothing is written."""

    def difference() -> list[Item]:
        from backtracking.runtime import profile

        return profile.difference(state.root, name)

    report("profile diff", as_json, difference, plain=True)


@profile_app.command("pin")
@readable
def profile_pin(as_json: AsJson = False) -> None:
    """Fill in the commits that models and questions of the hub have now, and files' hashes."""

    def pin() -> list[Item]:
        from backtracking.domains.sets import questions
        from backtracking.models import access

        told = access.pin(state.root)
        data = questions.pin(state.root / "params.yaml")
        if data is not None:
            fact = f"`questions.data`: {data.source} has its commit and the hashes of its files"
            told.append(Item(f"{fact}: {data.revision}, {', '.join(data.sha256)}."))
        return told

    report("profile pin", as_json, pin)


@profile_app.command("tidy")
@readable
def profile_tidy(as_json: AsJson = False) -> None:
    """Move what models made that are no role of params.yaml any more out of the study's folders."""

    def tidy() -> list[Item]:
        from backtracking.runtime import profile

        return profile.put_away(state.root) or [Item("Every model belongs to a role.", "ok")]

    report("profile tidy", as_json, tidy)


def main(arguments: list[str] | None = None) -> None:
    """Runs a verb and exits with its code.

    Raises:
        SystemExit: always.
    """
    run(app, "backtracking", arguments)
