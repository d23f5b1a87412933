"""`backtracking extract`: its options, and what it answers. Nothing heavy until it runs."""

from pathlib import Path
from typing import Annotated

import typer

from lifeboat.cli.verbs import AsJson, report
from lifeboat.items import Item


def extract(
    model: Annotated[str, typer.Option(help="Folder in transformers format, or a hub id.")],
    traces: Annotated[
        Path,
        typer.Option(help="JSON Lines, plain or gzip, of token_ids (and prompt_ids), or of text."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to publish.")],
    sentences: Annotated[
        Path | None,
        typer.Option(
            help="JSON Lines: trace_id, index, start, end in tokens; or of `label --out`."
        ),
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

    Texts without ids are tokenised by the model's own tokenizer. Needs no params.yaml and no DVC.
    Exit 75 when interrupted: the same command goes on.
    """

    def take() -> list[Item]:
        from backtracking.extraction import given, standalone
        from lifeboat.stage import interruption

        interruption.install()
        came = given.ready(traces, sentences, model, revision, out)
        done = standalone.run(
            standalone.Options(
                model=model,
                revision=revision,
                traces=came.traces,
                sentences=came.sentences,
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
        return [Item(line) for line in (*came.said, *standalone.told(out, done))]

    report("extract", as_json, take)


def check(
    folder: Annotated[Path, typer.Argument(help="The store of activations.")],
    model: Annotated[str, typer.Option(help="Its model: a folder, or a hub id.")],
    traces: Annotated[Path, typer.Option(help="Its traces, JSON Lines with token_ids.")],
    sentences: Annotated[
        Path | None, typer.Option(help="Their sentences, where it keeps windows or means.")
    ] = None,
    floor: Annotated[
        float | None, typer.Option(help="Largest relative difference that is accepted.")
    ] = None,
    device: Annotated[str, typer.Option(help="As torch names it, or auto.")] = "auto",
    revision: Annotated[str | None, typer.Option(help="Of a hub id.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compute some traces of a store again, alone and unpadded, and say which are wrong in it.

    The longest, the shortest, the first, the last, one with the rarest token, and those on both
    sides of each length at which the model changes its formula. Exit 1 where anything is wrong.
    """

    def look() -> list[Item]:
        from backtracking.extraction import given, rechecking

        came = given.ready(traces, sentences, model, revision, folder)
        made = rechecking.open_made(
            folder, model, came.traces, came.sentences, revision=revision, device=device
        )
        return [*map(Item, came.said), *rechecking.recheck(made, floor)]

    report("store check", as_json, look)


def import_states(
    folder: Annotated[Path, typer.Argument(help="What the server wrote: a file a request.")],
    model: Annotated[str, typer.Option(help="The model that was served: a folder, or a hub id.")],
    traces: Annotated[Path, typer.Option(help="The traces it read, JSON Lines with token_ids.")],
    out: Annotated[Path, typer.Option(help="Folder to publish.")],
    layer_ids: Annotated[
        str,
        typer.Option(help="As the server had them (eagle_aux_hidden_state_layer_ids): 1-36."),
    ],
    sentences: Annotated[
        Path | None,
        typer.Option(
            help="JSON Lines: trace_id, index, start, end in tokens; or of `label --out`."
        ),
    ] = None,
    hook: Annotated[
        str, typer.Option(help="resid_post (id l + 1 is layer l), or resid_pre (id l is).")
    ] = "resid_post",
    window: Annotated[
        str | None,
        typer.Option(help="Offsets kept around sentence starts, --window=-13:10; else all tokens."),
    ] = None,
    means: Annotated[bool, typer.Option("--means", help="Keep sentence means as well.")] = False,
    dtype: Annotated[
        str | None, typer.Option(help="In which our own model runs; else that of the files.")
    ] = None,
    device: Annotated[str, typer.Option(help="As torch names it, or auto.")] = "auto",
    store: Annotated[
        Path | None, typer.Option(help="Folder of the shards by key; else beside OUT.")
    ] = None,
    unit_traces: Annotated[int | None, typer.Option(min=1, help="Traces in a shard.")] = None,
    floor: Annotated[
        float | None, typer.Option(help="Largest relative difference that is accepted.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Of a hub id.")] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make damaged shards of OUT again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take a server's hidden states (vLLM, speculators) into a store, if they are the model's.

    The lowest layer is compared with our own forward pass at every token, and every layer of some
    traces. The server's files are only read. Exit 75 when interrupted: the same command goes on.
    """

    def take() -> list[Item]:
        from backtracking.extraction import given, importing
        from lifeboat.stage import interruption

        interruption.install()
        came = given.ready(traces, sentences, model, revision, out)
        done = importing.run(
            importing.Options(
                folder=folder,
                model=model,
                revision=revision,
                traces=came.traces,
                sentences=came.sentences,
                out=out,
                store=store,
                layer_ids=layer_ids,
                hook=hook,
                window=window,
                means=means,
                dtype=dtype,
                device=device,
                unit_traces=unit_traces,
                floor=floor,
                repair=repair,
            )
        )
        return [Item(line) for line in (*came.said, *importing.told(out, done))]

    report("store import", as_json, take)
