"""`backtracking VERB`: what keeps a study alive on a machine that will go away.

Exit codes: 0 proven, 1 not, 2 wrong use, 75 interrupted and resumable.
"""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from backtracking import PROJECT_ROOT
from backtracking.belief import command as belief
from backtracking.extraction import command as extraction
from lifeboat.cli import commands
from lifeboat.cli.verbs import AsJson, readable, report, show, state
from lifeboat.items import Item
from lifeboat.stage.errors import UserError

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
app.command()(readable(extraction.extract))
app.command()(readable(belief.bench_directions))
app.command()(readable(commands.verify))
app.command()(readable(commands.restore))
app.command()(readable(commands.backup))
app.command()(readable(commands.watch))

Message = Annotated[str, typer.Option("--message", "-m", help="Message of the commit.")]


@app.callback()
def _everywhere(
    root: Annotated[Path, typer.Option(help="The project's folder.")] = PROJECT_ROOT,
) -> None:
    from lifeboat import accounts

    state.root = root.resolve()
    accounts.load(state.root)


@app.command()
@readable
def doctor(as_json: AsJson = False) -> None:
    """Check this machine: fact, verdict, cure. Exit 0 only if the study can run and be saved."""

    def examine() -> list[Item]:
        from lifeboat.doctor import doctor

        return doctor.examine(state.root)

    report("doctor", as_json, examine)


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
def snapshot(as_json: AsJson = False) -> None:
    """Record the state of this checkout in runs/YYYYMMDD_HHMMSS/."""

    def take() -> list[Item]:
        from lifeboat.saving import snapshot

        return [*snapshot.take(state.root), snapshot.HERE_ONLY]

    report("snapshot", as_json, take)


@app.command("log")
@readable
def log_entry(
    title: Annotated[str, typer.Argument(help="Title of the entry, one line.")],
    as_json: AsJson = False,
) -> None:
    """Put a new entry into reports/experiment_log.md, with commit, models and metrics filled in."""

    def add() -> list[Item]:
        from lifeboat.saving import experiment_log

        return experiment_log.add(state.root, title)

    report("log", as_json, add)


@app.command()
@readable
def push(message: Message = "", as_json: AsJson = False) -> None:
    """Commit and push code to git and data to DVC's remote, and say what was not saved.

    Every change that git does not ignore goes into the commit. Exit 0 only if code and data are
    somewhere else than on this machine.
    """

    def send() -> list[Item]:
        from lifeboat.saving import push

        return push.push(state.root, message)

    report("push", as_json, send)


@app.command(context_settings={"ignore_unknown_options": True})
@readable
def reproduce(
    arguments: Annotated[list[str] | None, typer.Argument(help="Passed to `dvc repro`.")] = None,
) -> None:
    """Run the pipeline (`dvc --wait-for-lock repro`) and print the time of each stage."""
    from lifeboat.running import reproduce

    outcome = reproduce.reproduce(state.root, arguments or [])
    for stage, seconds in outcome.seconds.items():
        typer.echo(f"{seconds:9.1f} s  {stage}")
    show([outcome.ending])
    raise typer.Exit(outcome.code)


@remote_app.command("set")
@readable
def remote_set(
    url: Annotated[str, typer.Argument(help="Such as s3://bucket/path.")],
    endpoint: Annotated[str, typer.Option(help="Address of an S3-compatible service.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make URL the default remote in .dvc/config; keys never go there, the old remote stays."""

    def store() -> list[Item]:
        from lifeboat.remotes import remote

        return remote.set_default(state.root, url, endpoint)

    report("remote set", as_json, store)


@profile_app.command("use")
@readable
def profile_use(
    name: Annotated[str, typer.Argument(help="Name of a file in configs/, without .yaml.")],
    as_json: AsJson = False,
) -> None:
    """Merge configs/NAME.yaml into params.yaml, keeping its comments and order."""

    def use() -> list[Item]:
        from backtracking.runtime import profile

        return profile.use(state.root, name)

    report("profile use", as_json, use)


@profile_app.command("tidy")
@readable
def profile_tidy(as_json: AsJson = False) -> None:
    """Move what models made that are no role of params.yaml any more out of the study's folders."""

    def tidy() -> list[Item]:
        from backtracking.runtime import profile

        return profile.put_away(state.root) or [Item("Every model belongs to a role.", "ok")]

    report("profile tidy", as_json, tidy)


@store_app.command("prune")
@readable
def store_prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list.")] = False,
    remote: Annotated[
        bool, typer.Option("--remote", help="In the DVC remote: old parts that no machine names.")
    ] = False,
    forget: Annotated[
        str, typer.Option(help="With --remote: a machine whose unfinished work is not needed.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Remove shards that no manifest names and checkpoints of finished models."""

    def prune() -> list[Item]:
        from backtracking.runtime.workspace import Workspace
        from lifeboat.remotes import remote_store
        from lifeboat.saving import store

        if remote:
            return remote_store.prune(state.root, forget=forget, dry_run=dry_run)
        if forget:
            raise UserError("`--forget` goes with `--remote`.")
        return store.prune(Workspace(state.root), dry_run=dry_run)

    report("store prune", as_json, prune)


def main(arguments: list[str] | None = None) -> None:
    """Runs a verb and exits with its code.

    Raises:
        SystemExit: always.
    """
    app(arguments, prog_name="backtracking")
