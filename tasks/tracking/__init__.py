"""MLflow: runs, metrics, the registry and the model version; the only code that imports mlflow.

The decision to promote (`decision`) and the comparison with the champion (`champion`) stand beside
it and are pure. What one version of a registered model looks like, in MLflow's own words:

    models:/support-summarizer/3   aliases: challenger, champion
    tags: retune.key=9f0c...  retune.recipe_digest=51ab...  retune.git_commit=77e1...
"""
