"""Who runs: one stage, many, and what stands where.

The room's law: nothing up to date is computed again, and nothing finished is lost.

    up_to_date    what a run reads; is a finished one what running it again would make?
    engine        papermill's engine, which saves seldom
    kernels       a notebook in a kernel of its own, and how it ended
    stage         one stage: its parameters, its notebook, its folder
    status        the state of jobs as a table
    side_by_side  finished runs: what they found, in what they differ
    pipeline      many stages from a YAML file
    snakemake     their graph, parallel, on a cluster
    trial         somebody's pictures and labels, as a pipeline of their own
    first_steps   new photographs, as the parameters of a look
    check         whether tables leak, asked without a notebook
    commands      how commands behave: errors in a sentence, help that goes on
    exits         what a command tells a shell
    completion    what TAB may put at a place of the command line
    voila         the explorer as a page of its own
    voila_server  the door of that page
"""
