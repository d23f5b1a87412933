"""The verbs that save work, their options, and what they answer. Nothing heavy until they run."""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from lifeboat.cli.verbs import AsJson, report, show, state, tell
from lifeboat.items import Item, ending
from lifeboat.stage.errors import UserError

Message = Annotated[str, typer.Option("--message", "-m", help="Message of the commit.")]
RemoteName = Annotated[
    str | None, typer.Option("--remote", "-r", help="Name of a DVC remote; else the default.")
]


def verify(
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="TARGET", help="A stage, an out, or a path inside one; else all."),
    ] = None,
    remote: RemoteName = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read and hash every object.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prove that the remote holds what HEAD and the workspace need; DVC's word is not asked for.

    Every object that is missing or wrong is named, with stage and path. Exit 0 only if something is
    expected and all of it is there.
    """
    from lifeboat.proof import verify

    report("verify", as_json, lambda: verify.verify(state.root, targets, remote, deep=deep))


def restore(
    remote: RemoteName = None,
    no_wip: Annotated[
        bool, typer.Option("--no-wip", help="Leave unfinished work of the wip/ branch there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring back what was saved, say which stages will run and how long, and the next command.

    For a fresh clone on a new machine, and harmless anywhere else: no change of yours is
    overwritten. Exit 0 only if all that was looked for came back whole.
    """
    from lifeboat.restoring import restore

    report(
        "restore", as_json, lambda: restore.restore(state.root, take_wip=not no_wip, remote=remote)
    )


def backup(
    message: Annotated[
        str,
        typer.Option("--message", "-m", help="Commit every change on the branch, under this."),
    ] = "",
    deadline: Annotated[
        str | None, typer.Option(help="How long it may take, such as 90s or 2m.")
    ] = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="Ask running stages to stop where they are saved.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Save code, data and unfinished work elsewhere, and prove it: before the machine goes.

    Changes that are not of the pipeline go to the branch wip/BRANCH, and index, HEAD and files stay
    as they are. With --deadline what is small and cannot be made again goes first. Safe beside a
    running repro, and to interrupt. Exit 0 only if all is proven.
    """
    from lifeboat.deadlines import Deadline, seconds_of

    ends = Deadline() if deadline is None else Deadline.after(seconds_of(deadline) - _age())
    found: list[Item] = []

    def save() -> list[Item]:
        from lifeboat.saving import backup  # here, so that a slow disk is within the time, too

        own = None if ends.is_never else max(ends.left - 1.5, ends.left / 2)
        saved = backup.backup(state.root, message, own, stop=stop, items=found)
        return [*saved, ending(saved)]

    if ends.is_never:
        return report("backup", as_json, save)
    # In a hurry the process ends in time, whatever hangs.
    guard = threading.Timer(max(0.0, ends.left - 0.3), _give_up, (found, as_json))
    guard.daemon = True
    guard.start()
    code = tell("backup", as_json, save)
    guard.cancel()
    _leave(code)


def _age() -> float:
    """Seconds since this process was started: a deadline counts from then."""
    import psutil

    return max(0.0, time.time() - psutil.Process().create_time())


def _give_up(found: list[Item], as_json: bool) -> None:
    """Tells at the last moment what is known, where something local has hung."""
    fact = "THE TIME WAS UP in the middle of it: what is not named here as saved is not."
    known = [*found, Item(fact, "wrong", "Run it again: what arrived stays.")]
    known.append(ending(known))
    try:
        tell("backup", as_json, lambda: known)
    finally:
        _leave(1)


def _leave(code: int) -> NoReturn:
    """Ends the process whatever its threads hang on."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def watch(
    aws: Annotated[
        bool, typer.Option("--aws", help="Ask AWS's metadata service for the notice of a spot end.")
    ] = False,
    gcp: Annotated[
        bool, typer.Option("--gcp", help="Ask GCP's metadata service whether it is preempted.")
    ] = False,
    azure: Annotated[
        bool, typer.Option("--azure", help="Ask Azure's metadata service for scheduled events.")
    ] = False,
    metadata_url: Annotated[
        str, typer.Option(help="Address of the metadata service.")
    ] = "http://169.254.169.254",
    notice_file: Annotated[
        Path | None, typer.Option(help="A file that is touched when the machine goes.")
    ] = None,
    notice_command: Annotated[
        str | None, typer.Option(help="A command that ends with code 0 when the machine goes.")
    ] = None,
    every: Annotated[str, typer.Option(help="Time between two looks for something new.")] = "2s",
    deadline: Annotated[str, typer.Option(help="Time for the backup after a notice.")] = "90s",
    as_json: AsJson = False,
) -> None:
    """Send each finished shard, checkpoint and out as it is made; on a notice, back up and stop.

    Runs beside `lifeboat reproduce`, in a terminal of its own. SIGTERM to it is a notice. Ctrl-C
    ends it without a backup and says what is not sent. Exit 0 only if all is saved.
    """

    from lifeboat import deadlines
    from lifeboat.watching import notices, watch

    def look() -> list[Item]:
        clouds = (notices.AwsSpot, aws), (notices.GcpPreemption, gcp), (notices.AzureEvents, azure)
        sources: list[notices.Source] = [
            cloud(metadata_url) for cloud, is_asked in clouds if is_asked
        ]
        sources += [notices.TouchedFile(notice_file)] if notice_file else []
        sources += [notices.EndOfCommand(notice_command)] if notice_command else []
        options = watch.Options(
            sources=sources,
            every_s=deadlines.seconds_of(every),
            deadline_s=deadlines.seconds_of(deadline),
            say=watch.say_on(sys.stderr if as_json else sys.stdout),
        )
        return watch.watch(state.root, options)

    _leave(tell("watch", as_json, look))


def doctor(as_json: AsJson = False) -> None:
    """Check this machine: fact, verdict, cure. Exit 0 only if the project can run and be saved."""
    from lifeboat.doctor import doctor

    report("doctor", as_json, lambda: doctor.examine(state.root))


def snapshot(as_json: AsJson = False) -> None:
    """Record the state of this checkout in runs/YYYYMMDD_HHMMSS/."""
    from lifeboat.saving import snapshot

    report("snapshot", as_json, lambda: [*snapshot.take(state.root), snapshot.HERE_ONLY])


def log_entry(
    title: Annotated[str, typer.Argument(help="Title of the entry, one line.")],
    as_json: AsJson = False,
) -> None:
    """Put a new entry into reports/experiment_log.md, with commit, models and metrics filled in."""
    from lifeboat.saving import experiment_log

    report("log", as_json, lambda: experiment_log.add(state.root, title))


def push(message: Message = "", as_json: AsJson = False) -> None:
    """Commit and push code to git and data to DVC's remote, and say what was not saved.

    Every change that git does not ignore goes into the commit. Exit 0 only if code and data are
    somewhere else than on this machine.
    """
    from lifeboat.saving import push

    report("push", as_json, lambda: push.push(state.root, message))


def reproduce(
    arguments: Annotated[list[str] | None, typer.Argument(help="Passed to `dvc repro`.")] = None,
) -> None:
    """Run the pipeline (`dvc --wait-for-lock repro`) and print the time of each stage."""
    from lifeboat.running import reproduce

    outcome = reproduce.reproduce(state.root, arguments or [])
    for stage, seconds in outcome.seconds.items():
        typer.echo(f"{seconds:9.1f} s  {stage}")
    show(outcome.endings)
    raise typer.Exit(outcome.code)


def remote_set(
    url: Annotated[str, typer.Argument(help="Such as s3://bucket/path.")],
    endpoint: Annotated[str, typer.Option(help="Address of an S3-compatible service.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make URL the default remote in .dvc/config; keys never go there, the old remote stays."""
    from lifeboat.remotes import remote

    report("remote set", as_json, lambda: remote.set_default(state.root, url, endpoint))


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
    """Remove kept pieces of outs that are finished, and of outs that are no more."""
    from lifeboat.saving import store

    def prune() -> list[Item]:
        if remote:
            return store.prune_remote(state.root, forget=forget, dry_run=dry_run)
        if forget:
            raise UserError("`--forget` goes with `--remote`.")
        return store.prune(state.root, dry_run=dry_run)

    report("store prune", as_json, prune)
