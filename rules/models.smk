# From stamps to networks, from networks to predictions, from predictions to numbers and figures.
# Stamps and tables come without their times (ancient) and with their digests as parameters; the weights of a parent are a plain input.


rule train_model:
    input:
        unpack(training_input),
    output:
        weights="results/models/{model}/weights.safetensors",
        description="results/models/{model}/model.json",
        history="results/models/{model}/history.csv",
    log:
        "logs/train_model/{model}.log",
    benchmark:
        "logs/train_model/{model}.benchmark.tsv"
    conda:
        "../envs/torch.yaml"
    threads: wf.config.compute.training_threads
    resources:
        **wf.gpu(),
        mem_mb=wf.config.compute.training_mem_mb,
        runtime=wf.config.compute.training_minutes,
        # where the stamps are kept changes no weight: a resource, so that it makes no model stale
        stamps=wf.config.compute.stamps,
    params:
        code=lambda w: wf.code("train_model", *wf.network_modules(w.model)),
        training=lambda w: wf.training(w.model),
        parent=lambda w: wf.start(w.model),
        frozen=lambda w: frozen(wf.trained_on(w.model), "stamps", "labels"),
    message:
        "Training {wildcards.model} on {params.training[sample]}"
    script:
        "../workflow/scripts/train_model.py"


rule predict:
    input:
        unpack(prediction_input),
    output:
        "results/models/{model}/predictions/{sample}.parquet",
    log:
        "logs/predict/{model}.{sample}.log",
    benchmark:
        "logs/predict/{model}.{sample}.benchmark.tsv"
    conda:
        "../envs/torch.yaml"
    threads: wf.config.compute.training_threads
    resources:
        **wf.gpu(),
        mem_mb=wf.config.compute.training_mem_mb,
        runtime=wf.config.compute.training_minutes,
    params:
        code=lambda w: wf.code(
            "predict", *wf.network_modules(*wf.networks(w.model, w.sample))
        ),
        frozen=lambda w: frozen([w.sample], "stamps", "sides"),
        trained_on=lambda w: wf.config.models[w.model].train,
        split_seed=lambda w: wf.config.samples[w.sample].split.seed,
        prediction=lambda w: wf.prediction(w.model, w.sample),
    message:
        "Predicting {wildcards.sample} with {wildcards.model}"
    script:
        "../workflow/scripts/predict.py"


# Fitted to validation rows of the sample that the model was trained on; applied wherever its predictions are judged or published.
rule calibrate_model:
    input:
        unpack(calibration_input),
    output:
        "results/models/{model}/calibration.json",
    log:
        "logs/calibrate_model/{model}.log",
    benchmark:
        "logs/calibrate_model/{model}.benchmark.tsv"
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=15,
    params:
        code=wf.code("calibrate_model"),
        frozen=lambda w: frozen([wf.config.models[w.model].train], "labels"),
        calibration=lambda w: wf.calibration(w.model),
    message:
        "Calibrating {wildcards.model} on its validation rows"
    script:
        "../workflow/scripts/calibrate_model.py"


rule extract_features:
    input:
        unpack(features_input),
    output:
        "results/models/{model}/features/{sample}.parquet",
    log:
        "logs/extract_features/{model}.{sample}.log",
    benchmark:
        "logs/extract_features/{model}.{sample}.benchmark.tsv"
    conda:
        "../envs/torch.yaml"
    threads: wf.config.compute.training_threads
    resources:
        **wf.gpu(),
        mem_mb=wf.config.compute.training_mem_mb,
        runtime=wf.config.compute.training_minutes,
    params:
        code=lambda w: wf.code("extract_features", *wf.network_modules(w.model)),
        frozen=lambda w: frozen([w.sample], "stamps"),
    message:
        "Extracting the features of {wildcards.sample} with {wildcards.model}"
    script:
        "../workflow/scripts/extract_features.py"


rule evaluate_model:
    input:
        unpack(evaluation_input),
    output:
        metrics="results/models/{model}/metrics.json",
        table=report(
            "results/models/{model}/metrics.html",
            caption="../workflow/report/metrics.rst",
            category="Models",
            labels={"model": "{model}", "figure": "metrics"},
        ),
        card="results/models/{model}/README.md",
        learning=figure("learning_curves", "learning_curves"),
        comparison=figure("comparison", "comparison"),
        groups=figure("error_by_group", "error_by_group"),
        calibration=figure("calibration", "calibration"),
        coverage=figure("coverage", "coverage"),
        confusion=figure("confusion", "confusion"),
        examples=figure("examples", "examples"),
    log:
        "logs/evaluate_model/{model}.log",
    benchmark:
        "logs/evaluate_model/{model}.benchmark.tsv"
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=wf.code("evaluate_model"),
        frozen=lambda w: frozen(
            [wf.evaluated_on(w.model)], "stamps", "objects", "ledger"
        ),
        evaluation=lambda w: wf.evaluation(w.model),
    message:
        "Evaluating {wildcards.model}"
    script:
        "../workflow/scripts/evaluate_model.py"


rule check_model:
    input:
        "results/models/{model}/metrics.json",
    output:
        "results/models/{model}/checks.json",
    log:
        "logs/check_model/{model}.log",
    benchmark:
        "logs/check_model/{model}.benchmark.tsv"
    conda:
        "../envs/io.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=wf.code("check_model"),
        claims=lambda w: wf.config.models[w.model].claims.model_dump(mode="json"),
    message:
        "Checking what is claimed of {wildcards.model}"
    script:
        "../workflow/scripts/check_model.py"
