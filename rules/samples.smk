# From tables to samples: which objects, how large, on which side of the split, in which shard.


rule select_sample:
    input:
        unpack(selection_input),
    output:
        "results/samples/{sample}/selected.parquet",
    log:
        "logs/select_sample/{sample}.log",
    benchmark:
        "logs/select_sample/{sample}.benchmark.tsv"
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=wf.code("select_sample"),
        sample=lambda w: wf.selection(w.sample),
        listing=lambda w: wf.folder_listing(w.sample),
    message:
        "Selecting the objects of {wildcards.sample}"
    script:
        "../workflow/scripts/select_sample.py"


rule measure_sizes:
    input:
        selected="results/samples/{sample}/selected.parquet",
        mosaics=lambda w: expand(
            "resources/mosaics/{{sample}}/{field}.json",
            field=wf.config.samples[w.sample].images.fields,
        ),
    output:
        "results/samples/{sample}/sizes.parquet",
    log:
        "logs/measure_sizes/{sample}.log",
    benchmark:
        "logs/measure_sizes/{sample}.benchmark.tsv"
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=wf.code("measure_sizes"),
    message:
        "Measuring the Petrosian radii of {wildcards.sample} on the detection image"
    script:
        "../workflow/scripts/measure_sizes.py"


checkpoint shard_sample:
    input:
        selected="results/samples/{sample}/selected.parquet",
        sizes=lambda w: (
            f"results/samples/{w.sample}/sizes.parquet"
            if w.sample in wf.samples_measured()
            else []
        ),
        apart=lambda w: expand(
            "results/samples/{other}/objects.parquet",
            other=wf.config.samples[w.sample].split.apart_from,
        ),
    output:
        table="results/samples/{sample}/objects.parquet",
        index="results/samples/{sample}/shards.json",
    log:
        "logs/shard_sample/{sample}.log",
    benchmark:
        "logs/shard_sample/{sample}.benchmark.tsv"
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=wf.code("shard_sample"),
        sample=lambda w: wf.sharding(w.sample),
    message:
        "Sharding {wildcards.sample}"
    script:
        "../workflow/scripts/shard_sample.py"
