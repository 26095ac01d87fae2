# From predictions to a catalogue that others can cite.


rule publish_catalogue:
    input:
        unpack(catalogue_input),
    output:
        csv="results/catalogues/{product}.csv",
        parquet="results/catalogues/{product}.parquet",
        fits="results/catalogues/{product}.fits",
        votable="results/catalogues/{product}.vot",
        wide="results/catalogues/{product}_wide.csv",
        dat="results/catalogues/{product}.dat",
        readme="results/catalogues/{product}.ReadMe",
        bibtex="results/catalogues/{product}.bib",
        provenance="results/catalogues/{product}.provenance.json",
        preview=report(
            "results/catalogues/{product}.html",
            caption="../workflow/report/catalogue.rst",
            category="Catalogues",
            labels={"catalogue": "{product}", "figure": "first rows and columns"},
        ),
    log:
        "logs/publish_catalogue/{product}.log",
    benchmark:
        "logs/publish_catalogue/{product}.benchmark.tsv"
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=wf.code("publish_catalogue"),
        frozen=lambda w: frozen(
            [wf.config.catalogues[w.product].sample], "stamps", "objects", "ledger"
        ),
        product=lambda w: wf.publication(w.product),
    message:
        "Publishing {wildcards.product}"
    script:
        "../workflow/scripts/publish_catalogue.py"
