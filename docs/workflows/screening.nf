// From a table of measured molecules to the hits of many libraries, each library a task of its own:
//
//   nextflow run docs/workflows/screening.nf -resume --table my.csv --target logP --libraries 'libraries/*.smi.gz'
//
// Files of libraries are to have different names. molrate, and a Python with pandas, are to be on the PATH of every
// node. `results` (--outdir) then holds ranking.csv, model/, hits.csv (the best --top of all libraries), and all rows of
// each library in screened/. A task that was stopped starts anew: give a library of many millions in several files.

params.table = null
params.target = null
params.libraries = null
params.top = 100
params.outdir = 'results'

// Inputs that keep their name are staged into a folder, where no output can be written through their link.

process RANK {
    cpus 2
    publishDir params.outdir, mode: 'copy', overwrite: true

    input:
    path table, stageAs: 'input/*'
    val target

    output:
    path 'ranking.csv'

    script:
    """
    molrate score ${table} --target '${target}' -o ranking.csv
    """
}

// The encoder and layer ranked first, with a linear head.
process FIT {
    publishDir params.outdir, mode: 'copy', overwrite: true

    input:
    path table, stageAs: 'input/*'
    val target
    path ranking

    output:
    path 'model'

    script:
    """
    encoder=\$(python -c 'import pandas; print(pandas.read_csv("${ranking}").encoder[0])')
    molrate finetune ${table} --target '${target}' -e "\$encoder" --frozen -o model
    """
}

// molrate ends with 5 where some rows have no result; they hold the reason, and the others are done.
process SCREEN {
    tag "${name}"
    cpus 2
    errorStrategy 'finish'
    publishDir params.outdir, mode: 'copy', overwrite: true

    input:
    tuple val(name), path(library, stageAs: 'input/*')
    path model
    val top

    output:
    path "screened/${name}"

    script:
    """
    molrate screen ${library} -m ${model} -o 'screened/${name}/' --top ${top} --jobs ${task.cpus} || {
        code=\$?
        [ \$code -eq 5 ] || exit \$code
    }
    """
}

process HITS {
    publishDir params.outdir, mode: 'copy', overwrite: true

    input:
    path screened, stageAs: 'screened/*'
    val top

    output:
    path 'hits.csv'

    script:
    """
    #!/usr/bin/env python
    import pathlib
    import pandas

    tops = [path for path in sorted(pathlib.Path("screened").glob("*/top.csv")) if path.read_text().strip()]
    rows = pandas.concat(pandas.read_csv(path, dtype=str, keep_default_na=False) for path in tops)
    predicted = next(name for name in rows.columns if name.startswith("predicted_"))
    rows = rows.sort_values(predicted, key=lambda column: column.astype(float), ascending=False, kind="stable")
    rows.head(${top}).to_csv("hits.csv", index=False)
    """
}

workflow {
    if (!params.table || !params.target || !params.libraries) {
        error 'name --table, --target and --libraries'
    }
    table = file(params.table, checkIfExists: true)
    libraries = channel.fromPath(params.libraries, checkIfExists: true).map { library -> tuple(library.name, library) }
    RANK(table, params.target)
    FIT(table, params.target, RANK.out)
    SCREEN(libraries, FIT.out, params.top)
    HITS(SCREEN.out.collect(), params.top)
}
