from tuningfork.scripting import start
start(snakemake)
