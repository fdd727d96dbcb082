// From a table of measured molecules to the hits of many libraries, each library a task of its own:
//
//   nextflow run docs/workflows/screening.nf -resume \
//       --table my.csv --target logP --libraries 'libraries/*.smi.gz' --top 100
//
// molrate is to be on the PATH of every node. ranking.csv, model/, hits.csv and all rows, screened/NAME/parts, are then
// in `results` (--outdir).

params.table = null
params.target = null
params.libraries = null
params.top = 100
params.outdir = 'results'

process RANK {
    publishDir params.outdir, mode: 'copy'

    input:
    path table, stageAs: 'input/*'

    output:
    path 'ranking.csv'

    script:
    """
    molrate score '${table}' --target '${params.target}' -o ranking.csv
    """
}

// The encoder and layer ranked first, with a linear head.
process FIT {
    publishDir params.outdir, mode: 'copy'

    input:
    path table, stageAs: 'input/*'
    path ranking

    output:
    path 'model'

    script:
    """
    encoder=\$(python -c 'import pandas; print(pandas.read_csv("${ranking}").encoder[0])')
    molrate finetune '${table}' --target '${params.target}' -e "\$encoder" --frozen -o model
    """
}

// Written outside of the task's own folder, which a second try does not get, so that a task that was stopped goes on
// where it was. molrate ends with 5 where some rows have no result; they hold the reason, and the others are done.
process SCREEN {
    tag "${name}"
    cpus 2

    input:
    tuple val(name), path(library, stageAs: 'input/*')
    path model

    output:
    path "${name}.csv"

    script:
    """
    folder='${file(params.outdir)}/screened/${name}'
    mkdir -p "\$(dirname "\$folder")"
    molrate screen '${library}' -m '${model}' -o "\$folder" --top ${params.top} --jobs ${task.cpus} --resume \
        || [ \$? -eq 5 ]
    cp "\$folder/top.csv" '${name}.csv'
    """
}

process HITS {
    publishDir params.outdir, mode: 'copy'

    input:
    path tops

    output:
    path 'hits.csv'

    script:
    """
    #!/usr/bin/env python
    import pandas

    rows = pandas.concat(pandas.read_csv(top, dtype=str) for top in "${tops}".split())
    (predicted,) = [name for name in rows.columns if name.startswith("predicted_")]
    rows = rows.sort_values(predicted, key=lambda column: column.astype(float), ascending=False)
    rows.head(${params.top}).to_csv("hits.csv", index=False)
    """
}

workflow {
    table = file(params.table, checkIfExists: true)
    libraries = channel.fromPath(params.libraries, checkIfExists: true).map { path -> tuple(path.simpleName, path) }
    RANK(table)
    FIT(table, RANK.out)
    SCREEN(libraries, FIT.out)
    HITS(SCREEN.out.collect())
}
