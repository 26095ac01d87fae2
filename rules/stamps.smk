# From samples to stamps: one file a shard, a ledger with a status for every object, and the digests that training depends on.
# A shard's stamps depend on its own rows (their digest is a parameter), not on the time of the table that holds all rows (ancient).


rule cut_stamps:
    input:
        table=ancient("results/samples/{sample}/objects.parquet"),
        mosaics=lambda w: expand(
            "resources/mosaics/{sample}/{field}.json",
            sample=w.sample,
            field=shards(w.sample)[w.shard]["fields"],
        ),
    output:
        stamps="results/samples/{sample}/stamps/{shard}.arrow",
        digest="results/samples/{sample}/stamps/{shard}.sha256",
    log:
        "logs/cut_stamps/{sample}.{shard}.log",
    benchmark:
        "logs/cut_stamps/{sample}.{shard}.benchmark.tsv"
    wildcard_constraints:
        sample=wf.pattern(wf.samples_cut("whole")),
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=lambda w: wf.code("cut_stamps"),
        rows=lambda w: shards(w.sample)[w.shard]["digest"],
        stamp=lambda w: wf.sample_slice(w.sample, "stamp"),
    message:
        "Cutting the stamps of {wildcards.sample}, shard {wildcards.shard}"
    script:
        "../workflow/scripts/cut_stamps.py"


rule cut_remote_stamps:
    input:
        table=ancient("results/samples/{sample}/objects.parquet"),
        mosaics=lambda w: expand(
            "resources/mosaics/{sample}/{field}.json",
            sample=w.sample,
            field=shards(w.sample)[w.shard]["fields"],
        ),
        sky=lambda w: wf.sky_input(w.sample),
    output:
        stamps="results/samples/{sample}/stamps/{shard}.arrow",
        digest="results/samples/{sample}/stamps/{shard}.sha256",
    log:
        "logs/cut_remote_stamps/{sample}.{shard}.log",
    benchmark:
        "logs/cut_remote_stamps/{sample}.{shard}.benchmark.tsv"
    wildcard_constraints:
        sample=wf.pattern(wf.samples_cut("ranges", "auto")),
    localrule: wf.downloads_here()
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        **wf.net("mast"),
        mem_mb=2000,
        runtime=600,
    params:
        code=lambda w: wf.code("cut_remote_stamps", "tuningfork.wire"),
        wire=lambda w: wf.wire(w.sample),
        rows=lambda w: shards(w.sample)[w.shard]["digest"],
        stamp=lambda w: wf.sample_slice(w.sample, "stamp"),
    message:
        "Fetching and cutting the stamps of {wildcards.sample}, shard {wildcards.shard}"
    script:
        "../workflow/scripts/cut_remote_stamps.py"


rule fetch_cutouts:
    input:
        sky=lambda w: wf.sky_input(w.sample),
        table=ancient("results/samples/{sample}/objects.parquet"),
        footprint=lambda w: wf.local_files(w.sample).get("footprint", []),
    output:
        stamps="results/samples/{sample}/stamps/{shard}.arrow",
        digest="results/samples/{sample}/stamps/{shard}.sha256",
    log:
        "logs/fetch_cutouts/{sample}.{shard}.log",
    benchmark:
        "logs/fetch_cutouts/{sample}.{shard}.benchmark.tsv"
    wildcard_constraints:
        sample=wf.pattern(wf.samples("cutout")),
    localrule: wf.downloads_here()
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        **wf.net("cutouts"),
        mem_mb=1500,
        runtime=240,
    params:
        code=wf.code("fetch_cutouts", "tuningfork.wire"),
        wire=lambda w: wf.wire(w.sample),
        rows=lambda w: shards(w.sample)[w.shard]["digest"],
        stamp=lambda w: wf.sample_slice(w.sample, "images", "stamp"),
        retry=lambda w: wf.retry_token(w.sample, w.shard),
    message:
        "Fetching the cutouts of {wildcards.sample}, shard {wildcards.shard}"
    script:
        "../workflow/scripts/fetch_cutouts.py"


rule import_stamps:
    input:
        table=ancient("results/samples/{sample}/objects.parquet"),
    output:
        stamps="results/samples/{sample}/stamps/{shard}.arrow",
        digest="results/samples/{sample}/stamps/{shard}.sha256",
    log:
        "logs/import_stamps/{sample}.{shard}.log",
    benchmark:
        "logs/import_stamps/{sample}.{shard}.benchmark.tsv"
    wildcard_constraints:
        sample=wf.pattern(wf.samples("folder")),
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=lambda w: wf.code("import_stamps"),
        rows=lambda w: shards(w.sample)[w.shard]["digest"],
        stamp=lambda w: wf.sample_slice(w.sample, "stamp", "folder"),
    message:
        "Importing the pictures of {wildcards.sample}, shard {wildcards.shard}"
    script:
        "../workflow/scripts/import_stamps.py"


rule collect_stamps:
    input:
        lambda w: expand(
            "results/samples/{sample}/stamps/{shard}.sha256",
            sample=w.sample,
            shard=shards(w.sample),
        ),
    output:
        digests="results/samples/{sample}/stamps.json",
        ledger="results/samples/{sample}/ledger.parquet",
    log:
        "logs/collect_stamps/{sample}.log",
    benchmark:
        "logs/collect_stamps/{sample}.benchmark.tsv"
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=wf.code("collect_stamps"),
    message:
        "Collecting the ledger of {wildcards.sample}"
    script:
        "../workflow/scripts/collect_stamps.py"


rule check_ledger:
    input:
        selected="results/samples/{sample}/selected.parquet",
        ledger="results/samples/{sample}/ledger.parquet",
    output:
        "results/samples/{sample}/ledger.json",
    log:
        "logs/check_ledger/{sample}.log",
    benchmark:
        "logs/check_ledger/{sample}.benchmark.tsv"
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        code=wf.code("check_ledger"),
    message:
        "Checking that no object of {wildcards.sample} was lost"
    script:
        "../workflow/scripts/check_ledger.py"


# One checkpoint for all samples that models join: the only point before training where a rerun with the same result ends.
checkpoint freeze_group:
    input:
        digests=lambda w: expand(
            "results/samples/{sample}/stamps.json", sample=wf.groups[w.group]
        ),
        index=lambda w: expand(
            "results/samples/{sample}/shards.json", sample=wf.groups[w.group]
        ),
        ledger=lambda w: expand(
            "results/samples/{sample}/ledger.json", sample=wf.groups[w.group]
        ),
    output:
        "results/groups/{group}.json",
    log:
        "logs/freeze_group/{group}.log",
    benchmark:
        "logs/freeze_group/{group}.benchmark.tsv"
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        code=wf.code("freeze_group"),
    message:
        "Freezing the samples {input.digests}"
    script:
        "../workflow/scripts/freeze_group.py"


rule show_sample:
    input:
        unpack(lambda w: frozen_files(w.sample)),
    output:
        stamps=report(
            "results/samples/{sample}/figures/stamps.png",
            caption="../workflow/report/stamps.rst",
            category="Samples",
            labels={"sample": "{sample}", "figure": "stamps"},
        ),
        objects=report(
            "results/samples/{sample}/figures/objects.png",
            caption="../workflow/report/objects.rst",
            category="Samples",
            labels={"sample": "{sample}", "figure": "objects"},
        ),
    log:
        "logs/show_sample/{sample}.log",
    benchmark:
        "logs/show_sample/{sample}.benchmark.tsv"
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        code=wf.code("show_sample"),
        frozen=lambda w: frozen([w.sample], "stamps", "objects", "ledger"),
        sample=lambda w: {"simulated": wf.simulated(w.sample)},
    message:
        "Drawing the stamps of {wildcards.sample}"
    script:
        "../workflow/scripts/show_sample.py"
