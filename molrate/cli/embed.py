"""``molrate embed``."""

from __future__ import annotations

from pathlib import Path

import click

from molrate.cli.options import (
    device_option,
    encoder_option,
    examples,
    is_quiet,
    layer_option,
    logging_options,
    on_invalid_option,
    output_option,
    pooling_option,
    precision_option,
    refuse_input_format,
    seed_option,
    smiles_column_option,
    standardisation_option,
    weights_option,
)
from molrate.cli.streaming import (
    LibraryOptions,
    Streaming,
    library_options,
    refuse_chunk_options,
)
from molrate.errors import PARTIAL_EXIT_CODE

_EXAMPLES = examples(
    "molrate embed library.smi -e grover-base-chembl -o library.parquet",
    "molrate embed my.csv -e gin-untrained --layer all -o layers.npz",
    "molrate embed libraries/ -e ecfp4 -o embedded/ --jobs 8",
)


@click.command("embed", short_help="Embed molecules, one output row per input row.", epilog=_EXAMPLES)
@click.argument("library", nargs=-1, required=True)
@encoder_option("encoder", "Embed with this encoder", required=True)
@output_option(
    "Write one table in memory into FILE.csv, .csv.gz, .parquet or .npz, a library into this folder of "
    "parts, named without an ending, or CSV as it comes to standard output (-).",
    "OUT",
)
@layer_option(every=True)
@pooling_option()
@smiles_column_option()
@standardisation_option()
@on_invalid_option(keep=True)
@library_options
@weights_option()
@precision_option()
@seed_option()
@device_option()
@logging_options
def command(
    library: tuple[str, ...],
    encoder: str,
    output: str,
    layer: str,
    pooling: str,
    smiles_column: str | None,
    standardisation: str,
    seed: int,
    precision: str,
    device: str,
    weights: Path | None,
    on_invalid: str,
    options: LibraryOptions,
) -> None:
    """Embed the molecules of LIBRARY: csv, tsv, smi, sdf, also as .gz, .bz2, .zst, .zip; parquet; xlsx; or -.

    The output has one row per input row, in order: source, row, id, smiles as given, canonical_smiles as
    encoded, the embedding, status, the reason of each failure, and a note of what was lost. Into a folder or
    to standard output the library, which may then be folders and globs, is streamed; a run into a folder
    that was stopped goes on with --resume.
    """
    from molrate.embedding.table import WRITABLE, embed_table
    from molrate.files.output import choose_destination

    destination = choose_destination(output, WRITABLE, folder=True, stdout=True)
    path = destination.path
    if destination.kind != "file":
        from molrate.embedding.embed import choose_device
        from molrate.screening.stage import EmbeddingStage

        if on_invalid != "keep":
            raise click.UsageError("--on-invalid skip and fail are for one table in memory (-o FILE)")
        library_files = options.find(library, output, smiles_column=smiles_column)
        stage = EmbeddingStage(
            encoder,
            None if weights is None else str(weights),
            layer,
            pooling,
            standardisation,
            seed,
            precision,
            choose_device(device),
            options.max_atoms,
        )
        Streaming(options, output).run(library_files, stage)
        return
    if len(library) > 1:
        raise click.UsageError(f"-o {output}: one table goes into a file; several go into a folder")
    refuse_chunk_options(output)
    refuse_input_format(library)
    (table,) = library
    from molrate.cli.progress import molecule_progress
    from molrate.encoders.base import load_encoder
    from molrate.files.locks import exclusive_file
    from molrate.files.sources import refuse_input

    refuse_input(path, [table])
    click.get_current_context().with_resource(exclusive_file(path))
    model = load_encoder(encoder, weights, seed, precision)
    if path.suffix.lower() != ".npz" and len(model.select_layers(layer)) > 1:
        raise click.UsageError(
            f"-o {path}: {path.suffix} holds one layer; name it with --layer, or write .npz"
        )
    policy = "fail" if on_invalid == "fail" else "keep"
    with molecule_progress(is_quiet()) as progress:
        embedded = embed_table(
            table,
            model,
            layer,
            pooling,
            smiles_column,
            standardisation,
            device,
            policy,
            progress,
            id_column=options.id_column,
            input_format=options.input_format,
            max_atoms=options.max_atoms,
        )
    if not is_quiet():
        click.echo(f"{path}: {embedded.summary()}", err=True)
    if on_invalid == "skip":
        embedded.only_embedded().write(path)
        return
    embedded.write(path)
    if embedded.n_failed:
        raise click.exceptions.Exit(PARTIAL_EXIT_CODE)
