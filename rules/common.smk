# What the rules read: input functions, and the digests that stand for frozen files.


def selection_input(w):
    sample = wf.config.samples[w.sample]
    if sample.kind == "folder":
        return {"labels": sample.labels.file} if sample.labels else {}
    if sample.kind == "cutout":
        return {
            "catalogue": f"resources/catalogues/{w.sample}/{sample.catalogue.name}.parquet"
        }
    tables = {
        "catalogue": f"resources/catalogues/{w.sample}/{sample.catalogue.name}.parquet"
    }
    if sample.match:
        tables["match"] = f"resources/catalogues/{w.sample}/{sample.match.name}.parquet"
    if sample.labels:
        tables["labels"] = (
            sample.labels.file or f"resources/catalogues/{w.sample}/labels.csv"
        )
    return tables


def shards(sample):
    """What the checkpoint wrote: shard -> digest of its rows, number of rows, fields."""
    return wf.shards(checkpoints.shard_sample.get(sample=sample).output.index)


def frozen(samples, *what):
    """Digests of frozen samples: what training, prediction and publishing depend on instead of file times."""
    group = wf.group_of(samples[0])
    return wf.frozen(
        checkpoints.freeze_group.get(group=group).output[0], samples, *what
    )


def frozen_files(sample):
    """Tables and stamps of a sample, without their times; the frozen file keeps all above it in the graph."""
    group = wf.group_of(sample)
    checkpoints.freeze_group.get(group=group)
    folder = f"results/samples/{sample}"
    return {
        "objects": ancient(f"{folder}/objects.parquet"),
        "ledger": ancient(f"{folder}/ledger.parquet"),
        "stamps": [
            ancient(f"{folder}/stamps/{shard}.arrow") for shard in shards(sample)
        ],
        "frozen": ancient(f"results/groups/{group}.json"),
    }


def training_input(w):
    parent, adaptation = wf.parent(w.model), wf.plans[w.model].model.adapt_to
    files = frozen_files(wf.plans[w.model].model.train)
    if adaptation:
        second = frozen_files(adaptation.sample)
        files["adapt_objects"], files["adapt_stamps"] = (
            second["objects"],
            second["stamps"],
        )
    if parent:
        files["parent"] = f"results/models/{parent}/weights.safetensors"
        files["parent_objects"] = frozen_files(wf.plans[parent].model.train)["objects"]
    return files


def prediction_input(w):
    files = frozen_files(w.sample)
    names = [
        w.model,
        *(wf.folds(w.model) if wf.config.models[w.model].train == w.sample else []),
    ]
    weights = expand("results/models/{name}/weights.safetensors", name=names)
    descriptions = expand("results/models/{name}/model.json", name=names)
    return {**files, "weights": weights, "descriptions": descriptions}


def evaluation_input(w):
    model = wf.config.models[w.model]
    names = [w.model, *model.compare_to]
    judged = wf.evaluated_on(w.model)
    return {
        **frozen_files(judged),
        "predictions": expand(
            "results/models/{name}/predictions/{sample}.parquet",
            name=names,
            sample=judged,
        ),
        "history": expand(
            "results/models/{name}/history.csv",
            name=[w.model, *wf.folds(w.model), *model.compare_to],
        ),
        "description": f"results/models/{w.model}/model.json",
    }


def figure(name, caption):
    return report(
        f"results/models/{{model}}/figures/{name}.png",
        caption=f"../workflow/report/{caption}.rst",
        category="Models",
        labels={"model": "{model}", "figure": name.replace("_", " ")},
    )


def catalogue_input(w):
    product = wf.config.catalogues[w.product]
    return {
        **frozen_files(product.sample),
        "predictions": f"results/models/{product.model}/predictions/{product.sample}.parquet",
        "weights": f"results/models/{product.model}/weights.safetensors",
        "description": f"results/models/{product.model}/model.json",
    }
