"""``molrate embed``."""

from __future__ import annotations

from pathlib import Path

import click

from molrate.cli.main import embedding_options, logging_options, refuse_input_format, set_up_logging
from molrate.cli.streaming import (
    LibraryOptions,
    Streaming,
    library_options,
    refuse_chunk_options,
)
from molrate.errors import PARTIAL_EXIT_CODE


@click.command("embed", short_help="Embed molecules, one output row per input row.")
@click.argument("library", nargs=-1, required=True)
@click.option("-e", "--encoder", required=True, metavar="NAME", help="See molrate list encoders.")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    help="FILE.csv, .csv.gz, .parquet or .npz of one file in memory; a folder of parts, named without an "
    "ending; or - for CSV as it comes.",
)
@embedding_options
@click.option("--weights", type=click.Path(path_type=Path), help="Checkpoint in place of the published one.")
@click.option(
    "--on-invalid",
    type=click.Choice(["keep", "skip", "fail"]),
    default="keep",
    show_default=True,
    help="Invalid SMILES: keep as empty rows with the reason, leave out, or stop.",
)
@library_options
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
    quiet: bool,
    verbose: bool,
) -> None:
    """Embed the molecules of LIBRARY: csv, tsv, smi, sdf, also as .gz, .bz2, .zst, .zip; parquet; xlsx; or -.

    The output has one row per input row, in order: source, row, id, smiles as given, canonical_smiles as
    encoded, the embedding, status, the reason of each failure, and a note of what was lost. Into a folder or
    to standard output the library, which may then be folders and globs, is streamed; a run into a folder
    that was stopped goes on with --resume.
    """
    set_up_logging(quiet, verbose)
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
        Streaming(options, output, quiet).run(library_files, stage)
        return
    if len(library) > 1:
        raise click.UsageError(f"-o {output}: one table goes into a file; several go into a folder")
    refuse_chunk_options(output)
    refuse_input_format(library)
    (table,) = library
    from molrate.cli.progress import molecule_progress
    from molrate.encoders.base import load_encoder
    from molrate.files.locks import exclusive_file

    click.get_current_context().with_resource(exclusive_file(path))
    model = load_encoder(encoder, weights, seed, precision)
    if path.suffix.lower() != ".npz" and len(model.select_layers(layer)) > 1:
        raise click.UsageError(
            f"-o {path}: {path.suffix} holds one layer; name it with --layer, or write .npz"
        )
    policy = "fail" if on_invalid == "fail" else "keep"
    with molecule_progress(quiet) as progress:
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
    if not quiet:
        click.echo(f"{path}: {embedded.summary()}", err=True)
    if on_invalid == "skip":
        embedded.only_embedded().write(path)
        return
    embedded.write(path)
    if embedded.n_failed:
        raise click.exceptions.Exit(PARTIAL_EXIT_CODE)
