"""`backtracking VERB`: what keeps a study alive on a machine that will go away.

Exit codes: 0 proven, 1 not, 2 wrong use, 75 interrupted and resumable.
"""

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from backtracking import PROJECT_ROOT
from backtracking.errors import UserError
from backtracking.operations import items as reports
from backtracking.operations.items import Item

INTERRUPTED = 75

P = ParamSpec("P")

app = typer.Typer(
    help="How reasoning models change their mind: run the study, check it, save it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
remote_app = typer.Typer(help="Where DVC sends data.", no_args_is_help=True)
profile_app = typer.Typer(help="Another study by an overlay of configs/.", no_args_is_help=True)
store_app = typer.Typer(help="The store of shards and checkpoints.", no_args_is_help=True)
app.add_typer(remote_app, name="remote")
app.add_typer(profile_app, name="profile")
app.add_typer(store_app, name="store")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Message = Annotated[str, typer.Option("--message", "-m", help="Message of the commit.")]


def _readable(verb: Callable[P, None]) -> Callable[P, None]:
    """A verb whose errors end in one paragraph, and an interruption in the code for it."""

    @functools.wraps(verb)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        try:
            verb(*arguments, **options)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            print("Interrupted. Run the same command again to go on.", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None

    return run


@dataclass
class _State:
    root: Path = PROJECT_ROOT


_state = _State()


@app.callback()
def _everywhere(
    root: Annotated[Path, typer.Option(help="The project's folder.")] = PROJECT_ROOT,
) -> None:
    from backtracking.operations import accounts

    _state.root = root.resolve()
    accounts.load(_state.root)


@app.command()
@_readable
def doctor(as_json: AsJson = False) -> None:
    """Check this machine: fact, verdict, cure. Exit 0 only if the study can run."""

    def examine() -> list[Item]:
        from backtracking.operations import doctor

        return doctor.examine(_state.root)

    _report("doctor", as_json, examine)


@app.command()
@_readable
def smoke() -> None:
    """Load a tiny model, hook it, and compare the GPU, if there is one, with the CPU."""
    from backtracking.operations import processes

    environment = {**processes.environment(_state.root), "PYTHONPATH": str(_state.root / "src")}
    command = [sys.executable, "-m", "backtracking.stages.smoke", "--root", str(_state.root)]
    finished = subprocess.run(command, check=False, cwd=_state.root, env=environment)
    raise typer.Exit(finished.returncode)


@app.command()
@_readable
def snapshot(as_json: AsJson = False) -> None:
    """Record the state of this checkout in runs/YYYYMMDD_HHMMSS/."""

    def take() -> list[Item]:
        from backtracking.operations import snapshot

        return [*snapshot.take(_state.root), snapshot.HERE_ONLY]

    _report("snapshot", as_json, take)


@app.command()
@_readable
def push(message: Message = "", as_json: AsJson = False) -> None:
    """Commit and push code to git and data to DVC's remote, and say what was not saved.

    Every change that git does not ignore goes into the commit. Exit 0 only if code and data are
    somewhere else than on this machine.
    """

    def send() -> list[Item]:
        from backtracking.operations import push

        return push.push(_state.root, message)

    _report("push", as_json, send)


@app.command()
@_readable
def backup(message: Message = "", as_json: AsJson = False) -> None:
    """Take a snapshot, then push."""

    def save() -> list[Item]:
        from backtracking.operations import push

        return push.backup(_state.root, message)

    _report("backup", as_json, save)


@app.command(context_settings={"ignore_unknown_options": True})
@_readable
def reproduce(
    arguments: Annotated[list[str] | None, typer.Argument(help="Passed to `dvc repro`.")] = None,
) -> None:
    """Run the pipeline (`dvc --wait-for-lock repro`) and print the time of each stage."""
    from backtracking.operations import reproduce

    outcome = reproduce.reproduce(_state.root, arguments or [])
    for stage, seconds in outcome.seconds.items():
        typer.echo(f"{seconds:9.1f} s  {stage}")
    _show([outcome.ending])
    raise typer.Exit(outcome.code)


@app.command()
@_readable
def extract(
    model: Annotated[str, typer.Option(help="Folder in transformers format, or a hub id.")],
    traces: Annotated[Path, typer.Option(help="JSON Lines with token_ids (and prompt_ids).")],
    out: Annotated[Path, typer.Option(help="Folder to publish.")],
    sentences: Annotated[
        Path | None, typer.Option(help="JSON Lines with trace_id, index, start, end.")
    ] = None,
    hook: Annotated[
        str, typer.Option(help="resid_post, resid_pre, attn_out or mlp_out.")
    ] = "resid_post",
    layers: Annotated[str, typer.Option(help="all, or such as 0,4,10-12.")] = "all",
    window: Annotated[
        str | None,
        typer.Option(help="Offsets kept around sentence starts, --window=-13:10; else all tokens."),
    ] = None,
    means: Annotated[bool, typer.Option("--means", help="Keep sentence means as well.")] = False,
    dtype: Annotated[str, typer.Option(help="In which the model runs.")] = "float32",
    stored_dtype: Annotated[str | None, typer.Option(help="Of what is stored; else dtype.")] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(help="One process each; may be repeated. Else every GPU, or the CPU."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes on one device.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of each.")] = None,
    store: Annotated[
        Path | None, typer.Option(help="Folder of the shards by key; else beside OUT.")
    ] = None,
    unit_traces: Annotated[int | None, typer.Option(min=1, help="Traces in a shard.")] = None,
    tokens_per_batch: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a forward pass.")
    ] = None,
    floor: Annotated[
        float | None, typer.Option(help="Largest relative difference that the check accepts.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Of a hub id.")] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Compute damaged shards of OUT again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a model's activations on given token ids; resumes, adds only what is missing.

    Needs no params.yaml and no DVC. Exit 75 when interrupted: the same command goes on.
    """

    def take() -> list[Item]:
        from backtracking import interruption
        from backtracking.extraction import standalone

        interruption.install()
        done = standalone.run(
            standalone.Options(
                model=model,
                revision=revision,
                traces=traces,
                sentences=sentences,
                out=out,
                store=store,
                hook=hook,
                layers=layers,
                window=window,
                means=means,
                dtype=dtype,
                stored_dtype=stored_dtype,
                devices=tuple(device or ()),
                n_workers=workers,
                n_threads=threads,
                unit_traces=unit_traces,
                tokens_per_batch=tokens_per_batch,
                floor=floor,
                repair=repair,
            )
        )
        return [Item(line) for line in standalone.told(out, done)]

    _report("extract", as_json, take)


@remote_app.command("set")
@_readable
def remote_set(
    url: Annotated[str, typer.Argument(help="Such as s3://bucket/path.")],
    endpoint: Annotated[str, typer.Option(help="Address of an S3-compatible service.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make URL the default remote in .dvc/config; keys never go there, the old remote stays."""

    def store() -> list[Item]:
        from backtracking.operations import remote

        return remote.set_default(_state.root, url, endpoint)

    _report("remote set", as_json, store)


@profile_app.command("use")
@_readable
def profile_use(
    name: Annotated[str, typer.Argument(help="Name of a file in configs/, without .yaml.")],
    as_json: AsJson = False,
) -> None:
    """Merge configs/NAME.yaml into params.yaml, keeping its comments and order."""

    def use() -> list[Item]:
        from backtracking.operations import profile

        return profile.use(_state.root, name)

    _report("profile use", as_json, use)


@store_app.command("prune")
@_readable
def store_prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove shards that no manifest names and checkpoints of finished models."""

    def prune() -> list[Item]:
        from backtracking.operations import store
        from backtracking.workspace import Workspace

        return store.prune(Workspace(_state.root), dry_run=dry_run)

    _report("store prune", as_json, prune)


def main(arguments: list[str] | None = None) -> None:
    """Runs a verb and exits with its code.

    Raises:
        SystemExit: always.
    """
    app(arguments, prog_name="backtracking")


def _report(command: str, as_json: bool, act: Callable[[], list[Item]]) -> None:
    try:
        found = act()
    except UserError as error:
        if not as_json:
            raise
        found = [Item(str(error), "wrong")]
    found = [_redacted(item) for item in found]
    if as_json:
        print(json.dumps(reports.as_object(command, found), indent=2))
    else:
        _show(found)
    if not reports.proven(found):
        raise typer.Exit(1)


def _redacted(item: Item) -> Item:
    from backtracking.operations.redaction import redact

    return Item(redact(item.fact), item.verdict, redact(item.cure))


def _show(found: list[Item]) -> None:
    marks = {
        "ok": ("ok     ", "green"),
        "warning": ("warning", "yellow"),
        "wrong": ("WRONG  ", "red"),
    }
    for item in found:
        word, colour = marks[item.verdict]
        typer.echo(f"{typer.style(word, fg=colour)}  {item.fact}")
        if item.cure:
            typer.echo(f"         -> {item.cure}")
