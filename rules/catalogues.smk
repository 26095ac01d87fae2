# From the archives (or the simulated sky) to tables and mosaics on disk.


rule render_sky:
    output:
        "resources/sky/{key}/sky.json",
    log:
        "logs/render_sky/{key}.log",
    benchmark:
        "logs/render_sky/{key}.benchmark.tsv"
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=20,
    params:
        code=wf.code("render_sky"),
        sky=wf.config.sky.model_dump(mode="json"),
    message:
        "Rendering the simulated sky of the mosaics (seed {params.sky[seed]})"
    script:
        "../workflow/scripts/render_sky.py"


rule render_survey_sky:
    output:
        "resources/survey_sky/{key}/sky.json",
    log:
        "logs/render_survey_sky/{key}.log",
    benchmark:
        "logs/render_survey_sky/{key}.benchmark.tsv"
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=20,
    params:
        code=wf.code("render_survey_sky"),
        sky=wf.config.survey_sky.model_dump(mode="json"),
    message:
        "Rendering the simulated sky of the wide surveys (seed {params.sky[seed]})"
    script:
        "../workflow/scripts/render_survey_sky.py"


rule download_catalogue:
    input:
        sky=lambda w: wf.sky_input(w.sample),
        file=lambda w: wf.local_files(w.sample).get("table", []),
    output:
        "resources/catalogues/{sample}/{catalogue}.parquet",
    log:
        "logs/download_catalogue/{sample}.{catalogue}.log",
    benchmark:
        "logs/download_catalogue/{sample}.{catalogue}.benchmark.tsv"
    localrule: wf.downloads_here()
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        **wf.net("vizier"),
        mem_mb=1000,
        runtime=60,
    params:
        code=lambda w: wf.code(
            "download_catalogue",
            "tuningfork.wire",
            f"tuningfork.catalogues.{w.catalogue}",
        ),
        wire=lambda w: wf.wire(w.sample),
        query=lambda w: wf.catalogue_query(w.sample, w.catalogue),
    message:
        "Downloading the catalogue {wildcards.catalogue} for {wildcards.sample}"
    script:
        "../workflow/scripts/download_catalogue.py"


rule download_labels:
    input:
        lambda w: wf.sky_input(w.sample),
    output:
        "resources/catalogues/{sample}/labels.csv",
    log:
        "logs/download_labels/{sample}.log",
    benchmark:
        "logs/download_labels/{sample}.benchmark.tsv"
    localrule: wf.downloads_here()
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        **wf.net("web"),
        mem_mb=500,
        runtime=20,
    params:
        code=wf.code("download_labels", "tuningfork.wire"),
        wire=lambda w: wf.wire(w.sample),
        url=lambda w: wf.config.samples[w.sample].labels.url,
    message:
        "Downloading the labels of {wildcards.sample}"
    script:
        "../workflow/scripts/download_labels.py"


rule download_mosaics:
    input:
        lambda w: wf.sky_input(w.sample),
    output:
        "resources/mosaics/{sample}/{field}.json",
    log:
        "logs/download_mosaics/{sample}.{field}.log",
    benchmark:
        "logs/download_mosaics/{sample}.{field}.benchmark.tsv"
    localrule: wf.downloads_here()
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        **wf.net("mast"),
        mem_mb=1000,
        runtime=600,
    params:
        code=wf.code("download_mosaics", "tuningfork.wire"),
        wire=lambda w: wf.wire(w.sample),
        images=lambda w: wf.mosaic_request(w.sample, w.field),
    message:
        "Downloading the mosaics of {wildcards.field} for {wildcards.sample}"
    script:
        "../workflow/scripts/download_mosaics.py"
