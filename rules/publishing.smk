# From predictions to a catalogue that others can cite.


def catalogue_input(w):
    product = wf.config.catalogues[w.product]
    return {
        **frozen_files(product.sample),
        "predictions": f"results/models/{product.model}/predictions/{product.sample}.parquet",
        "weights": f"results/models/{product.model}/weights.safetensors",
        "description": f"results/models/{product.model}/model.json",
    }


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
    params:
        code=wf.code("publish_catalogue"),
        frozen=lambda w: frozen([wf.config.catalogues[w.product].sample], "stamps", "labels", "ledger"),
        product=lambda w: wf.publication(w.product),
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    message:
        "Publishing {wildcards.product}"
    conda:
        "../envs/io.yaml"
    script:
        "../workflow/scripts/publish_catalogue.py"
